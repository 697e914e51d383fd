"""Clips of many lengths in arrays of few: each new array length costs a compilation."""

from collections.abc import Sequence

import jax
import numpy as np

from wf_jax.audio.mel import MelSettings, add_context, mel_of_context

SMALLEST = 64  # frames
STEPS_PER_OCTAVE = 4


def bucket(frames: int) -> int:
    """The array length, in frames, for a clip of `frames`.

    Four sizes per factor of two, rounded to multiples of 16: mostly within 19 % above 64.
    """
    size = float(SMALLEST)
    while round(size / 16) * 16 < frames:
        size *= 2 ** (1 / STEPS_PER_OCTAVE)
    return round(size / 16) * 16


def fill(arrays: Sequence[np.ndarray], size: int, count: int) -> np.ndarray:
    """Arrays [..., N], N at most `size`, as rows of float32 [count, ..., size], zeros elsewhere."""
    rows = np.zeros((count, *arrays[0].shape[:-1], size), np.float32)
    for row, array in zip(rows, arrays, strict=False):
        row[..., : array.shape[-1]] = array
    return rows


def clip_mel(audio: np.ndarray, settings: MelSettings) -> np.ndarray:
    """`mel_spectrogram` of one clip [T], T > 0, compiled for few lengths only: [M, F]."""
    frames = settings.frames(len(audio))
    needed = (bucket(frames) - 1) * settings.hop + settings.fft_size
    framed = fill([add_context(audio, settings)], needed, 1)
    return np.asarray(_mel(framed, settings))[0, :, :frames]


_mel = jax.jit(mel_of_context, static_argnums=1)
