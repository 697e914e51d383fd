import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.amps import slow_nam
from wf_jax.amps import a2
from wf_jax.amps.activations import Activation
from wf_jax.amps.arithmetic import affine, causal_conv, dense
from wf_jax.amps.model import _play, _step
from wf_jax.amps.nam_models import to_document
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import LayerArrayConfig, WaveNetConfig
from wf_jax.amps.weights import Uniform
from wf_jax.modules import split

FIELD = 6347


def two_arrays(rng):
    """Makes a small WaveNet with all that A2 leaves out: two arrays, bottleneck, dilated head."""
    leaky = (Activation("LeakyReLU", 0.01),)
    arrays = (
        LayerArrayConfig(1, 1, 4, 3, (3, 2), (1, 5), leaky * 2, 2, 3, 2, head_bias=True),
        LayerArrayConfig(4, 1, 2, 2, (2,), (3,), leaky, 1, 1, 1, head_bias=False),
    )
    return WaveNet(WaveNetConfig(arrays), head_scale=0.5, weights=Uniform(rng))


@pytest.mark.parametrize(("size", "parameters"), [("nano", 1870), ("standard", 12145)])
def test_a2_has_its_published_size(rng, size, parameters):
    model = a2.create(size, rng)
    assert sum(leaf.size for leaf in split(model)[1].values()) == parameters
    assert sum(array.size for array in model.weight_arrays()) == parameters + 1
    assert model.receptive_field == FIELD
    state = model.init_state(1)
    assert sum(history.size for history in jax.tree.leaves(state)) == 6346 * a2.CHANNELS[size]


def test_unknown_size_names_the_choices(rng):
    with pytest.raises(ValueError, match=r"tiny.*nano, standard"):
        a2.create("tiny", rng)


@pytest.mark.parametrize("size", ["nano", "standard"])
def test_a2_equals_slow_float64(rng, size):
    model = a2.create(size, rng)
    x = rng.normal(size=8000) * 0.3
    expected = slow_nam.play(to_document(model), x)
    actual = jax.jit(model)(jnp.asarray(x[None], jnp.float32))[0]
    np.testing.assert_allclose(actual, expected, atol=2e-7)
    assert np.abs(expected).max() > 1e-3


def test_two_arrays_equal_slow_float64(rng):
    model = two_arrays(rng)
    assert model.receptive_field == 1 + 2 + 5 + 4 + 3
    x = rng.normal(size=300)
    expected = slow_nam.play(to_document(model), x)
    np.testing.assert_allclose(model(jnp.asarray(x[None], jnp.float32))[0], expected, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [[1, 2, 500, 2, 1, 500], [1006]])
def test_blocks_give_the_same_as_the_whole(rng, blocks):
    model = two_arrays(rng)
    x = jnp.asarray(rng.normal(size=(2, 1006)) * 0.3, jnp.float32)
    step = jax.jit(lambda state, x: model.step(state, x))
    state, outputs, start = model.init_state(2), [], 0
    for block in blocks:
        state, y = step(state, x[:, start : start + block])
        outputs.append(y)
        start += block
    np.testing.assert_allclose(jnp.concatenate(outputs, axis=1), jax.jit(model)(x), atol=2e-7)


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda rng: a2.create("nano", rng), two_arrays])
def test_long_audio_in_chunks_equals_valid_with_silence_before(rng, make):
    model = make(rng)
    x = jnp.asarray(rng.normal(size=2 * model.chunk + 77) * 0.3, jnp.float32)
    expected = jax.jit(model.valid)(jnp.pad(x, (model.receptive_field - 1, 0)))
    np.testing.assert_allclose(jax.jit(model)(x[None])[0], expected, atol=2e-7)


@pytest.mark.parametrize("make", [lambda rng: a2.create("standard", rng), two_arrays])
def test_closed_form_silence_equals_playing_silence(rng, make):
    model = make(rng)
    state = model.init_state(1)
    played, y = jax.jit(model.step)(state, jnp.zeros((1, model.receptive_field)))
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(played), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-6)
    np.testing.assert_allclose(y[0, 0], y[0, -1], atol=1e-7)


def plain_conv(kernel, x, dilation):
    return jax.lax.conv_general_dilated(x[None], kernel, (1,), "VALID", rhs_dilation=(dilation,))[0]


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (6, 3), (15, 13), (2, 5)])
def test_causal_conv_and_its_gradients_equal_xlas(rng, taps, dilation):
    with jax.enable_x64(True):
        kernel, x = (jnp.float64(rng.normal(size=s)) for s in ((4, 3, taps), (3, 300)))
        y, ours = jax.vjp(lambda *args: causal_conv(*args, dilation), kernel, x)
        z, theirs = jax.vjp(lambda *args: plain_conv(*args, dilation), kernel, x)
        np.testing.assert_allclose(y, z, rtol=1e-12, atol=1e-12)
        dy = jnp.float64(rng.normal(size=y.shape))
        for a, b in zip(ours(dy), theirs(dy), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_a_grouped_kernel_is_block_diagonal(rng):
    kernel, x = rng.normal(size=(6, 2, 3)), rng.normal(size=(4, 50))
    with jax.enable_x64(True):
        expected = jax.lax.conv_general_dilated(
            jnp.asarray(x[None]), jnp.asarray(kernel), (1,), "VALID", feature_group_count=2
        )[0]
        actual = causal_conv(dense(jnp.asarray(kernel), 2), jnp.asarray(x), 1)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


def test_affine_and_its_gradients_equal_autodiff(rng):
    with jax.enable_x64(True):
        kernel, bias, x = (jnp.float64(rng.normal(size=s)) for s in ((4, 3), (4,), (3, 50)))
        y, ours = jax.vjp(affine, kernel, bias, x)
        z, theirs = jax.vjp(lambda w, b, x: w @ x + b[:, None], kernel, bias, x)
        np.testing.assert_allclose(y, z, rtol=1e-12)
        dy = jnp.float64(rng.normal(size=y.shape))
        for a, b in zip(ours(dy), theirs(dy), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.slow
def test_gradient_equals_float64_differences(rng):
    """Compares hand-written backward passes with central differences of the float64 forward."""
    with jax.enable_x64(True):
        model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), two_arrays(rng))
        x = jnp.asarray(rng.normal(size=model.receptive_field + 40))
        definition, params = split(model)
        direction = {k: jnp.asarray(rng.normal(size=v.shape)) for k, v in params.items()}

        @jax.jit
        def loss(params):
            return jnp.sum(jnp.square(definition(params).valid(x)))

        gradients = jax.grad(loss)(params)
        slope = sum(jnp.vdot(gradients[k], direction[k]) for k in params)
        step = 1e-6
        ahead = loss({k: v + step * direction[k] for k, v in params.items()})
        behind = loss({k: v - step * direction[k] for k, v in params.items()})
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6)


def test_gradient_with_respect_to_audio(rng):
    with jax.enable_x64(True):
        model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), two_arrays(rng))
        x = jnp.asarray(rng.normal(size=60))
        toward = jnp.asarray(rng.normal(size=60))

        @jax.jit
        def loss(x):
            return jnp.sum(jnp.square(model.valid(x)))

        slope = jnp.vdot(jax.grad(loss)(x), toward)
        differences = (loss(x + 1e-6 * toward) - loss(x - 1e-6 * toward)) / 2e-6
        np.testing.assert_allclose(slope, differences, rtol=1e-6)


def test_leaky_relu_with_a_negative_slope_has_the_right_gradient():
    gradient = jax.grad(lambda z: Activation("LeakyReLU", -0.5)(z)[0, 0])(jnp.array([[-2.0]]))
    assert gradient[0, 0] == -0.5


def test_audio_of_another_shape_is_refused(rng):
    model = two_arrays(rng)
    for x in (jnp.zeros(10), jnp.zeros((1, 1, 10))):
        with pytest.raises(ValueError, match=r"audio of shape .*; this model takes \[B, T\]"):
            model(x)


def test_step_and_call_compile_once(rng):
    model = two_arrays(rng)
    state, sizes = model.init_state(1), []
    for _ in range(3):
        state, _ = model.step(state, jnp.zeros((1, 64)))
        model(jnp.zeros((1, 100)))
        sizes.append((_step._cache_size(), _play._cache_size()))
    assert sizes[0] == sizes[1] == sizes[2]
