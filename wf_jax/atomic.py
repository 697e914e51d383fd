"""Files that appear complete or not at all, and folders that may be remote."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from etils import epath


def folder_path(text: str) -> Path:
    """A folder as a user names it: a local path, or one that etils.epath reads, such as gs://."""
    return epath.Path(text) if "://" in text else Path(text)


def is_remote(path: Path) -> bool:
    """Whether a path of `folder_path` is not of the local file system."""
    return "://" in str(path)


def write_text(path: Path, text: str) -> None:
    """Writes a text whole; objects of a remote store always appear so.

    Raises:
        OSError: the folder is missing or not writable.
    """
    if is_remote(path):
        path.write_text(text)
    else:
        write_whole(path, lambda file: file.write(text.encode()))


def write_whole(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Has `write` fill a hidden file beside `path`, then renames it onto `path`.

    Raises:
        OSError: the folder is missing or not writable.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        Path(name).chmod(0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
