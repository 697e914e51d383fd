"""Checks that a command can write its output, before it works for minutes."""

import tempfile
from pathlib import Path

from wf_jax.errors import UserError, why
from wf_jax.folders import HIDDEN


def check_file(path: Path) -> None:
    """Refuses the path of a file that could not be written; leaves nothing behind.

    Raises:
        UserError: the path is a folder, or its own folder is missing or not writable.
    """
    if _is_dir(path):
        raise UserError(f"{path}: is a folder; name a file in it")
    if not _is_dir(path.parent):
        raise UserError(f"{path}: the folder {path.parent} does not exist; make it first")
    _try(path, path.parent)


def check_folder(path: Path) -> None:
    """Refuses a folder that could not be made or written in; leaves nothing behind.

    Raises:
        UserError: the path or a folder above it is a file, or not writable.
    """
    there = path.absolute()
    while not _exists(there):
        there = there.parent
    if not there.is_dir():
        which = "" if there == path.absolute() else f"{there} "
        raise UserError(f"{path}: {which}is a file; give another folder")
    _try(path, there)


def _try(path: Path, folder: Path) -> None:
    try:
        # It has no name, or not for long: a killed process leaves nothing.
        with tempfile.TemporaryFile(prefix=HIDDEN, dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {why(error)}") from None


def _is_dir(path: Path) -> bool:
    return _exists(path) and path.is_dir()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise UserError(f"{path}: cannot be written: {why(error)}") from None
