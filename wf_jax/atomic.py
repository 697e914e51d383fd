"""Folders that may be remote, the text files in them, and errors that name the file."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
from etils import epath

from wf_jax.bounded_files import TooLargeError, read_bounded
from wf_jax.errors import UserError
from wf_jax.whole_files import HIDDEN, write_whole

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


class FolderError(UserError):
    """A folder's name is of a kind that cannot be used here."""


def folder_path(text: str) -> Path:
    """Returns the folder that a user names: a local path, or gs://BUCKET/FOLDER.

    Raises:
        FolderError: it is in another store, or the package that reads it is missing.
    """
    store, remote, _ = text.partition("://")
    if not remote:
        return Path(text)
    if store != "gs":
        raise FolderError(f"{text}: give a local folder, or gs://BUCKET/FOLDER")
    try:
        fsspec.get_filesystem_class("gcs")
    except ImportError:
        raise FolderError(f"{text} needs the package gcsfs: pip install gcsfs") from None
    return epath.Path(text)


def is_remote(path: Path) -> bool:
    """Returns True for a path of `folder_path` outside the local file system."""
    return "://" in str(path)


def why(error: OSError) -> str:
    """Returns the operating system's message and the remedy, to follow the file's name."""
    said, remedy = error.strerror or str(error), _REMEDIES.get(error.errno or 0)
    return f"{said}; {remedy}" if remedy else said


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Re-raises any error of `path` as an OSError that names it.

    The system's errors of an open file name none, and a remote store has errors of its own.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            if error.filename is None or Path(os.fsdecode(error.filename)).name.startswith(HIDDEN):
                error.filename = str(path)
            raise
        if not is_remote(path):
            raise
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise OSError(errno.EIO, said, str(path)) from error


def read_text(path: Path, most: int) -> str | None:
    """Reads a text file of `most` bytes at most; bytes that are not UTF-8 become a mark.

    Returns:
        The text; None where there is no file.

    Raises:
        OSError: it cannot be read, or has more bytes; names `path`.
    """
    with naming(path):
        if not path.exists():
            return None
        try:
            return read_bounded(path, most).decode(errors="replace")
        except TooLargeError as error:
            raise OSError(errno.EFBIG, str(error), str(path)) from None


def write_text(path: Path, text: str) -> None:
    """Writes a text whole; objects of a remote store always appear so.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; it names `path`.
    """
    if is_remote(path):
        with naming(path):
            path.write_text(text)
    else:
        write_whole(path, lambda file: file.write(text.encode()))


def copy_files(source: Path, target: Path) -> None:
    """Copies the files of a folder; either may be remote, where there are no folders to make.

    Raises:
        OSError: a file cannot be read or written; names the copy.
    """
    for path in source.iterdir():
        copy = target / path.name
        if path.is_dir():
            copy_files(path, copy)
            continue
        with naming(copy):
            target.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
