"""Random numbers that depend on a key alone."""

import numpy as np


def random_stream(*key: int) -> np.random.Generator:
    """Makes a random stream of its own for every key of integers, of any length.

    NumPy fills short seeds with zeros, by which [7, 3] and [7, 3, 0] would be one stream; so the
    length comes first.
    """
    return np.random.default_rng([len(key), *key])
