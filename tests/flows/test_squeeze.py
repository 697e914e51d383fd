import jax.numpy as jnp
import numpy as np
import pytest

from wf_jax.flows.squeeze import composed, permutations, sample_mask, squeeze, unsqueeze

HEIGHTS = [2, 8, 16, 32, 64]


def test_neighboring_samples_stand_in_one_column():
    """Row-major squeezing would give x[13] here."""
    x = jnp.arange(40)[None]
    squeezed = squeeze(x, 8)
    assert squeezed.shape == (1, 8, 5)
    assert squeezed[0, 3, 2] == x[0, 19]
    for i in range(8):
        for j in range(5):
            assert squeezed[0, i, j] == x[0, j * 8 + i]


@pytest.mark.parametrize("height", HEIGHTS)
def test_unsqueeze_is_the_inverse(rng, height):
    """A swap of the wrong axes passes only at W = h: W is another number here."""
    x = rng.standard_normal((2, 3 * height))
    np.testing.assert_array_equal(unsqueeze(squeeze(x, height)), x)
    rows = rng.standard_normal((2, height, 3))
    np.testing.assert_array_equal(squeeze(unsqueeze(rows), height), rows)


def test_the_permutations_are_the_published_ones():
    """Other orders could not run Parakeet's or L0SG's weights."""
    reverse = [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    halves = [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8]
    assert permutations("bipartite", 8, 16).tolist() == [reverse] * 4 + [halves] * 4
    assert permutations("reverse", 3, 16).tolist() == [reverse] * 3
    assert permutations("bipartite", 2, 2).tolist() == [[1, 0], [0, 1]]
    assert permutations("bipartite", 1, 4).tolist() == [[1, 0, 3, 2]]


@pytest.mark.parametrize("height", HEIGHTS)
def test_each_is_its_own_inverse(height):
    """`decode` uses the arrays of `encode` as they are."""
    for kind in ("reverse", "bipartite"):
        for order in permutations(kind, 6, height):
            np.testing.assert_array_equal(order[order], np.arange(height))


@pytest.mark.parametrize("height", HEIGHTS)
def test_composed(height):
    """Gives the identity for the default 8 flows but not for 6, where public code is wrong."""
    rows = np.arange(height)
    for flows in (4, 8):
        np.testing.assert_array_equal(composed(permutations("bipartite", flows, height)), rows)
    np.testing.assert_array_equal(composed(permutations("reverse", 3, height)), rows[::-1])
    six = permutations("bipartite", 6, height)
    carried = rows
    for order in six:
        carried = carried[order]
    np.testing.assert_array_equal(composed(six), carried)
    np.testing.assert_array_equal(carried, np.roll(rows, height // 2))


def test_the_mask_follows_the_samples():
    """Catches a padded sample counted as real, or a dropped last sample."""
    mask = sample_mask(jnp.array([0, 1, 5, 8]), 8, 4)
    assert mask.shape == (4, 4, 2)
    np.testing.assert_array_equal(unsqueeze(mask).sum(axis=1), [0, 1, 5, 8])
    np.testing.assert_array_equal(mask[2], [[1, 1], [1, 0], [1, 0], [1, 0]])
