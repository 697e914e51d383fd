"""Reads files of strangers up to a size."""

import errno
from pathlib import Path
from typing import Any, BinaryIO

from wf_jax.errors import UserError
from wf_jax.json_values import parse_json

LARGEST_CONFIG = 1 << 20  # bytes of what describes a model or a run; the largest has 4 KiB
LARGEST_TABLE = 1 << 28  # bytes of a list of recordings; LJSpeech's have 3 and 5 MB
LARGEST_RECORDS = 1 << 26  # bytes of what a run wrote at its evaluations, some 300 each
_BLOCK = 1 << 20


def open_file(path: Path) -> BinaryIO:
    """Opens a regular file to read; a pipe or a device might never end.

    Args:
        path: a pathlib.Path, or what has the same methods.

    Raises:
        OSError: it is missing, cannot be read, or is a pipe, a device or a folder.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def read_bounded(path: Path, most: int) -> bytes:
    """Reads a file that has `most` bytes at most.

    Args:
        path: a pathlib.Path, or what has the same methods.
        most: bytes.

    Raises:
        OSError: as `open_file`.
        UserError: it has more; without the file's name.
    """
    data = bytearray()
    with open_file(path) as file:
        while block := file.read(_BLOCK):
            data += block
            if len(data) > most:
                raise UserError(f"larger than {most:,} bytes, the most that is read")
    return bytes(data)


def read_json(path: Path, most: int = LARGEST_CONFIG) -> Any:
    """Reads the value in a JSON file that has `most` bytes at most.

    Args:
        path: a pathlib.Path, or what has the same methods.
        most: bytes.

    Raises:
        OSError: as `open_file`.
        ValueError: it has more, or is no JSON.
    """
    return parse_json(read_bounded(path, most))
