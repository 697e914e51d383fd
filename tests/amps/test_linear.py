"""The Linear model against numpy's convolution in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.amps.compiled import block
from tests.amps.differences import assert_gradient
from tests.amps.nam_documents import linear as document
from wf_jax.amps import nam_linear
from wf_jax.amps.linear import Linear, LinearConfig
from wf_jax.amps.nam_file import parse
from wf_jax.amps.weights import FileWeights, Shapes
from wf_jax.errors import UserError
from wf_jax.modules import split


def drawn(config):
    shapes = Shapes()
    Linear(config, shapes)
    values = np.random.default_rng(2).normal(size=shapes.count).astype(np.float32)
    decay = np.exp(-4 * np.arange(config.receptive_field) / config.receptive_field)
    responses = config.kernels * config.receptive_field
    values[:responses] *= np.tile(decay, config.kernels).astype(np.float32)
    return Linear(config, FileWeights(values)), values.astype(np.float64)


def slow(config, values, x):
    """Computes y [O, T] from the stored weights and x [I, T] after zeros."""
    taps, inputs, outputs = config.receptive_field, config.in_channels, config.out_channels
    paths = max(inputs, outputs)
    y = np.zeros((outputs, x.shape[1]))
    for path in range(paths):
        kernel = values[:taps] if inputs == outputs else values[path * taps : (path + 1) * taps]
        y[min(path, outputs - 1)] += np.convolve(x[min(path, inputs - 1)], kernel)[: x.shape[1]]
    if config.bias:
        biases = 1 if inputs == outputs else outputs
        y += values[len(values) - biases :][:, None]
    return y


CONFIGS = [
    LinearConfig(1, False),
    LinearConfig(7, True),
    LinearConfig(5, True, implementation="fft"),
    LinearConfig(300, True),
    LinearConfig(5000, False),
    LinearConfig(9, True, in_channels=3, out_channels=3),
    LinearConfig(40, True, in_channels=1, out_channels=3),
    LinearConfig(9, True, in_channels=3, out_channels=1),
]


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_plays_as_numpy_in_blocks_of_any_size(config, rng):
    model, values = drawn(config)
    x = rng.normal(size=(config.in_channels, 12000)).astype(np.float32)
    expected = slow(config, values, x)
    scale = np.abs(expected).max()
    state, y = model.state_before_prewarm(), []
    for start, stop in ((0, 1), (1, 65), (65, 5000), (5000, 12000)):
        state, part = block(model, state, x[:, start:stop])
        y.append(part)
    np.testing.assert_allclose(np.concatenate(y, axis=1), expected, atol=2e-6 * scale)
    padded = np.pad(x[:, :43], ((0, 0), (0, 17)), constant_values=9.0)
    state = model.state_before_prewarm()
    for start, count in ((0, 20), (20, 20), (40, 3)):
        state, _ = block(model, state, padded[:, start : start + 20], jnp.asarray(count))
    _, rest = block(model, state, x[:, 43:143])
    np.testing.assert_allclose(rest, expected[:, 43:143], atol=2e-6 * scale)
    audio = x if config.in_channels > 1 else x[0]
    assert model.chunk > config.receptive_field
    whole, valid = model(audio[None])[0], jax.jit(model.valid)(audio)
    for actual, first in ((whole, 0), (valid, model.lookback)):
        np.testing.assert_allclose(np.atleast_2d(actual), expected[:, first:], atol=2e-6 * scale)


def test_steady_is_the_sum_of_the_response():
    for config in (CONFIGS[1], CONFIGS[3]):
        model, values = drawn(config)
        state, y = model.steady(jnp.full((1, 1), 0.5))
        expected = 0.5 * values[:-1].sum() + values[-1]
        np.testing.assert_allclose(y, [[expected]], atol=1e-5)
        _, y = model.block(state, jnp.full((1, 9), 0.5))
        np.testing.assert_allclose(y, np.full((1, 9), expected), atol=1e-5)


@pytest.mark.parametrize("config", [CONFIGS[1], CONFIGS[6]], ids=str)
def test_gradient_equals_float64_differences(config, rng):
    with jax.enable_x64(True):
        model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), drawn(config)[0])
        definition, params = split(model)
        x = jnp.asarray(rng.normal(size=(1, 60)))

        assert_gradient(lambda p: jnp.sum(jnp.square(definition(p)(x))), params, rng, rtol=1e-6)


def test_scaled_is_a_louder_copy(rng):
    model, _ = drawn(CONFIGS[1])
    x = rng.normal(size=(2, 30)).astype(np.float32)
    before = model(x)
    np.testing.assert_allclose(model.scaled(-2.5)(x), -2.5 * before, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model(x), before)


@pytest.mark.parametrize(
    ("written", "kept"), [("Legacy", "direct"), ("AUTO", "auto"), ("partitioned-fft", "fft")]
)
def test_stream_and_config_are_what_was_read(written, kept):
    read = document(6, True, in_channels=2, implementation=written)
    model = nam_linear.from_nam(parse(read, "a.nam"))
    weights = np.concatenate([np.ravel(array) for array in model.weight_arrays()])
    np.testing.assert_array_equal(weights, np.float32(read["weights"]))
    expected = {key: value for key, value in read["config"].items() if key != "implementation"}
    assert nam_linear.to_config(model) == expected | (
        {} if kept == "auto" else {"implementation": kept}
    )


BROKEN = {
    "channels": ({"in_channels": 2, "out_channels": 3}, r"no rule for 2 inputs and 3 outputs"),
    "implementation": ({"implementation": "gpu"}, r"implementation: 'gpu' is not one of auto,"),
    "null": ({"implementation": None}, r"implementation: null is not one of"),
    "taps": ({"receptive_field": 8_000_000}, r"6 weights; a Linear of this config has 8000001$"),
    "bias": ({"bias": None}, r"bias: null is not true or false"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(case):
    change, message = BROKEN[case]
    broken = document(5, True)
    broken["config"] |= change
    with pytest.raises(UserError, match=message):
        nam_linear.from_nam(parse(broken, "a.nam"))
