"""Folders that may be remote, the text files in them, and errors that name the file."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from wf_jax.bounded_files import read_bounded
from wf_jax.errors import UserError, first_line

HIDDEN = ".wf_jax-"  # begins temporary names, which have room where the name itself is at the limit
_SYSTEM_ERROR = 2  # of libsndfile, which keeps the system's reason to itself
_NO_ROOM = 2**20  # bytes


def folder_path(text: str) -> Path:
    """Returns the folder that a user names: a local path, or gs://BUCKET/FOLDER.

    Raises:
        UserError: it is in another store, or the package that reads it is missing.
    """
    store, remote, _ = text.partition("://")
    if not remote:
        return Path(text)
    if store != "gs":
        raise UserError(f"{text}: give a local folder, or gs://BUCKET/FOLDER")
    import fsspec
    from etils import epath

    try:
        fsspec.get_filesystem_class("gcs")
    except ImportError:
        raise UserError(f"{text} needs the package gcsfs: pip install gcsfs") from None
    return epath.Path(text)


def is_remote(path: Path) -> bool:
    """Returns True for a path of `folder_path` outside the local file system."""
    return "://" in str(path)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Re-raises any error of `path` as an OSError that names it.

    The system's errors of an open file name none; libsndfile and remote stores have errors of their
    own.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and not (is_remote(path) and error.errno is None):
            if error.filename is None or Path(os.fsdecode(error.filename)).name.startswith(HIDDEN):
                error.filename = str(path)
            raise
        if is_remote(path):
            number, said = errno.EIO, first_line(error)
        elif type(error).__module__ == "soundfile" and getattr(error, "code", 0) == _SYSTEM_ERROR:
            full = shutil.disk_usage(path.parent).free < _NO_ROOM
            number = errno.ENOSPC if full else errno.EIO
            said = os.strerror(number)
        else:
            raise
        raise OSError(number, said, str(path)) from error


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
        except UserError as error:
            raise OSError(errno.EFBIG, str(error), str(path)) from None


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
