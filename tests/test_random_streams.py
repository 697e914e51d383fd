"""Every key gives a stream of its own."""

import itertools

import numpy as np

from wf_jax.random_streams import random_stream


def test_keys_that_numpy_takes_for_one_are_two():
    def draw(*key):
        return random_stream(*key).integers(1 << 60)

    assert np.random.default_rng([7, 3]).integers(9) == np.random.default_rng([7, 3, 0]).integers(9)
    keys = [key for n in range(1, 5) for key in itertools.product((0, 1, 3), repeat=n)]
    assert len({draw(*key) for key in keys}) == len(keys)
    assert draw(7, 3) == draw(7, 3)
