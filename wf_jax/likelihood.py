"""Log-likelihood per sample, in nats at full scale 1 and in bits per int16 sample.

NumPy and JAX arrays are given and returned as they are; nothing here imports either.
"""

import math
from typing import TypeVar

from wf_jax.levels import FULL_SCALE

LOG_FULL_SCALE = math.log(FULL_SCALE)  # nats between densities of x in [-1, 1) and of int16 steps
_LOG_2 = math.log(2)

_Values = TypeVar("_Values")  # a number or an array


def bits_per_sample(nats: _Values) -> _Values:
    """Converts log-likelihood, nats per sample at full scale 1, to bits per int16 sample."""
    return (LOG_FULL_SCALE - nats) / _LOG_2


def nats_per_sample(bits: _Values) -> _Values:
    """Inverts `bits_per_sample`."""
    return LOG_FULL_SCALE - bits * _LOG_2
