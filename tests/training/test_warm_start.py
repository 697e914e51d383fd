"""Parameters that a run takes from another one."""

import jax.numpy as jnp
import numpy as np
import pytest

from wf_jax.training.warm_start import warm_start


def model(**shapes):
    """Returns parameters of ones, named a, b, ..."""
    return {name: jnp.ones(shape) for name, shape in shapes.items()}


def other(**shapes):
    """Returns parameters of another run: 2, 3, ..."""
    return {name: np.full(shape, i + 2.0) for i, (name, shape) in enumerate(shapes.items())}


def test_all_of_it():
    taken, lines = warm_start(model(a=(2, 3), b=()), other(a=(2, 3), b=()))
    np.testing.assert_array_equal(taken["a"], np.full((2, 3), 2.0))
    np.testing.assert_array_equal(taken["b"], 3.0)
    assert lines == ["began from 2 of 2 arrays"]


def test_what_fits_and_what_does_not_is_listed():
    params = model(a=(2, 3), b=(4,), c=(5,))
    taken, lines = warm_start(params, other(a=(2, 3), b=(1, 4), d=(5,)))
    assert list(taken) == list(params)
    np.testing.assert_array_equal(taken["a"], np.full((2, 3), 2.0))
    for name in ("b", "c"):
        np.testing.assert_array_equal(taken[name], params[name])
    assert lines == [
        "began from 1 of 3 arrays",
        "  of another shape, not taken: b (4,) here, (1, 4) there",
        "  not there, begun afresh: c",
        "  there, but of no use here: d",
    ]
    np.testing.assert_array_equal(params["a"], 1.0)  # what was given is left alone


def test_what_was_measured_here_stays():
    params = model(a=(2,), **{"scale/x": (2,), "scale/y": ()})
    taken, lines = warm_start(params, other(a=(2,), **{"scale/x": (2,)}), ("scale/",))
    np.testing.assert_array_equal(taken["a"], 2.0)
    np.testing.assert_array_equal(taken["scale/x"], 1.0)
    assert lines == [
        "began from 1 of 3 arrays",
        "  measured of this corpus, not taken: scale/x, scale/y",
    ]


def test_long_lists_are_cut():
    names = [f"layers/{i}" for i in range(6)]
    _, lines = warm_start(model(a=(), **dict.fromkeys(names, ())), other(a=()))
    assert lines[1] == "  not there, begun afresh: layers/0, layers/1, layers/2, and 3 more"


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "int32"])
def test_values_come_in_the_type_of_the_model(dtype):
    taken, _ = warm_start({"a": jnp.ones(2, dtype)}, {"a": np.full(2, 3.0)})
    assert taken["a"].dtype == dtype
    np.testing.assert_array_equal(taken["a"].astype(np.float32), 3.0)


@pytest.mark.parametrize(
    ("initial", "reason"),
    [
        (other(x=(2,)), r"none of its 1 arrays fits this model: a is not in it; give a run or"),
        (other(a=(3, 2), x=()), r"none of its 2 arrays .* a \(2, 3\) here, \(3, 2\) there; give"),
        ({}, r"none of its 0 arrays fits this model: a is not in it"),
    ],
)
def test_nothing_that_fits_is_an_error(initial, reason):
    with pytest.raises(ValueError, match=reason):
        warm_start(model(a=(2, 3)), initial)
