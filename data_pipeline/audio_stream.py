"""Audio files block by block, for work on files of any length in bounded memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from data_pipeline.atomic import atomic_path
from data_pipeline.audio_files import AudioFileError

BLOCK = 1 << 17  # samples


class AudioStream:
    """One channel of an audio file, opened and checked but not yet read.

    Attributes:
        path: as the user named it.
        sample_rate: Hz.
        samples: length.
    """

    def __init__(self, path: str | Path, channel: int | None = None):
        """Opens `path`.

        Args:
            path: WAV, FLAC, AIFF.
            channel: counted from 1; needed where the file has several.

        Raises:
            AudioFileError: not readable, empty, or no such channel.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise AudioFileError(f"{self.path}: no such file; check the name")
        try:
            info = soundfile.info(self.path)
        except soundfile.LibsndfileError as error:
            reason = error.error_string.rstrip(".")
            raise AudioFileError(
                f"{self.path}: not readable as audio ({reason}); give a WAV, FLAC or AIFF file"
            ) from None
        if info.frames == 0:
            raise AudioFileError(f"{self.path}: the file holds no samples; record it again")
        if channel is None and info.channels > 1:
            raise AudioFileError(
                f"{self.path}: {info.channels} channels; name one with --channel=1 to "
                f"--channel={info.channels}"
            )
        if channel is not None and not 1 <= channel <= info.channels:
            raise AudioFileError(
                f"{self.path}: channel {channel} of {info.channels}; channels count from 1"
            )
        self.sample_rate, self.samples = info.samplerate, info.frames
        self._channel = (channel or 1) - 1

    def blocks(self) -> Iterator[np.ndarray]:
        """Float32 blocks [n] from start to end.

        Raises:
            AudioFileError: a sample is NaN or infinite.
        """
        position = 0
        for frames in soundfile.blocks(self.path, BLOCK, dtype="float32", always_2d=True):
            block = frames[:, self._channel]
            bad = np.flatnonzero(~np.isfinite(block))
            if len(bad):
                second = (position + bad[0]) / self.sample_rate
                raise AudioFileError(
                    f"{self.path}: the sample at {second:.3f} s is {block[bad[0]]}; "
                    "export the file again"
                )
            position += len(block)
            yield block


def resample(blocks: Iterable[np.ndarray], source: float, target: float) -> Iterator[np.ndarray]:
    """Blocks at rate `source` (Hz) -> blocks at rate `target`, without delay."""
    stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="VHQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def exactly(blocks: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """Cuts the end, or adds zeros, so that `samples` come out in all."""
    left = samples
    for block in blocks:
        yield block[:left]
        left -= min(left, len(block))
    yield np.zeros(left, np.float32)


def write_blocks(path: str | Path, blocks: Iterable[np.ndarray], sample_rate: int) -> None:
    """Writes a mono float32 WAV file, complete or not at all."""
    with (
        atomic_path(path) as temporary,
        soundfile.SoundFile(temporary, "w", sample_rate, 1, subtype="FLOAT", format="WAV") as file,
    ):
        for block in blocks:
            file.write(block)
