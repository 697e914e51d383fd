"""Clips of many lengths in arrays of few: each new array length costs a compilation."""

from collections.abc import Sequence

import numpy as np

SMALLEST = 64  # frames
STEPS_PER_OCTAVE = 4


def bucket(frames: int) -> int:
    """The array length, in frames, for a clip of `frames`: at most 19 % more, above 64.

    Four sizes per factor of two, whole multiples of 16.
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
