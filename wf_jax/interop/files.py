"""Reads weight files as named numpy arrays: .npz, .safetensors, Paddle's .pdparams, PyTorch's .pt.

None of them needs Paddle or PyTorch, and none can run code: see `pickles`.
"""

import io
import itertools
import json
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wf_jax.array_files import (
    FREE,
    MOST_AXES,
    RATIO,
    ArrayFileError,
    as_array_errors,
    open_npz,
    open_zip,
)
from wf_jax.bounded_files import open_file
from wf_jax.errors import UserError
from wf_jax.interop.pickles import Global, arrays_of, load, shown

LARGEST_FILE = 2 << 30  # bytes; with its optimizer's state, NVIDIA's WaveGlow has 1 GiB
LARGEST_PICKLE = 1 << 24  # bytes, of one without arrays; WaveGlow's has 100 KiB
_LONGEST_HEADER = 1 << 22  # bytes, of .safetensors; 900 arrays have 100 KiB
_SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "bf16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the named arrays of a weight file; its suffix says which format it has.

    Args:
        path: .npz, .safetensors, .pdparams, or PyTorch's .pt, .pth, .ckpt, .bin or no suffix.

    Returns:
        Names as saved to arrays; bfloat16 becomes float32. They may be read-only views.

    Raises:
        UserError: the file is missing, damaged, of another format, or asks to run code.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(filter(None, _READERS))
        raise UserError(f"{path}: unknown suffix; weight files end in {known}")
    try:
        with open_file(path):
            size = path.stat().st_size
        if size > LARGEST_FILE:
            raise UserError(
                f"{path}: larger than {LARGEST_FILE:,} bytes, the most that is read; save it "
                "without its optimizer's state"
            )
        arrays = reader(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ArrayFileError as error:
        raise UserError(f"{path}: damaged zip ({error}); fetch the file again") from None
    _check_total(path, arrays, size)
    return arrays


def _check_total(path: Path, arrays: dict[str, np.ndarray], size: int) -> None:
    """Refuses arrays whose copies take too much memory: many may be views of the same bytes."""
    total = sum(array.nbytes for array in arrays.values())
    if total > max(RATIO * size, FREE):
        raise UserError(
            f"{path}: arrays of {total:,} bytes in a file of {size:,}; save each by itself"
        )


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with open_npz(path) as arrays:
            for name, header in arrays.headers.items():
                if header.dtype.kind == "c":
                    raise ArrayFileError(f"{shown(name)} holds complex numbers")
            return arrays.read()
    except ArrayFileError as error:
        raise UserError(
            f"{path}: damaged, or not only numbers ({error}); save plain arrays"
        ) from None


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise UserError(
                f"{path}: damaged: a header of {length} bytes in a file of {size}; fetch it again"
            )
        if length > _LONGEST_HEADER:
            raise UserError(f"{path}: a header of {length} bytes; save it with fewer arrays")
        spans = _spans(path, file.read(length))
        _check_cover(path, spans, size - 8 - length)
        body = memoryview(file.read())
    if len(body) != size - 8 - length:
        raise UserError(f"{path}: was changed meanwhile; convert it when it is all there")
    return {
        name: decode(body[start:stop], dtype).reshape(shape)
        for name, dtype, shape, start, stop in spans
    }


def _spans(path: Path, text: bytes) -> list[tuple[str, str, list[int], int, int]]:
    """Returns the entries of a safetensors header, each checked by itself."""
    try:
        header = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged header ({shown(error)}); fetch the file again") from None
    if not isinstance(header, dict):
        raise UserError(f"{path}: the header is not a table; fetch the file again")
    header.pop("__metadata__", None)
    return [_span(path, name, entry) for name, entry in header.items()]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _span(path: Path, name: str, entry: Any) -> tuple[str, str, list[int], int, int]:
    """Checks one entry of a safetensors header: (name, dtype, shape, start, stop)."""
    entry = entry if isinstance(entry, dict) else {}
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    dtype = _SAFETENSORS_DTYPES.get(str(entry.get("dtype")))
    if dtype is None:
        known = ", ".join(_SAFETENSORS_DTYPES)
        kind = shown(entry.get("dtype"))
        raise UserError(f"{path}: {shown(name)}: dtype {kind}; save it as one of {known}")
    lists = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2
    if not lists or not all(type(n) is int and 0 <= n < 1 << 63 for n in shape + offsets):
        raise UserError(f"{path}: {shown(name)}: damaged header; fetch the file again")
    if len(shape) > MOST_AXES:  # before they are multiplied, which takes long for many
        raise UserError(f"{path}: {shown(name)}: shape of {len(shape)} axes; fetch it again")
    size = math.prod(shape) * (2 if dtype == "bf16" else np.dtype(dtype).itemsize)
    if offsets[1] - offsets[0] != size:
        raise UserError(
            f"{path}: {shown(name)}: shape {shown(shape)} needs {shown(size)} bytes, but has "
            f"{offsets[1] - offsets[0]}; fetch the file again"
        )
    return name, dtype, shape, *offsets


def _check_cover(path: Path, spans: list[tuple], size: int) -> None:
    """Checks the format's own rule: the arrays fill the file without a gap."""
    ordered = sorted(span[3:] for span in spans)
    edges = [(0, 0), *ordered, (size, size)]
    if any(left[1] != right[0] for left, right in itertools.pairwise(edges)):
        raise UserError(
            f"{path}: damaged: the arrays do not fill its {size} bytes exactly; fetch it again"
        )


def decode(data: bytes | memoryview, dtype: str) -> np.ndarray:
    """Decodes bytes to a flat array; `bf16`, the upper half of a float32, becomes float32."""
    if dtype != "bf16":
        return np.frombuffer(data, dtype)
    return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")


def _read_pdparams(path: Path) -> dict[str, np.ndarray]:
    with open_file(path) as file:
        return arrays_of(load(file, str(path)), str(path))


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        path.open("rb").close()  # a missing file is said so
        raise UserError(
            f"{path}: not a zip, as PyTorch writes since 1.6; torch.load it there and torch.save "
            "its state_dict() again"
        )
    with open_zip(path) as archive:
        root = _torch_root(path, archive)
        storages = _Storages(str(path), archive, root)
        pickle = io.BytesIO(_member(archive, f"{root}/data.pkl", LARGEST_PICKLE))
        return arrays_of(load(pickle, str(path), storages), str(path))


def _member(archive: zipfile.ZipFile, name: str, most: int = LARGEST_FILE) -> bytes:
    with as_array_errors():
        if archive.getinfo(name).file_size > most:
            raise ArrayFileError(f"{shown(name)} has more than {most:,} bytes")
        return archive.read(name)


def _torch_root(path: Path, archive: zipfile.ZipFile) -> str:
    """Returns the top folder of the archive; checks the sizes that the archive claims."""
    names = archive.namelist()
    roots = [n.removesuffix("/data.pkl") for n in names if n.endswith("/data.pkl")]
    if len(roots) != 1 or len(set(names)) != len(names):
        raise UserError(f"{path}: not from torch.save: no data.pkl; save model.state_dict()")
    if f"{roots[0]}/constants.pkl" in names:
        raise UserError(f"{path}: a TorchScript archive; torch.save its state_dict()")
    entries = archive.infolist()
    stored = all(e.compress_type == zipfile.ZIP_STORED for e in entries)
    if not stored or sum(e.file_size for e in entries) > path.stat().st_size:
        raise UserError(
            f"{path}: damaged: torch.save does not compress its archives; fetch the file again"
        )
    return roots[0]


class _Storages:
    """The flat arrays of a PyTorch archive, each read once."""

    def __init__(self, source: str, archive: zipfile.ZipFile, root: str) -> None:
        self._source = source
        self._archive = archive
        self._root = root
        self._read: dict[tuple[str, str], np.ndarray] = {}
        order = f"{root}/byteorder"
        if order in archive.namelist() and _member(archive, order, 100) != b"little":
            raise UserError(f"{source}: saved as big-endian; save it on a usual machine")

    def __call__(self, name: Any) -> np.ndarray:
        """Reads the storage that a persistent id names: ("storage", type, key, device, count)."""
        if not isinstance(name, tuple) or len(name) != 5 or name[0] != "storage":
            raise self._damaged("an id that is no storage")
        _, kind, key, _, count = name
        if not isinstance(kind, Global) or not kind.dtype or type(key) is not str:
            raise self._damaged("a storage without a type")
        if (key, kind.dtype) not in self._read:
            self._read[key, kind.dtype] = self._load(key, kind.dtype)
        flat = self._read[key, kind.dtype]
        if count != flat.size:
            raise self._damaged(f"storage {shown(key)} has {flat.size} values, not {shown(count)}")
        return flat

    def _load(self, key: str, dtype: str) -> np.ndarray:
        name = f"{self._root}/data/{key}"
        if name not in self._archive.NameToInfo:
            raise self._damaged(f"storage {shown(key)} is missing")
        data = _member(self._archive, name)
        return decode(data, dtype if dtype == "bf16" else f"<{dtype}")

    def _damaged(self, reason: str) -> UserError:
        return UserError(f"{self._source}: damaged: {reason}; fetch the file again")


_READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".pdparams": _read_pdparams,
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ""), _read_torch),
}
