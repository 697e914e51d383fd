"""Functions as serialised StableHLO that takes batches and clips of any size, and back.

https://docs.jax.dev/en/latest/export/export.html; the file holds JAX's own calling convention
around the portable StableHLO of a function.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax import export

from wf_jax.audio.clips import SMALLEST
from wf_jax.export.manifest import ReleaseError, Value

SUFFIX = ".jaxexp"
PLATFORMS = ("cpu", "cuda", "tpu", "rocm")


@dataclasses.dataclass(frozen=True)
class Function:
    """A function of a release, before it is exported.

    Attributes:
        name: that it is called by.
        call: (params, *inputs) -> an output, or a tuple of outputs.
        inputs: by name, in their order; sizes may be symbols: b clips or sequences, f mel frames, n
            chunks of samples.
        outputs: by name, in their order.
    """

    name: str
    call: Callable[..., Any]
    inputs: dict[str, Value]
    outputs: dict[str, Value]


def lower(function: Function, params: Mapping[str, Any], platforms: Sequence[str]) -> bytes:
    """The artefact of a function, for any of the platforms, on a host that need have none of them.

    Args:
        function: what to export.
        params: the arrays that it takes, or their shapes.
        platforms: some of PLATFORMS.
    """
    shapes = [value.shape for value in function.inputs.values()]
    clips = any("f" in shape for shape in shapes)
    scope = export.SymbolicScope([f"f >= {SMALLEST}"] if clips else [])
    inputs = [
        jax.ShapeDtypeStruct(export.symbolic_shape(value.shape, scope=scope), value.dtype)
        for value in function.inputs.values()
    ]
    arrays = {name: jax.ShapeDtypeStruct(v.shape, v.dtype) for name, v in params.items()}
    exported = export.export(jax.jit(function.call), platforms=tuple(platforms))(arrays, *inputs)
    return bytes(exported.serialize())


def read(data: bytes, name: str) -> Callable[..., Any]:
    """What `lower` made, to be called as (params, *inputs), under `jax.jit` too.

    Args:
        data: of one file. It is trusted: check its digest before.
        name: of the file, for messages.

    Raises:
        ReleaseError: this JAX does not read it.
    """
    try:
        return export.deserialize(bytearray(data)).call
    except ImportError:
        missing = f"{name}: needs the package flatbuffers: pip install flatbuffers"
        raise ReleaseError(missing) from None
    except Exception as error:  # whatever a reader of another version stumbles over
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ReleaseError(
            f"{name}: jax {jax.__version__} cannot read it ({said}); make it anew with "
            "python -m experiments.export --rebuild"
        ) from None


def this_platform() -> str:
    """The platform that computes here, in the words of PLATFORMS."""
    return export.default_export_platform()
