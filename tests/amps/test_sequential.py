"""Models in a row, and models in containers, against the same models one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.amps.compiled import block
from wf_jax.amps.activations import Activation
from wf_jax.amps.container import SlimmableContainer
from wf_jax.amps.convnet import ConvNet, ConvNetConfig
from wf_jax.amps.linear import Linear, LinearConfig
from wf_jax.amps.lstm import LSTM
from wf_jax.amps.recurrent import RecurrentConfig
from wf_jax.amps.sequential import Sequential
from wf_jax.amps.weights import Uniform


def convnet(**options):
    config = {"channels": 3, "dilations": (1, 4), "batchnorm": False}
    config |= {"activation": Activation("Tanh"), **options}
    return ConvNet(ConvNetConfig(**config), Uniform(np.random.default_rng(0)))


def lstm(**options):
    config = {"layers": 1, "input_size": 1, "hidden_size": 4, "sample_rate": 1000.0, **options}
    return LSTM(RecurrentConfig(**config), Uniform(np.random.default_rng(1)))


def linear(taps=5, **options):
    config = LinearConfig(taps, True, **{"sample_rate": None, **options})
    return Linear(config, Uniform(np.random.default_rng(2)))


def test_plays_one_after_the_other(rng):
    parts = [convnet(sample_rate=1000.0, out_channels=2), linear(in_channels=2), lstm()]
    model = Sequential(parts)
    assert (model.input_channels, model.output_channels, model.sample_rate) == (1, 1, 1000.0)
    assert model.receptive_field == 1 + 5 + 4
    assert model.lookback == 5 + 4 + 4096
    assert model.prewarm_samples == 6 + 0 + 500
    assert not model.finite_memory
    x = jnp.asarray(rng.normal(size=(1, 50)), jnp.float32)
    expected, state = x, []
    for part in parts:
        before, expected = block(part, part.state_before_prewarm(), expected)
        state.append(before)
    after, y = block(model, model.state_before_prewarm(), x)
    np.testing.assert_allclose(y, expected, atol=1e-6)
    half, first = block(model, model.state_before_prewarm(), x[:, :30], jnp.asarray(20))
    _, second = block(model, half, x[:, 20:])
    np.testing.assert_allclose(np.hstack([first[:, :20], second]), expected, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after, tuple(state))


def test_silence_passes_through_all(rng):
    """Every model but the first receives the previous models' response to silence."""
    parts = [convnet(), linear(12), convnet(dilations=(3,))]
    model = Sequential(parts)
    x = rng.normal(size=20).astype(np.float32)
    expected = np.pad(x, (100, 0))[None]
    for part in parts:
        expected = block(part, part.state_before_prewarm(), expected)[1]
    np.testing.assert_allclose(model(x[None])[0], expected[0, 100:], atol=1e-6)
    valid = jax.jit(model.valid)(jnp.pad(x, (100, 0)))
    np.testing.assert_allclose(valid[-20:], expected[0, 100:], atol=1e-6)
    assert len(valid) == 120 - model.lookback == 120 - (5 + 11 + 3)


def test_scaled_is_a_louder_copy(rng):
    model = Sequential([convnet(), linear()])
    x = rng.normal(size=(2, 30)).astype(np.float32)
    before = model(x)
    np.testing.assert_allclose(model.scaled(-2.5)(x), -2.5 * before, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model(x), before)


def test_parts_that_do_not_fit():
    with pytest.raises(ValueError, match="model 0 has 2 outputs, but model 1 1 inputs"):
        Sequential([convnet(out_channels=2), lstm()])
    with pytest.raises(ValueError, match="different sample rates: 1000, 48000 Hz"):
        Sequential([convnet(), lstm()])
    with pytest.raises(ValueError, match="different sample rates: 1000, 44100 Hz"):
        Sequential([lstm()], 44100.0)
    with pytest.raises(ValueError, match="no models"):
        Sequential([])
    assert Sequential([linear(), linear()]).sample_rate is None


# Containers


def test_a_container_is_its_largest_model(rng):
    small, large = convnet(), Sequential([convnet(dilations=(2,)), linear(400)])
    model = SlimmableContainer([small, large], (0.3, 1.0))
    x = jnp.asarray(rng.normal(size=(2, 50)), jnp.float32)
    np.testing.assert_array_equal(model(x), large(x))
    for name in ("receptive_field", "lookback", "prewarm_samples"):
        assert getattr(model, name) == getattr(large, name) != getattr(small, name)
    louder = model.scaled(3.0)
    for size in (0.0, 1.0):
        actual, expected = louder.at_size(size)(x), 3.0 * model.at_size(size)(x)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_a_size_is_not_handed_on_to_a_container_inside():
    inner = SlimmableContainer([convnet(), linear(sample_rate=48000.0)], (0.5, 1.0))
    outer = SlimmableContainer([inner, convnet()], (0.5, 1.0))
    assert outer.breakpoints == (0.5,)
    assert outer.at_size(0.1) is inner
    assert outer.at_size(0.5) is outer.models[1]


def test_models_that_a_container_refuses():
    with pytest.raises(ValueError, match="model 1 has 1 inputs and 2 outputs"):
        SlimmableContainer([convnet(), convnet(out_channels=2)], (0.5, 1.0))
    with pytest.raises(ValueError, match="different sample rates"):
        SlimmableContainer([convnet(), lstm()], (0.5, 1.0))
    for values in ((0.5, 0.5), (0.5, 0.9), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="do not ascend"):
            SlimmableContainer([convnet(), convnet()], values)
