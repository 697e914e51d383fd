"""Serializes functions as StableHLO, for batches and clips of any size, and reads them back.

https://docs.jax.dev/en/latest/export/export.html; the file holds JAX's own calling convention
around the portable StableHLO of a function.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import export

from wf_jax.errors import UserError, first_line
from wf_jax.export.manifest import PLATFORMS as PLATFORMS
from wf_jax.export.manifest import Value


@dataclasses.dataclass(frozen=True)
class Function:
    """A function of a release, before it is exported.

    Attributes:
        name: that it is called by.
        call: (params, *inputs) -> an output, or a tuple of outputs.
        inputs: by name, in their order; sizes may be symbols: b clips or sequences, f mel frames, n
            chunks of samples.
        outputs: by name, in their order.
        least_frames: the least f that there is.
    """

    name: str
    call: Callable[..., Any]
    inputs: dict[str, Value]
    outputs: dict[str, Value]
    least_frames: int = 1


class UnreadableError(UserError):
    """An artifact that this JAX does not read."""


def lower(
    function: Function,
    params: Mapping[str, Any],
    platforms: Sequence[str],
    sizes: Mapping[str, int] | None = None,
) -> export.Exported:
    """Exports a function for any of the platforms, none of which the host need have.

    Args:
        function: what to export.
        params: the arrays that it takes, or their shapes.
        platforms: some of PLATFORMS.
        sizes: values of all symbols, for a module of fixed sizes; None: any sizes.

    Raises:
        KeyError: a symbol has no value.
    """
    values = function.inputs.values()
    clips = any("f" in value.shape for value in values) and sizes is None
    scope = export.SymbolicScope([f"f >= {function.least_frames}"] if clips else [])

    def spec(value: Value) -> jax.ShapeDtypeStruct:
        if sizes is None:
            shape = export.symbolic_shape(value.shape, scope=scope)
        else:
            shape = value.sizes(sizes)
        return jax.ShapeDtypeStruct(shape, np.dtype(value.dtype))

    arrays = {name: jax.ShapeDtypeStruct(v.shape, v.dtype) for name, v in params.items()}
    # Without Python a host is spared the question which arguments are left.
    jitted = jax.jit(function.call, keep_unused=sizes is not None)
    with _no_source_lines():
        return export.export(jitted, platforms=tuple(platforms))(arrays, *map(spec, values))


def read(data: bytes, name: str) -> Callable[..., Any]:
    """Reads a function that `lower` made: called as (params, *inputs), under `jax.jit` too.

    Args:
        data: of one file. It is trusted: check its digest before.
        name: of the file, for messages.

    Raises:
        UnreadableError: this JAX does not read it.
        UserError: a package is missing.
    """
    try:
        return export.deserialize(bytearray(data)).call
    except ImportError:
        missing = f"{name}: needs the package flatbuffers: pip install flatbuffers"
        raise UserError(missing) from None
    except Exception as error:  # whatever a reader of another version stumbles over
        said = f"jax {jax.__version__} cannot read {name} ({first_line(error)})"
        raise UnreadableError(said) from None


def platform_of(devices: Sequence[jax.Device] | None = None) -> str:
    """Names the platform of these devices, or the default one, in the words of PLATFORMS."""
    if not devices or devices[0].platform == jax.default_backend():
        return export.default_export_platform()
    return "cuda" if devices[0].platform == "gpu" else devices[0].platform


@contextlib.contextmanager
def _no_source_lines() -> Iterator[None]:
    """Drops the source line of each operation.

    They are up to an eighth of the size, and would make a release depend on the folder of the code.
    """
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)
