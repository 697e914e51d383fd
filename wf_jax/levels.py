"""Levels of audio: full scale, peak normalization, and likelihoods per sample in nats and bits.

NumPy and JAX arrays are given and returned as they are; nothing here imports either.
"""

import math
from typing import TypeVar

FULL_SCALE = 32768  # int16 counts for 1.0
NORMALIZED_PEAK = 0.999  # of a clip after peak normalization
# -60 dBFS: a clip below is silence and keeps its level; the dither of a 16-bit file peaks at -84.
SILENT_PEAK = 1e-3
LOG_FULL_SCALE = math.log(FULL_SCALE)  # nats between densities of x in [-1, 1) and of int16 steps
_LOG_2 = math.log(2)

_Values = TypeVar("_Values")  # a number or an array


def peak_gain(peak: float) -> float:
    """Returns the gain that brings a clip of this peak to NORMALIZED_PEAK; 1 for silence.

    `wf_jax.audio.mel.peak_gain` is the same rule for arrays of audio.
    """
    return NORMALIZED_PEAK / peak if peak >= SILENT_PEAK else 1.0


def bits_per_sample(nats: _Values) -> _Values:
    """Converts log-likelihood, nats per sample at full scale 1, to bits per int16 sample."""
    return (LOG_FULL_SCALE - nats) / _LOG_2


def nats_per_sample(bits: _Values) -> _Values:
    """Inverts `bits_per_sample`."""
    return LOG_FULL_SCALE - bits * _LOG_2
