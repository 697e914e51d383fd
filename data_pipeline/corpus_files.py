"""Reads and writes the audio of a prepared corpus, `audio.npy`.

Holds every clip end to end as int16 in NumPy's own format, so that it can be memory-mapped. The
folder holds it and its index, complete, or does not exist.
"""

import hashlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from data_pipeline.corpus_index import AUDIO_NAME, Index, prepare_again
from wf_jax.array_files import ArrayFileError, map_npy
from wf_jax.errors import UserError

_DTYPE = np.dtype("<i2")


class AudioWriter:
    """Writes audio.npy clip by clip; the total length need not be known in advance."""

    def __init__(self, file: BinaryIO):
        """Writes to `file`, opened in "wb" mode."""
        self._file = file
        self.samples = 0
        self._write_header()

    def append(self, audio: np.ndarray) -> int:
        """Appends int16 samples [T]; returns their start position."""
        start = self.samples
        self._file.write(audio.astype(_DTYPE, copy=False).tobytes())
        self.samples += len(audio)
        return start

    def finish(self) -> None:
        """Writes the length into the header."""
        self._file.seek(0)
        self._write_header()
        self._file.flush()

    def _write_header(self) -> None:
        # NumPy pads this header for the first axis to grow to 21 digits: its size stays the same.
        header = {"descr": _DTYPE.str, "fortran_order": False, "shape": (self.samples,)}
        np.lib.format.write_array_header_1_0(self._file, header)


def check_free(folder: Path) -> None:
    """Raises UserError where `folder` is there already and not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; remove it or name another --output")


def file_sha256(path: Path) -> str:
    """Returns the file's SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def map_audio(folder: Path, samples: int) -> np.ndarray:
    """Memory-maps audio.npy, int16 [samples], read-only.

    Raises:
        UserError: the file is cut short, of another type, or of another length.
    """
    path = folder / AUDIO_NAME
    try:
        audio = map_npy(path)
    except (ArrayFileError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: damaged ({reason}); {prepare_again(folder)}") from None
    if audio.dtype != _DTYPE or audio.shape != (samples,):
        raise UserError(
            f"{path}: holds {audio.dtype} {audio.shape}, but index.json says int16 ({samples},);"
            f" {prepare_again(folder)}"
        )
    return audio


def check_audio(folder: Path, index: Index) -> None:
    """Reads all of audio.npy and compares its sum.

    Raises:
        UserError: its bytes are not those that were written.
    """
    path = folder / AUDIO_NAME
    found = file_sha256(path)
    if found != index.sha256:
        raise UserError(
            f"{path}: sha256 {found[:12]}... is not {index.sha256[:12]}... of index.json,"
            f" the file was changed; {prepare_again(folder)}"
        )
