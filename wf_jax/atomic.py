"""Files that appear complete or not at all, folders that may be remote, and what went wrong."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from etils import epath

_NO_ROOM = "make room, then the same command goes on"
_FORBIDDEN = "change its permissions, or give another folder"
_REMEDIES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: "give another folder",
    errno.EEXIST: "give another folder",
    errno.ENOTDIR: "give another folder",
}


def folder_path(text: str) -> Path:
    """A folder as a user names it: a local path, or one that etils.epath reads, such as gs://."""
    return epath.Path(text) if "://" in text else Path(text)


def is_remote(path: Path) -> bool:
    """Whether a path of `folder_path` is not of the local file system."""
    return "://" in str(path)


def why(error: OSError) -> str:
    """What the operating system says, and what to do: goes behind the name of the file."""
    said, remedy = error.strerror or str(error), _REMEDIES.get(error.errno or 0)
    return f"{said}; {remedy}" if remedy else said


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Has the errors of the operating system name `path`: those of an open file name none."""
    try:
        yield
    except OSError as error:
        if error.filename is None or Path(error.filename).name.startswith(_hidden(path)):
            error.filename = str(path)
        raise


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
        OSError: the folder is missing or not writable, or the disk is full; it names `path`.
    """
    path = Path(path)
    with naming(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_hidden(path))
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
            Path(name).chmod(0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


def _hidden(path: Path) -> str:
    return f".{path.name}."


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
