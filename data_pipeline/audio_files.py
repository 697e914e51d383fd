"""Reading and writing audio files: WAV, FLAC and AIFF as float64, without losing a bit.

Integer PCM of b bits becomes value / 2^(b-1) exactly, which is what the recognition of the standard
NAM files by content needs (see standard_files.py).
"""

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from data_pipeline.atomic import atomic_path

SUFFIXES = (".wav", ".flac", ".aif", ".aiff")
_INTEGER_SUBTYPES = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_FLOAT_SUBTYPES = {"FLOAT": 32, "DOUBLE": 64}


class AudioFileError(ValueError):
    """A file that can not be read as audio: one line with file, value and remedy."""


@dataclass(frozen=True)
class Audio:
    """One channel of an audio file.

    Attributes:
        samples: float64 [T]; integer PCM is value / 2^(bits - 1).
        sample_rate: Hz.
        path: the file as the user named it.
        md5: of the file's bytes, hexadecimal.
        bits: per sample in the file.
        is_float: whether the file holds floating-point samples.
    """

    samples: np.ndarray
    sample_rate: int
    path: Path
    md5: str
    bits: int
    is_float: bool

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


def read_audio(path: str | Path, channel: int | None = None) -> Audio:
    """Read a mono file, or one channel of a file with several.

    Args:
        path: WAV, FLAC or AIFF with 8 to 32-bit integer or 32/64-bit float samples.
        channel: which channel to take, counted from 1; may be left out for mono files only.

    Returns:
        The samples with the facts about the file that later checks need.

    Raises:
        AudioFileError: missing, not audio, empty, truncated, of an unsuitable sample type, several
            channels without a choice, or samples that are not numbers. One line.
    """
    path = Path(path)
    content = _read_bytes(path)
    _check_wav_header(path, content)
    frames, sample_rate, subtype = _decode(path)
    samples = _choose_channel(path, frames, channel)
    _check_finite(path, samples, sample_rate)
    return Audio(
        samples=samples,
        sample_rate=sample_rate,
        path=path,
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        bits=(_INTEGER_SUBTYPES | _FLOAT_SUBTYPES)[subtype],
        is_float=subtype in _FLOAT_SUBTYPES,
    )


def read_mono(path: str | Path) -> Audio:
    """Read a file of any number of channels as their mean.

    Raises:
        AudioFileError: as `read_audio`.
    """
    path = Path(path)
    first = read_audio(path, 1)
    with soundfile.SoundFile(path) as file:
        channels = file.channels
    if channels == 1:
        return first
    others = [read_audio(path, 1 + n).samples for n in range(1, channels)]
    return replace(first, samples=np.mean([first.samples, *others], axis=0))


def write_wav(path: str | Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write samples [T] as a mono 32-bit float WAV file, whole or not at all.

    Args:
        path: the file to write; an existing file is replaced.
        samples: [T], full scale is 1.0; values beyond are kept, since the format is float.
        sample_rate: Hz.

    Raises:
        ValueError: if `samples` is not one-dimensional.
        OSError: if the folder is missing or not writable.
    """
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1:
        raise ValueError(f"{path}: samples have shape {samples.shape}; pass one channel, [T]")
    with atomic_path(path) as temporary:
        soundfile.write(temporary, samples, sample_rate, subtype="FLOAT", format="WAV")


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise AudioFileError(f"{path}: is a folder; name an audio file in it")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise AudioFileError(f"{path}: no such file; check the name and the folder") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise AudioFileError(f"{path}: can not be read ({reason}); check the file") from None
    if not content:
        raise AudioFileError(f"{path}: is empty (0 bytes); export or copy it again")
    return content


def _check_wav_header(path: Path, content: bytes) -> None:
    """Faults that libsndfile repairs silently or reports vaguely: sample rate 0, data cut short."""
    if content[:4] not in (b"RIFF", b"RF64") or content[8:12] != b"WAVE":
        return
    position = 12
    while position + 8 <= len(content):
        name = content[position : position + 4]
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        if (
            name == b"fmt "
            and int.from_bytes(content[position + 12 : position + 16], "little") == 0
        ):
            raise AudioFileError(f"{path}: sample rate is 0 Hz in its header; export it again")
        if name == b"data":
            _check_complete(path, size, len(content) - position - 8)
            return
        position += 8 + size + size % 2


def _check_complete(path: Path, announced: int, present: int) -> None:
    streamed = announced in (0, 0xFFFFFFFF, 0x7FFFFFFF)  # a writer that did not know, or RF64
    if announced > present and not streamed:
        raise AudioFileError(
            f"{path}: is truncated, {present} of {announced} bytes of audio are there;"
            " copy or export it again"
        )


def _decode(path: Path) -> tuple[np.ndarray, int, str]:
    """Samples float64 [T, channels], the rate in Hz and libsndfile's name of the sample type."""
    try:
        with soundfile.SoundFile(path) as file:
            sample_rate, subtype, announced = file.samplerate, file.subtype, file.frames
            frames = file.read(dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioFileError(
            f"{path}: can not be read as audio ({_one_line(error.error_string)});"
            " export it as a mono WAV file"
        ) from None
    if subtype not in _INTEGER_SUBTYPES | _FLOAT_SUBTYPES:
        raise AudioFileError(
            f"{path}: sample type {subtype} loses detail; export it as 24-bit or 32-bit float WAV"
        )
    if sample_rate <= 0:
        raise AudioFileError(f"{path}: sample rate is {sample_rate} Hz; export it again")
    if len(frames) < announced:
        raise AudioFileError(
            f"{path}: is truncated, {len(frames)} of {announced} samples can be read;"
            " copy or export it again"
        )
    if len(frames) == 0:
        raise AudioFileError(f"{path}: holds no samples (0 s of audio); export it again")
    return frames, sample_rate, subtype


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().rstrip(".")


def _choose_channel(path: Path, frames: np.ndarray, channel: int | None) -> np.ndarray:
    count = frames.shape[1]
    if channel is None and count > 1:
        raise AudioFileError(
            f"{path}: has {count} channels; say which one to use (channel=1 to {count}),"
            " or export it as mono"
        )
    number = 1 if channel is None else channel
    if not 1 <= number <= count:
        raise AudioFileError(
            f"{path}: channel {number} was asked for, but it has {count};"
            f" channels count from 1, choose 1{f' to {count}' if count > 1 else ''}"
        )
    return np.ascontiguousarray(frames[:, number - 1])


def _check_finite(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    bad = np.flatnonzero(~np.isfinite(samples))
    if len(bad):
        raise AudioFileError(
            f"{path}: {len(bad)} samples are not numbers (NaN or infinite), the first at"
            f" {bad[0] / sample_rate:.3f} s; export it again"
        )
