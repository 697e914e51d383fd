"""Writes a model as one ONNX file, for programs without Python or JAX.

    python -m experiments.export_onnx --model=WORKDIR|FOLDER --output=DIR --frames=128
    python -m experiments.export_onnx --model=amp.nam --output=amp.onnx --block=64

A vocoder (WaveFlow or WaveGlow) becomes mel [1, M, F], noise [1, F * hop] (standard normal) and
temperature [] -> audio [1, F * hop]; an amp becomes state [1, S] and x [1, N] -> new_state and y,
and a second file, .state.npy, its first state: that after endless silence. All sizes are fixed, all
numbers float32. The results of onnxruntime are compared with JAX before anything is written.

It needs jax2onnx, in an environment of its own: see experiments/onnx_export/requirements.txt.
"""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from absl import app, flags

from experiments.onnx_export.target import target
from experiments.run.model_folder import model_folder
from experiments.terminal.start import no_arguments, parse_flags, set_up
from wf_jax.amps.nam_file import read_nam
from wf_jax.errors import UserError, why
from wf_jax.flows.model_folder import check_model, load_model
from wf_jax.whole_files import write_whole

if TYPE_CHECKING:
    from experiments.onnx_export.programs import Program

_MODEL = flags.DEFINE_string("model", None, "Folder of a run or a converted model, or a .nam file")
_OUTPUT = flags.DEFINE_string("output", None, "The .onnx file to write, or a folder for it")
_FRAMES = flags.DEFINE_integer("frames", 128, "Mel frames that a vocoder synthesizes at once", 1)
_BLOCK = flags.DEFINE_integer("block", 64, "Samples that an amp plays at once", 1)
_SLIM = flags.DEFINE_float(
    "slim", 1.0, "Size of an amp that has several: 0 smallest, 1 largest", 0.0, 1.0
)


def main(argv: list[str]) -> None:
    """Converts one model, checks the result and writes it."""
    set_up()
    no_arguments(argv, "--output=DIR")
    try:
        _check_model(_MODEL.value)
        target(Path(_OUTPUT.value), "model")
        _need_packages()
        program = _program(_MODEL.value)
        path = target(Path(_OUTPUT.value), program.name)
        from experiments.onnx_export.programs import checked

        content, difference = checked(program)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content, program.state)
    except UserError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or _OUTPUT.value}: cannot be written: {why(error)}")
    except KeyboardInterrupt:
        sys.exit(f"\n{_OUTPUT.value}: stopped; nothing was written")
    print(
        f"{path}: {len(content) / 1e6:.2f} MB; greatest difference of onnxruntime from JAX "
        f"{difference:.1e} of the output's scale"
    )


def _write(path: Path, content: bytes, state: np.ndarray | None) -> None:
    """Writes the file, and beside it the first state of an amp."""

    def write(file: BinaryIO) -> None:
        file.write(content)
        file.flush()
        if state is not None:
            beside = path.with_suffix(".state.npy")
            write_whole(beside, lambda file: np.save(file, state))
            print(f"{beside}: the state before the first block, {list(state.shape)} float32")

    write_whole(path, write)


def _need_packages() -> None:
    missing = [n for n in ("jax2onnx", "onnxruntime") if importlib.util.find_spec(n) is None]
    if missing:
        raise UserError(
            f"{' and '.join(missing)} not installed; make an environment for it: python3 -m venv "
            ".onnx && .onnx/bin/pip install -r experiments/onnx_export/requirements.txt, then use "
            ".onnx/bin/python"
        )


def _nam_file(model: str) -> Path | None:
    """Returns the named .nam file or that of a named run; None for a vocoder."""
    if model.endswith(".nam"):
        return Path(model)
    captured = Path(model, "model.nam")
    return captured if captured.is_file() else None


def _check_model(model: str) -> None:
    """Refuses unsuitable models before JAX is loaded."""
    if file := _nam_file(model):
        read_nam(file)
        return
    config = check_model(model_folder(Path(model)))
    if config.context_samples is None:
        raise UserError(
            f"{model}: a {config.family} computes one sample after another, which no ONNX "
            "file is made of; give a WaveFlow or a WaveGlow"
        )


def _program(model: str) -> "Program":
    from experiments.onnx_export.programs import amp, vocoder
    from wf_jax.amps import load_nam

    if file := _nam_file(model):
        return amp(load_nam(file).at_size(_SLIM.value), _BLOCK.value)
    return vocoder(load_model(model_folder(Path(model))), _FRAMES.value)


if __name__ == "__main__":
    flags.mark_flags_as_required(["model", "output"])
    app.run(main, flags_parser=parse_flags)
