"""The LSTM against a loop in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.amps.compiled import block
from tests.amps.differences import assert_gradient
from tests.amps.nam_documents import lstm as document
from wf_jax.amps import lstm, nam_lstm
from wf_jax.amps.lstm import LSTM
from wf_jax.amps.nam_file import parse
from wf_jax.amps.recurrent import RecurrentConfig
from wf_jax.amps.weights import FileWeights, Shapes
from wf_jax.errors import UserError
from wf_jax.modules import split


def drawn(config, scale=0.7):
    shapes = Shapes()
    LSTM(config, shapes)
    values = np.random.default_rng(2).normal(scale=scale, size=shapes.count).astype(np.float32)
    return LSTM(config, FileWeights(values)), values.astype(np.float64)


def slow(config, values, x):
    """Computes y [O, T] from the stored weights and x [I, T], from the stored h and c on."""
    position = 0

    def take(*shape):
        nonlocal position
        start, position = position, position + int(np.prod(shape))
        return values[start:position].reshape(shape)

    hidden = config.hidden_size
    signal = x.T
    for layer in range(config.layers):
        kernel = take(4 * hidden, (config.input_size if layer == 0 else hidden) + hidden)
        bias, h, c = take(4 * hidden), take(hidden), take(hidden)
        outputs = []
        for column in signal:
            gates = kernel @ np.concatenate([column, h]) + bias
            i, f, g, o = gates.reshape(4, hidden)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
            outputs.append(h)
        signal = np.array(outputs)
    head, bias = take(config.output_channels, hidden), take(config.output_channels)
    assert position == len(values)
    return head @ signal.T + bias[:, None]


CONFIGS = [
    RecurrentConfig(1, 1, 3),
    RecurrentConfig(3, 1, 4),
    RecurrentConfig(2, 2, 5, output_channels=3),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_plays_as_the_loop_in_blocks_of_any_size(config, rng):
    model, values = drawn(config)
    x = rng.normal(size=(config.input_size, 60)).astype(np.float32)
    expected = slow(config, values, x)
    state, y = model.state_before_prewarm(), []
    for start, stop in ((0, 1), (1, 33), (33, 60)):
        state, part = block(model, state, x[:, start:stop])
        y.append(part)
    np.testing.assert_allclose(np.concatenate(y, axis=1), expected, atol=2e-6)
    # The last of three blocks is half empty: what it leaves behind is what 17 samples leave.
    state = model.state_before_prewarm()
    padded = np.pad(x[:, :57], ((0, 0), (0, 3)), constant_values=9.0)
    for start, count in ((0, 20), (20, 20), (40, 17)):
        state, y = block(model, state, padded[:, start : start + 20], jnp.asarray(count))
    np.testing.assert_allclose(y[:, :17], expected[:, 40:57], atol=2e-6)
    _, y = block(model, state, x[:, 57:])
    np.testing.assert_allclose(y, expected[:, 57:], atol=2e-6)


def test_silence_is_half_a_second_from_the_stored_beginning(rng):
    config = RecurrentConfig(1, 1, 3, sample_rate=15.0)  # still on its way then
    model, values = drawn(config)
    x = rng.normal(size=(1, 9)).astype(np.float32)
    expected, other = (slow(config, values, np.pad(x, ((0, 0), (n, 0))))[:, n:] for n in (7, 6))
    assert model.prewarm_samples == 7
    np.testing.assert_allclose(jax.jit(model)(x), expected, atol=2e-6)
    assert np.abs(other - expected).max() > 1e-4
    assert drawn(RecurrentConfig(1, 1, 3, sample_rate=None))[0].prewarm_samples == 1


@pytest.mark.slow
def test_gradient_equals_float64_differences(rng):
    config = RecurrentConfig(2, 1, 3)
    with jax.enable_x64(True):
        model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), drawn(config)[0])
        definition, params = split(model)
        x = jnp.asarray(rng.normal(size=(1, 12)))

        def loss(params):
            model = definition(params)
            return jnp.sum(
                jnp.square(model.block(model.state_before_prewarm(), x, jnp.asarray(10))[1])
            )

        gradients = assert_gradient(loss, params, rng, rtol=1e-6)
        assert "cells/1/cell" in gradients  # where c starts is trained


def test_scaled_is_a_louder_copy(rng):
    model, _ = drawn(CONFIGS[2])
    before = [np.array(array) for array in model.weight_arrays()]
    x = rng.normal(size=(2, 30)).astype(np.float32)
    play = jax.jit(lambda model, x: model.block(model.state_before_prewarm(), x)[1])
    expected, actual = -2.5 * play(model, x), play(model.scaled(-2.5), x)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    for old, new in zip(before, model.weight_arrays(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_valid_begins_where_h_and_c_start():
    config = RecurrentConfig(1, 1, 2)
    model, values = drawn(config)
    x = np.linspace(-1, 1, model.lookback + 5, dtype=np.float32)
    expected = slow(config, values, x[None])[0, model.lookback :]
    np.testing.assert_allclose(jax.jit(model.valid)(x), expected, atol=2e-6)


def test_fresh_weights_are_the_trainers_rule():
    config = RecurrentConfig(2, 1, 64)
    model = lstm.create(config, np.random.default_rng(0))
    bound = 64**-0.5
    for cell in model.cells:
        assert 0.98 * bound < np.abs(cell.kernel[...]).max() <= bound
        bias = np.asarray(cell.bias[...]).reshape(4, 64) - [[-4], [4], [0], [0]]
        assert bound < np.abs(bias).max() <= 2 * bound  # the sum of two draws
        assert not np.any(cell.hidden[...])
        assert not np.any(cell.cell[...])


BROKEN = {
    "two inputs": ({"input_size": 2}, r"config\.input_size: 2, but in_channels .* 1"),
    "layers": ({"num_layers": 100_000}, r"num_layers: 100000; 64 are the most"),
    "no layers": ({"num_layers": 0}, r"num_layers: 0 is not a positive integer"),
    "width": (
        {"hidden_size": 9_999_999},
        "hidden_size: 9999999 is not a positive integer up to 2,048",
    ),
    "one more": ({"hidden_size": 4}, r"70 weights; a LSTM of this config has 109$"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(case):
    change, message = BROKEN[case]
    broken = document()
    broken["config"] |= change
    with pytest.raises(UserError, match=message):
        nam_lstm.from_nam(parse(broken, "a.nam"))
