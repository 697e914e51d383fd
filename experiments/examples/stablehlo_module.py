"""Writes one function of a release as a StableHLO module of fixed sizes, for hosts without Python.

    python -m experiments.examples.stablehlo_module RELEASE step_64 OUTPUT cpu b=1
    python -m experiments.examples.stablehlo_module RELEASE synthesize OUTPUT cuda b=1 f=256

OUTPUT.mlirbc is StableHLO's portable form, for PJRT, IREE and others. OUTPUT.txt lists the
arguments of its `main` in their order: type, rank, sizes, name. OUTPUT.data holds their bytes, as
far as they are known: the arrays of the model, then, of an amp, the state of silence.
cpp_host.md shows a host. The artifacts of a release have sizes that only JAX fills in, so this
takes the model itself, and all packages of wf_jax.
"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wf_jax.errors import UserError
from wf_jax.export.manifest import PARAMS, PLATFORMS, copied, read_release
from wf_jax.export.release import params_of

if TYPE_CHECKING:
    from wf_jax.export.artifacts import Function


def write_module(release: Path, name: str, output: str, platform: str, **sizes: int) -> None:
    """Writes the three files."""
    if platform not in PLATFORMS:
        raise UserError(f"platform {platform} is none of {', '.join(PLATFORMS)}")
    manifest, files = read_release(release)
    if name not in manifest.functions:
        raise UserError(f"{release}: {name} is none of {', '.join(manifest.functions)}")
    params = params_of(release / PARAMS, files[PARAMS], manifest)
    from wf_jax.export.artifacts import lower  # and with it JAX and the models
    from wf_jax.export.rebuild import functions_of

    with copied(files) as folder:
        functions = {function.name: function for function in functions_of(folder, manifest)}
    missing = _symbols(functions[name]) - sizes.keys()
    if missing:
        raise UserError(f"{name} needs sizes for {', '.join(sorted(missing))}: {min(missing)}=1")
    exported = lower(functions[name], params, [platform], sizes)
    known = [params[key] for key in sorted(params)]
    if "state" in functions[name].inputs:
        silence = np.asarray(functions["init_state"].call(params))
        known.append(np.tile(silence, (sizes["b"], 1)))
    names = [*sorted(params), *functions[name].inputs]
    lines = [
        " ".join(map(str, (value.dtype, value.ndim, *value.shape, key)))
        for key, value in zip(names, exported.in_avals, strict=True)
    ]
    Path(f"{output}.mlirbc").write_bytes(exported.mlir_module_serialized)
    Path(f"{output}.txt").write_text("\n".join(lines) + "\n")
    Path(f"{output}.data").write_bytes(b"".join(np.ascontiguousarray(v).tobytes() for v in known))


def _symbols(function: "Function") -> set[str]:
    return set(re.findall("[a-z]", " ".join(value.shape for value in function.inputs.values())))


if __name__ == "__main__":
    given = [re.fullmatch("([a-z])=([0-9]+)", text) for text in sys.argv[5:]]
    if len(sys.argv) < 5 or None in given:
        sys.exit(
            "usage: python -m experiments.examples.stablehlo_module RELEASE FUNCTION OUTPUT "
            "PLATFORM b=1 ..."
        )
    folder, function_name, base, target = sys.argv[1:5]
    numbers = dict(match.groups() for match in given)
    try:
        write_module(
            Path(folder), function_name, base, target, **{k: int(v) for k, v in numbers.items()}
        )
    except (OSError, UserError) as error:
        sys.exit(str(error))
