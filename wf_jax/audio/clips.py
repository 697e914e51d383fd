"""Puts clips of many lengths into arrays of few lengths, and cuts long clips into pieces.

Each new array length costs a compilation, and a clip's memory grows with its length.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import jax
import numpy as np

from wf_jax.audio.mel import MelSettings, mel_of_clips

SMALLEST = 64  # frames
STEPS_PER_OCTAVE = 4
CHUNK = 1196  # frames; with the context of the paper's WaveFlow 1456, an array length of `bucket`


def bucket(frames: int) -> int:
    """Returns the array length, in frames, for a clip of `frames`.

    Four sizes per factor of two, rounded to multiples of 16: mostly within 19 % above 64.
    """
    size = float(SMALLEST)
    while round(size / 16) * 16 < frames:
        size *= 2 ** (1 / STEPS_PER_OCTAVE)
    return round(size / 16) * 16


def fill(arrays: Sequence[np.ndarray], size: int, count: int) -> np.ndarray:
    """Stacks arrays [..., N], N at most `size`, as float32 [count, ..., size], zeros elsewhere."""
    rows = np.zeros((count, *arrays[0].shape[:-1], size), np.float32)
    for row, array in zip(rows, arrays, strict=False):
        row[..., : array.shape[-1]] = array
    return rows


def clip_mel(audio: np.ndarray, settings: MelSettings) -> np.ndarray:
    """Computes `mel_spectrogram` of one clip [T], T > 0, compiled for few lengths only: [M, F]."""
    frames = settings.frames(len(audio))
    filled = fill([audio], bucket(frames) * settings.hop_length, 1)
    return np.asarray(_mel(filled, np.array([len(audio)], np.int32), settings))[0, :, :frames]


_mel = partial(jax.jit, static_argnums=2)(mel_of_clips)


@dataclasses.dataclass(frozen=True)
class Piece:
    """Frames `first` to `last` of a clip, computed from frames `before` to `after`."""

    before: int
    first: int
    last: int
    after: int

    @property
    def frames(self) -> int:
        """Number of frames that go into the model."""
        return self.after - self.before


def pieces(frames: int, chunk: int, context: int) -> list[Piece]:
    """Cuts a clip of `frames` into chunks, with up to `context` frames on both sides."""
    if frames <= chunk:
        return [Piece(0, 0, frames, frames)]
    return [
        Piece(
            max(first - context, 0),
            first,
            min(first + chunk, frames),
            min(first + chunk + context, frames),
        )
        for first in range(0, frames, chunk)
    ]


def windows(
    blocks: Iterable[np.ndarray], chunk: int, context: int
) -> Iterator[tuple[Piece, np.ndarray]]:
    """Yields the pieces of a clip that is still arriving, each as soon as its context is there.

    Args:
        blocks: the clip's frames [M, n], in any portions.
        chunk: frames of a piece.
        context: frames on both sides of it.

    Yields:
        A piece, and frames `before` to `after` of the clip: [M, piece.frames].
    """
    first = begun = 0  # of the next piece; of the frames that are held
    held: np.ndarray | None = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        while begun + held.shape[1] >= first + chunk + context:
            piece = Piece(max(first - context, 0), first, first + chunk, first + chunk + context)
            yield piece, held[:, piece.before - begun : piece.after - begun]
            first += chunk
            gone = max(first - context, 0)
            held, begun = held[:, gone - begun :], gone
    total = 0 if held is None else begun + held.shape[1]
    while first < total:
        last = min(first + chunk, total)
        piece = Piece(max(first - context, 0), first, last, min(last + context, total))
        yield piece, held[:, piece.before - begun : piece.after - begun]
        first = last
