"""Where an ONNX file goes; needs no JAX."""

from pathlib import Path

from experiments.terminal.outputs import check_folder
from wf_jax.errors import UserError


class ExportError(UserError):
    """A model that cannot be exported; one line."""


def target(output: Path, name: str) -> Path:
    """The file that is named, or `name`.onnx in the folder that is.

    Raises:
        ExportError, OutputError: it is no file's name, or cannot be written.
    """
    path = output if output.suffix == ".onnx" else output / f"{name}.onnx"
    if path.is_dir():
        raise ExportError(f"{path}: is a folder; give the name of a file in it")
    for parent in path.parents:
        if parent.is_file():
            raise ExportError(f"{parent}: is a file; give a folder for {path.name}")
    check_folder(path.parent)
    return path
