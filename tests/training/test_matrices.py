import jax.numpy as jnp
import numpy as np
import pytest

from wf_jax.amps.capture_task import CaptureTask
from wf_jax.flows.vocoder_task import VocoderTask
from wf_jax.training.matrices import Axes, grouped, stack, unstack


def test_an_array_as_matrices_and_back(rng):
    array = jnp.asarray(rng.standard_normal((3, 4, 5, 2)), jnp.float32)
    axes = Axes(copies=(1,), rows=(3, 0), columns=(2,))
    matrices = axes.to_matrices(array)
    assert matrices.shape == (4, 6, 5)
    assert matrices[1, 0 * 3 + 2, 4] == array[2, 1, 4, 0]
    assert matrices[3, 1 * 3 + 0, 0] == array[0, 3, 0, 1]
    np.testing.assert_array_equal(axes.from_matrices(matrices, array), array)


def test_stacks_come_apart_again(rng):
    shapes = {"a": (2, 4, 3, 2), "b": (2, 4), "c": (2, 4, 6), "d": (2, 4)}
    arrays = {k: jnp.asarray(rng.standard_normal(v), jnp.float32) for k, v in shapes.items()}
    groups = grouped(arrays, CaptureTask.axes_of)
    assert {key: list(members) for key, members in groups.items()} == {
        "2/4x6": ["a", "c"],
        "2/4": ["b", "d"],
    }
    for members in groups.values():
        back = unstack(stack(arrays, members), members, arrays)
        for name, value in back.items():
            np.testing.assert_array_equal(value, arrays[name])


@pytest.mark.parametrize(
    ("name", "shape", "copies", "m", "n"),
    [
        ("flows/layers/0/conv/kernel", (4, 3, 3, 16, 32), (4,), 144, 32),
        ("flows/layers/0/conv/gain", (4, 32), (4,), 32, 1),
        ("stages/1/mixing", (4, 8, 8), (4,), 8, 8),
        ("nets/0/layers/1/conv/kernel", (3, 1, 8, 16), (), 24, 16),
        ("nets/0/end/bias", (2,), (), 2, 1),
    ],
)
def test_arrays_of_flows(name, shape, copies, m, n):
    axes = VocoderTask.axes_of(name, shape)
    assert axes.shape(jnp.zeros(shape)) == (copies, m, n)
    assert bool(axes.columns) == (n > 1)
