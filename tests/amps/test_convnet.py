"""The ConvNet against sums over its taps in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.amps.compiled import block
from tests.amps.differences import assert_gradient
from tests.amps.nam_documents import batchnorm_convnet, convnet
from wf_jax.amps import nam_convnet
from wf_jax.amps.activations import Activation
from wf_jax.amps.convnet import ConvNet, ConvNetConfig
from wf_jax.amps.nam_file import parse
from wf_jax.amps.weights import FileWeights, Shapes, Uniform
from wf_jax.errors import UserError
from wf_jax.modules import split


def drawn(config):
    shapes = Shapes()
    ConvNet(config, shapes)
    # Positive, as variances are.
    values = np.random.default_rng(2).uniform(0.1, 0.9, shapes.count).astype(np.float32)
    return ConvNet(config, FileWeights(values)), values.astype(np.float64)


def slow(config, values, x):
    """Computes y [O, T] from the stored weights and x [I, T], zeros before it."""
    position = 0

    def take(*shape):
        nonlocal position
        start, position = position, position + int(np.prod(shape))
        return values[start:position].reshape(shape)

    width, groups, length = config.channels, config.groups, x.shape[1]
    for dilation in config.dilations:
        before = len(x) // groups
        kernel = take(width, before, 2)
        bias = np.zeros(width) if config.batchnorm else take(width)
        z = np.tile(bias[:, None], length)
        for o in range(width):
            first = o // (width // groups) * before  # of the inputs that its group sees
            for i in range(before):
                late = np.concatenate([np.zeros(dilation), x[first + i]])[:length]
                z[o] += kernel[o, i, 0] * late + kernel[o, i, 1] * x[first + i]
        if config.batchnorm:
            mean, variance, scale, bias = take(4, width, 1)
            z = scale * (z - mean) / np.sqrt(variance + take(1)) + bias
        x = np.tanh(z)
    head, bias = take(config.out_channels, width), take(config.out_channels)
    assert position == len(values)
    return head @ x + bias[:, None]


TANH = Activation("Tanh")
CONFIGS = [
    ConvNetConfig(3, (1, 2, 5), False, TANH),
    ConvNetConfig(4, (3, 1), True, TANH),
    ConvNetConfig(6, (2, 4), True, TANH, groups=2, in_channels=2, out_channels=3),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_plays_as_the_sums_in_blocks_of_any_size(config, rng):
    model, values = drawn(config)
    x = rng.normal(size=(config.in_channels, 60)).astype(np.float32)
    expected = slow(config, values, x)
    state, y = model.state_before_prewarm(), []
    for start, stop in ((0, 1), (1, 4), (4, 33), (33, 60)):
        state, part = block(model, state, x[:, start:stop])
        y.append(part)
    np.testing.assert_allclose(np.concatenate(y, axis=1), expected, atol=2e-6)
    state = model.state_before_prewarm()
    padded = np.pad(x[:, :43], ((0, 0), (0, 17)), constant_values=9.0)
    for start, count in ((0, 20), (20, 20), (40, 3)):
        state, _ = block(model, state, padded[:, start : start + 20], jnp.asarray(count))
    np.testing.assert_allclose(block(model, state, x[:, 43:])[1], expected[:, 43:], atol=2e-6)


@pytest.mark.parametrize("config", CONFIGS)
def test_silence_and_valid(config, rng):
    model, values = drawn(config)
    lookback = sum(config.dilations)
    assert model.receptive_field == model.prewarm_samples == 1 + lookback
    x = rng.normal(size=(config.in_channels, 40)).astype(np.float32)
    # After silence that the network has wholly taken in, biases included.
    expected = slow(config, values, np.pad(x, ((0, 0), (lookback, 0))))[:, lookback:]
    audio = x if config.in_channels > 1 else x[0]
    actual = np.atleast_2d(model(audio[None])[0])
    np.testing.assert_allclose(actual, expected, atol=2e-6)
    valid = np.atleast_2d(jax.jit(model.valid)(audio))
    np.testing.assert_allclose(valid, expected[:, lookback:], atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS[:2])
def test_gradient_equals_float64_differences(config, rng):
    with jax.enable_x64(True):
        model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), drawn(config)[0])
        definition, params = split(model)
        assert not any("mean" in name or "variance" in name for name in params)  # not trained
        x = jnp.asarray(rng.normal(size=(1, 30)))

        assert_gradient(lambda p: jnp.sum(jnp.square(definition(p)(x))), params, rng, rtol=1e-5)


def test_stream_and_config_are_what_was_read():
    for document in (batchnorm_convnet(), convnet(groups=2, in_channels=2, out_channels=2)):
        model = nam_convnet.from_nam(parse(document, "a.nam"))
        written = np.concatenate([np.ravel(array) for array in model.weight_arrays()])
        assert written.dtype == np.float32
        np.testing.assert_array_equal(written, np.float32(document["weights"]))
        assert nam_convnet.to_config(model) == document["config"]


def test_scaled_is_a_louder_copy(rng):
    model, _ = drawn(CONFIGS[1])
    x = rng.normal(size=(2, 30)).astype(np.float32)
    before = model(x)
    np.testing.assert_allclose(model.scaled(-2.5)(x), -2.5 * before, rtol=1e-5)
    np.testing.assert_array_equal(model(x), before)


def test_fresh_batch_norm_changes_nothing_but_epsilon(rng):
    block = ConvNet(CONFIGS[1], Uniform(rng)).blocks[0]
    z = rng.normal(size=(4, 9)).astype(np.float32)
    np.testing.assert_allclose(block.norm(z), z / np.sqrt(1 + 1e-5), rtol=1e-6)


BROKEN = {
    "groups": ({"groups": 2}, r"config\.groups: 2 do not divide in_channels 1$"),
    "blocks": ({"dilations": [1] * 257}, r"257 blocks; 256 are the most"),
    "dilation": (
        {"dilations": [999_999] * 256},
        "asks for more than 67,108,864 numbers of memory",
    ),
    "norm": ({"batchnorm": True}, r"89 weights; a ConvNet of this config has 128$"),
    "normed": ({"batchnorm": 1}, r"batchnorm: 1 is not true or false"),
    "slopes": (
        {"activation": {"type": "PReLU", "negative_slopes": [0.1, 0.2]}},
        r"2 negative_slopes for 4 channels",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(case):
    change, message = BROKEN[case]
    document = convnet()
    document["config"] |= change
    with pytest.raises(UserError, match=message):
        nam_convnet.from_nam(parse(document, "a.nam"))


def test_a_negative_variance_is_refused():
    document = batchnorm_convnet()
    document["weights"][6 + 3] = -1.0
    with pytest.raises(UserError, match="batch norm of block 0"):
        nam_convnet.from_nam(parse(document, "a.nam"))
