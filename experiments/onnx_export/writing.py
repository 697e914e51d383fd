"""Writes the ONNX file of a model: all checks that need no JAX, then its program."""

import importlib.util
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from experiments.run.vocoder_folder import model_folder
from experiments.terminal.outputs import check_folder
from wf_jax.amps.nam_file import read_nam
from wf_jax.command_lines import from_here
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import check_model, load_model
from wf_jax.whole_files import write_whole

if TYPE_CHECKING:
    from experiments.onnx_export.programs import Program


def export_onnx(model: str, output: str, frames: int, block: int, slim: float) -> None:
    """Converts one model, compares the result with JAX and writes it.

    Raises:
        UserError: a file cannot be used, a package is missing, or the result differs from JAX.
    """
    _check_model(model)
    target(Path(output), "model")
    _need_packages()
    from experiments.onnx_export.programs import checked  # and with it JAX

    program = _program(model, frames, block, slim)
    path = target(Path(output), program.name)
    content, difference = checked(program)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, content, program.state)
    print(
        f"{path}: {len(content) / 1e6:.2f} MB; greatest difference of onnxruntime from JAX "
        f"{difference:.1e} of the output's scale"
    )


def target(output: Path, name: str) -> Path:
    """Returns the named file, or `name`.onnx in the named folder.

    Raises:
        UserError: it is no file's name, or cannot be written.
    """
    path = output if output.suffix == ".onnx" else output / f"{name}.onnx"
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give the name of a file in it")
    for parent in path.parents:
        if parent.is_file():
            raise UserError(f"{parent}: is a file; give a folder for {path.name}")
    check_folder(path.parent)
    return path


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
        packages = shlex.quote(from_here(Path(__file__).with_name("requirements.txt")))
        raise UserError(
            f"{' and '.join(missing)} not installed; make an environment for it: python3 -m venv "
            f".onnx && .onnx/bin/pip install -r {packages}, then use .onnx/bin/python"
        )


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


def _program(model: str, frames: int, block: int, slim: float) -> "Program":
    from experiments.onnx_export.programs import amp, vocoder
    from wf_jax.amps import load_nam

    if file := _nam_file(model):
        return amp(load_nam(file).at_size(slim), block)
    return vocoder(load_model(model_folder(Path(model))), frames)


def _nam_file(model: str) -> Path | None:
    """Returns the named .nam file or that of a named run; None for a vocoder."""
    if model.endswith(".nam"):
        return Path(model)
    captured = Path(model, "model.nam")
    return captured if captured.is_file() else None
