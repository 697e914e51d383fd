"""Streams audio in blocks, for files of any length in bounded memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soxr

from data_pipeline.audio_files import float_wav
from wf_jax.whole_files import atomic_path

_MOST = 0xFFFFFFFF - 4096  # bytes of a WAV file, whose sizes are of 32 bits


def resample(blocks: Iterable[np.ndarray], source: float, target: float) -> Iterator[np.ndarray]:
    """Resamples blocks from rate `source` to rate `target` (Hz), without delay."""
    stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="VHQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def exactly(blocks: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """Cuts the end or appends zeros so that exactly `samples` samples come out."""
    left = samples
    for block in blocks:
        yield block[:left]
        left -= min(left, len(block))
    yield np.zeros(left, np.float32)


def write_blocks(
    path: str | Path, blocks: Iterable[np.ndarray], sample_rate: int, samples: int
) -> None:
    """Writes a mono float32 WAV file, complete or not at all; as RF64 from 4 GiB on.

    Args:
        path: the file; one that is there is replaced.
        blocks: float32 [n].
        sample_rate: Hz.
        samples: total number of samples.
    """
    form = "WAV" if 4 * samples < _MOST else "RF64"
    with atomic_path(path) as temporary, float_wav(temporary, sample_rate, form) as file:
        for block in blocks:
            file.write(block)
