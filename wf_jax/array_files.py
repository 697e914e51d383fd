"""Reads untrusted .npy and .npz files: nothing is allocated before their headers are checked.

`numpy.load` makes room for whatever a header says, unpacks whatever a zip holds, and knows several
kinds of errors. Here names, shapes, types and sizes are known before the first array, sizes are
held against those of the file, and there is one kind of error.
Formats: numpy.lib.format, and APPNOTE.TXT of PKWARE for zip.
"""

import contextlib
import io
import math
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wf_jax.bounded_files import open_file

# An archive may unpack to this many times its size, or to FREE bytes: weights do not compress.
RATIO, FREE = 4, 1 << 28
MOST_MEMBERS = 1 << 12  # models have hundreds of arrays; so many are read within two seconds
_LONGEST_DIRECTORY = 1 << 22  # bytes
_LONGEST_HEADER = 10_000  # bytes; NumPy's own limit
MOST_AXES = 32  # of an array
_BLOCK = 1 << 20
_ENCRYPTED = 0x41  # bits of a member's flags
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    MemoryError,
    OverflowError,
    RuntimeError,  # encrypted, or a method or version that zipfile lacks
    ValueError,
)
_HEADER_ERRORS = (
    tokenize.TokenError,
    AttributeError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)


class ArrayFileError(ValueError):
    """A file holds no arrays that can be read; one line without its name."""


@dataclass(frozen=True)
class ArrayHeader:
    """An array that is not yet read.

    Attributes:
        shape: whole numbers of 0 or more.
        dtype: of plain numbers.
        fortran_order: whether the first index runs fastest.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool

    @property
    def bytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(path: Path) -> np.ndarray:
    """Reads the array of a .npy file.

    Raises:
        OSError: the file is missing or cannot be read.
        ArrayFileError: it is no .npy, not of plain numbers, or shorter than it says.
    """
    with open_file(path) as file:
        header = _read_header(file)
        there = os.fstat(file.fileno()).st_size - file.tell()
        if header.bytes > there:
            raise ArrayFileError(f"its header announces {header.bytes} bytes, {there} are there")
        return _read_values(file, header)


def map_npy(path: Path) -> np.ndarray:
    """Maps the array of a .npy file into memory, read-only.

    Raises:
        OSError: the file is missing or cannot be read.
        ArrayFileError: it is no .npy, not of plain numbers, empty, or shorter than it says.
    """
    with open_file(path) as file:
        header, start = _read_header(file), file.tell()
        there = os.fstat(file.fileno()).st_size - start
        if not 0 < header.bytes <= there:
            raise ArrayFileError(f"its header announces {header.bytes} bytes, {there} are there")
        order = "FC"[not header.fortran_order]
        # As a plain array: slices of np.memmap itself cost ten times as much.
        return np.asarray(np.memmap(file, header.dtype, "r", start, header.shape, order))


class ArrayArchive:
    """A .npz file: its arrays' headers, and then the arrays.

    Attributes:
        headers: by name, in the order of the file.
    """

    def __init__(self, archive: zipfile.ZipFile):
        """Reads the headers of an archive that `open_npz` checked."""
        self._archive = archive
        self.headers = {
            member.filename.removesuffix(".npy"): self._header(member)
            for member in archive.infolist()
        }

    def read(self) -> dict[str, np.ndarray]:
        """Reads all arrays by name.

        Raises:
            ArrayFileError: one is damaged.
        """
        return {name: self._array(name, header) for name, header in self.headers.items()}

    def _header(self, member: zipfile.ZipInfo) -> ArrayHeader:
        if not member.filename.endswith(".npy"):
            raise ArrayFileError(f"{shown(member.filename)} in it is no array")
        with self._archive.open(member) as file:
            header = _read_header(file)
            there = member.file_size - file.tell()
        if header.bytes != there:
            raise ArrayFileError(
                f"{shown(member.filename)} announces {header.bytes} bytes, {there} are there"
            )
        return header

    def _array(self, name: str, header: ArrayHeader) -> np.ndarray:
        with as_array_errors(), self._archive.open(f"{name}.npy") as file:
            _read_header(file)
            array = _read_values(file, header)
            if file.read(1):  # at the end, its checksum is compared
                raise ArrayFileError(f"{shown(name)} is longer than it says")
            return array


@contextlib.contextmanager
def open_npz(source: Path | BinaryIO, *, stored: bool = False) -> Iterator[ArrayArchive]:
    """Opens a .npz file, of which nothing but its arrays' headers is read yet.

    Args:
        source: a path, or a file that is open.
        stored: refuse what is compressed: numpy.savez does not compress.

    Raises:
        OSError: the file is missing or cannot be read.
        ArrayFileError: it is no .npz, or one that is refused.
    """
    with open_zip(source, stored=stored) as archive:
        with as_array_errors():
            arrays = ArrayArchive(archive)
        yield arrays


@contextlib.contextmanager
def open_zip(source: Path | BinaryIO, *, stored: bool = False) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive whose members are few, plain and not much larger than itself.

    Args:
        source: a path, or a file that is open.
        stored: refuse what is compressed.

    Raises:
        OSError: the file is missing or cannot be read.
        ArrayFileError: it is no zip, or one that is refused.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_file(source)) if isinstance(source, Path) else source
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        guarded = _Guarded(file)
        with as_array_errors():
            archive = stack.enter_context(zipfile.ZipFile(guarded))
        guarded.most = size
        _check_members(archive, size, stored)
        yield archive


class _Guarded(io.BufferedIOBase):
    """A file that returns at most `most` bytes per read: zipfile reads a directory in one go."""

    def __init__(self, file: BinaryIO):
        super().__init__()
        self._file, self.most = file, _LONGEST_DIRECTORY

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > self.most:
            raise ArrayFileError(f"a directory of {size} bytes; archives of arrays have fewer")
        return self._file.read(size)


def _check_members(archive: zipfile.ZipFile, size: int, stored: bool) -> None:
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise ArrayFileError(f"{len(members)} members; archives of arrays have fewer")
    if len({member.filename for member in members}) != len(members):
        raise ArrayFileError("a name occurs twice")
    for member in members:
        if member.flag_bits & _ENCRYPTED:
            raise ArrayFileError(f"{shown(member.filename)} is encrypted")
        if member.compress_type not in (_METHODS[:1] if stored else _METHODS):
            raise ArrayFileError(f"{shown(member.filename)} is compressed")
    unpacked = sum(member.file_size for member in members)
    most = size if stored else max(RATIO * size, FREE)
    if unpacked > most:
        raise ArrayFileError(f"unpacks to {unpacked} bytes, but has {size} itself")


def _read_header(file: BinaryIO) -> ArrayHeader:
    begin = file.read(8)
    if begin[:6] != b"\x93NUMPY" or begin[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ArrayFileError("no .npy of a version that is known")
    length = int.from_bytes(file.read(2 if begin[6] == 1 else 4), "little")
    if length > _LONGEST_HEADER:
        raise ArrayFileError(f"a header of {length} bytes")
    # A header that short, of plain numbers, is the same in every version.
    text = io.BytesIO(length.to_bytes(2, "little") + file.read(length))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python 2, and of strange escapes
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(text)
    except _HEADER_ERRORS:
        raise ArrayFileError("a damaged header") from None
    if dtype.kind not in "fiubc" or dtype.subdtype is not None:
        raise ArrayFileError(f"type {shown(str(dtype))}, which is no plain numbers")
    if len(shape) > MOST_AXES or not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
        raise ArrayFileError("a damaged shape")
    return ArrayHeader(shape, dtype, fortran_order)


def _read_values(file: BinaryIO, header: ArrayHeader) -> np.ndarray:
    """Reads the array whose header was read; the file is known to hold all of it."""
    flat = np.empty(header.bytes, np.uint8)
    for start in range(0, header.bytes, _BLOCK):
        part = flat[start : start + _BLOCK]
        data = file.read(len(part))
        if len(data) != len(part):
            raise ArrayFileError("it ends before its arrays do")
        part[:] = np.frombuffer(data, np.uint8)
    return flat.view(header.dtype).reshape(header.shape, order="FC"[not header.fortran_order])


@contextlib.contextmanager
def as_array_errors() -> Iterator[None]:
    """Turns every error of a damaged zip into an ArrayFileError."""
    try:
        yield
    except ArrayFileError:
        raise
    except _ZIP_ERRORS as error:
        raise ArrayFileError(shown(str(error)) or type(error).__name__) from None


def shown(text: str) -> str:
    """Formats a text from an untrusted file: short and on one line."""
    escaped = text[:100].encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= 100 and len(text) <= 100 else escaped[:97] + "..."
