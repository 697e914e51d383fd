"""Reads and writes audio files (WAV, FLAC, AIFF and others) without losing a bit.

Integer PCM of b bits becomes value / 2^(b-1) exactly, which is what the recognition of the standard
NAM files by content needs (see standard_files.py). `AudioFile` reads every file: a header that
disagrees with the file is an error or a warning there, for every command alike.
"""

import contextlib
import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from data_pipeline.audio_headers import AudioFileWarning, Header, Source, read_header
from wf_jax.errors import UserError
from wf_jax.whole_files import atomic_path

SUFFIXES = (".wav", ".wave", ".flac", ".aif", ".aiff", ".aifc", ".w64", ".rf64", ".caf", ".au")
BLOCK = 1 << 17  # values that are read at once
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000  # Hz; others are no sound
LOUDEST = 1e10  # where full scale is 1; sums of squares of more overflow soon
LOUD = 64.0  # from here on it is said
_INTEGER_SUBTYPES = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_FLOAT_SUBTYPES = {"FLOAT": 32, "DOUBLE": 64}
_UNKNOWN = 2**63 - 1  # libsndfile's count of samples where there is none
_SET_ADD_PEAK_CHUNK = 0x1050  # a command of libsndfile
_WIDTHS = {k: v // 8 for k, v in (_INTEGER_SUBTYPES | _FLOAT_SUBTYPES).items()}
_WIDTHS |= {"ULAW": 1, "ALAW": 1}  # bytes of a sample


class AudioFile:
    """An open audio file with a checked header; its samples are read later.

    Attributes:
        path: the file's name as the user gave it.
        sample_rate: Hz.
        channels: number of channels.
        bits: per sample in the file; 0 where it is compressed with loss.
        is_float: whether the file holds floating-point samples.
    """

    def __init__(self, path: str | Path, *, lossy: bool = False):
        """Opens `path`.

        Args:
            path: WAV, RF64, Wave64, FLAC, AIFF, CAF, AU or Ogg.
            lossy: whether samples that have lost detail (Vorbis, A-law, ...) will do.

        Raises:
            UserError: missing, not audio, empty, truncated, or of an unsuitable sample type.
        """
        self.path = Path(path)
        self._header = self._read_header()
        with self._opened() as file:
            self.sample_rate, self.channels = file.samplerate, file.channels
            self._frames, subtype = file.frames, file.subtype
        if not LOWEST_RATE <= self.sample_rate <= HIGHEST_RATE:
            side = "below" if self.sample_rate < LOWEST_RATE else "above"
            limit = LOWEST_RATE if side == "below" else HIGHEST_RATE
            raise self._error(
                f"sample rate {self.sample_rate} Hz in its header is {side} {limit} Hz;"
                " export it again"
            )
        known = _INTEGER_SUBTYPES | _FLOAT_SUBTYPES
        if subtype not in known and not lossy:
            raise self._error(
                f"sample type {subtype} loses detail; export it as 24-bit or 32-bit float WAV"
            )
        self.bits, self.is_float = known.get(subtype, 0), subtype in _FLOAT_SUBTYPES
        self._dtype = "float64" if subtype == "DOUBLE" else None  # what float32 cannot hold is seen
        self._check_frames(_WIDTHS.get(subtype, 0) * self.channels)
        if self._header.beyond:
            self._warn(
                f"its header announces {self._frames / self.sample_rate:.3f} s of audio; "
                f"{self._header.beyond} bytes that follow are left out"
            )

    @cached_property
    def samples(self) -> int:
        """Number of samples; a FLAC file that announces no length or a wrong one is decoded for it.

        Raises:
            UserError: the file is damaged or truncated.
        """
        if not self._header.is_counted:
            return self._frames
        return sum(len(block) for block in self._decoded("int32"))

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate

    def blocks(self, dtype: str = "float32") -> Iterator[np.ndarray]:
        """Yields blocks [n, channels] from start to end.

        Args:
            dtype: "float32" or "float64".

        Raises:
            UserError: a sample is NaN, infinite or absurdly large; the file is damaged or
                truncated.
        """
        position = 0
        for block in self._decoded(self._dtype or dtype):
            self._check_values(block, position)
            position += len(block)
            yield block.astype(dtype, copy=False)

    def read(self) -> np.ndarray:
        """Reads all samples, float64 [T, channels]; integer PCM is value / 2^(bits - 1).

        Raises:
            UserError: see `blocks`.
        """
        return np.concatenate(list(self.blocks("float64")))

    def index_of(self, channel: int | None, option: str = "channel") -> int:
        """Returns the index of a channel.

        Args:
            channel: counted from 1; may be left out for mono files only.
            option: name of the option in messages.

        Raises:
            UserError: several channels without a choice, or no such channel.
        """
        count = self.channels
        if channel is None and count > 1:
            raise self._error(
                f"has {count} channels; say which one to use ({option}=1 to {count}),"
                " or export it as mono"
            )
        number = 1 if channel is None else channel
        if not 1 <= number <= count:
            raise self._error(
                f"channel {number} was asked for, but it has {count};"
                f" channels count from 1, choose 1{f' to {count}' if count > 1 else ''}"
            )
        return number - 1

    def _read_header(self) -> Header:
        with self._bytes() as file:
            try:
                header = read_header(file)
            except UserError as error:
                raise self._error(str(error)) from None
        if header.is_truncated:
            raise self._error(
                f"is truncated, {header.present} of {header.announced} bytes of audio are there;"
                " copy or export it again"
            )
        if (header.announced, header.present) == (0, 0):
            raise self._error("holds no samples (0 s of audio); export it again")
        return header

    def _check_frames(self, block: int) -> None:
        """Compares libsndfile's count with the header's.

        Args:
            block: bytes of a sample of all channels; 0 where they differ.
        """
        if self._frames == 0 and not self._header.is_counted:
            raise self._error("holds no samples (0 s of audio); export it again")
        size = self._header.present if self._header.announced is None else self._header.announced
        if not block or size is None or self._header.is_counted:
            return
        if self._frames != size // block:
            raise self._error(
                f"its header contradicts itself, {size} bytes of audio are {size // block} samples"
                f" and not {self._frames}; export it again"
            )
        # libsndfile itself counts the byte that fills up an AIFF file of odd length.
        if size % block > 1 and self._header.announced is not None:
            self._warn(f"its audio ends within a sample, {size % block} bytes are left out")

    def _bytes(self) -> BinaryIO:
        # os.path takes names that are too long or hold a NUL for missing ones.
        if os.path.isdir(self.path):
            raise self._error("is a folder; name an audio file in it")
        if os.path.exists(self.path) and not os.path.isfile(self.path):  # may take for ever
            raise self._error("is a pipe or a device; name an audio file")
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            raise self._error("no such file; check the name and the folder") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self._error(f"can not be read ({reason}); check the file") from None
        if not os.fstat(file.fileno()).st_size:
            file.close()
            raise self._error("is empty (0 bytes); export or copy it again")
        return file

    def _opened(self) -> "_Forward":
        file = self._bytes()
        try:
            return _Forward(file, Source(file, self._header))
        except soundfile.LibsndfileError as error:
            file.close()
            reason = _one_line(error.error_string)
            if "SF_INFO struct incomplete" in reason:
                reason = "sample rate is 0 Hz, or it has no channels"
            raise self._error(
                f"can not be read as audio ({reason}); export it as a mono WAV file"
            ) from None

    def _decoded(self, dtype: str) -> Iterator[np.ndarray]:
        """Returns the blocks [n, channels] from libsndfile, and whether all the audio is there."""
        count, total = max(BLOCK // self.channels, 1), 0
        with self._opened() as file:
            while True:
                try:
                    block = file.read(count, dtype=dtype, always_2d=True)
                except soundfile.LibsndfileError as error:
                    raise self._error(
                        f"is damaged or truncated after {total / self.sample_rate:.3f} s"
                        f" ({_one_line(error.error_string)}); copy or export it again"
                    ) from None
                if not len(block):
                    break
                total += len(block)
                yield block
        self._check_length(total)

    def _check_length(self, total: int) -> None:
        announced = self._header.announced if self._header.is_counted else self._frames
        if announced is None and self._frames < _UNKNOWN:  # of Ogg, by its last page
            announced = self._frames
        if announced is not None and total < announced:
            raise self._error(
                f"is truncated, {total} of {announced} samples can be read; copy or export it again"
            )
        if total == 0:
            raise self._error("holds no samples (0 s of audio); export it again")
        if announced is not None and total > announced:
            self._warn(
                f"its header announces {announced} samples; all {total} that are there count"
            )

    def _check_values(self, block: np.ndarray, position: int) -> None:
        peak = np.abs(block).max()
        if peak <= LOUD:
            return
        wrong = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(wrong):
            raise self._error(
                f"{len(wrong)} samples are not numbers (NaN or infinite), the first at"
                f" {(position + wrong[0]) / self.sample_rate:.3f} s; export it again"
            )
        if peak > LOUDEST:
            raise self._error(f"a sample is {peak:.3g}, where full scale is 1; export it again")
        self._warn(f"samples are larger than {LOUD:g}, where full scale is 1")

    def _error(self, what: str) -> UserError:
        return UserError(f"{self.path}: {what}")

    def _warn(self, what: str) -> None:
        warnings.warn(f"{self.path}: {what}", AudioFileWarning, stacklevel=3)


class _Forward(soundfile.SoundFile):
    """A file that is only read from start to end, for formats whose length is not known."""

    def __init__(self, handle: BinaryIO, source: BinaryIO):
        """Reads `source`, and closes `handle` when it is closed."""
        self._handle = handle
        super().__init__(source)

    def seekable(self) -> bool:
        """Returns False."""
        return False

    def close(self) -> None:
        """Closes the underlying file as well."""
        super().close()
        self._handle.close()


@dataclass(frozen=True)
class Audio:
    """One channel of an audio file.

    Attributes:
        samples: float64 [T]; integer PCM is value / 2^(bits - 1).
        sample_rate: Hz.
        path: the file as the user named it.
        md5: MD5 of the file's bytes, hexadecimal.
        bits: per sample in the file.
        is_float: whether the file holds floating-point samples.
        start: sample of the file at which `samples` begins.
    """

    samples: np.ndarray
    sample_rate: int
    path: Path
    md5: str
    bits: int
    is_float: bool
    start: int = 0

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def time_of(self, position: float) -> float:
        """Returns the time in the file, in seconds, of a position in `samples`."""
        return (self.start + position) / self.sample_rate


def read_audio(path: str | Path, channel: int | None = None) -> Audio:
    """Reads a mono file, or one channel of a file with several.

    Args:
        path: a file with 8 to 32-bit integer or 32/64-bit float samples.
        channel: counted from 1; may be left out for mono files only.

    Returns:
        The samples with the facts about the file that later checks need.

    Raises:
        UserError: see AudioFile. One line.
    """
    file = AudioFile(path)
    index = file.index_of(channel)
    return _audio(file, np.ascontiguousarray(file.read()[:, index]))


def read_mono(path: str | Path) -> Audio:
    """Reads a file and averages its channels.

    Raises:
        UserError: see AudioFile. One line.
    """
    file = AudioFile(path)
    return _audio(file, file.read().mean(axis=1))


def write_wav(path: str | Path, samples: np.ndarray, sample_rate: int) -> None:
    """Writes samples [T] as a mono 32-bit float WAV file, whole or not at all.

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
    with atomic_path(path) as temporary, float_wav(temporary, sample_rate) as file:
        file.write(samples)


def float_wav(path: str | Path, sample_rate: int, form: str = "WAV") -> soundfile.SoundFile:
    """Opens a mono 32-bit float WAV file to be written; the same samples give the same bytes.

    libsndfile adds a PEAK chunk that holds the time of day, and soundfile has no public option
    for it.

    Args:
        path: the file; one that is there is replaced.
        sample_rate: Hz.
        form: "WAV", or "RF64" for files of 4 GiB and more.

    Raises:
        soundfile.LibsndfileError: the file cannot be written.
    """
    file = soundfile.SoundFile(path, "w", sample_rate, 1, subtype="FLOAT", format=form)
    with contextlib.suppress(AttributeError):  # of another soundfile: a file is still written
        soundfile._snd.sf_command(file._file, _SET_ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)
    return file


def md5_of(path: str | Path) -> str:
    """Returns the MD5 of a file's bytes, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _audio(file: AudioFile, samples: np.ndarray) -> Audio:
    return Audio(samples, file.sample_rate, file.path, md5_of(file.path), file.bits, file.is_float)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().rstrip(".")
