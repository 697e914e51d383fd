"""Chooses the path of an ONNX file; needs no JAX."""

from pathlib import Path

from experiments.terminal.outputs import check_folder
from wf_jax.errors import UserError


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
