"""The layers of a flow's net against lax's convolution, autodiff and slow loops, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.flows import small
from tests.quick_jit import quick_jit
from wf_jax.flows.layers import WeightNorm, affine, rows_conv, shift
from wf_jax.flows.upsampler import Upsampler
from wf_jax.modules import split


def close(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def plain_conv(kernel, x, dilation, precision):
    """Convolves with zeros above (causal) and on both sides (centered); no flip."""
    taps, width = kernel.shape[:2]
    side = width // 2 * dilation[1]
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [((taps - 1) * dilation[0], 0), (side, side)],
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@pytest.mark.parametrize(
    ("taps", "dilation"),
    [
        ((3, 3), (1, 1)),
        ((3, 3), (2, 4)),
        ((3, 3), (4, 1)),  # the oldest tap sees no row
        ((3, 3), (6, 2)),  # only the current row is seen
        ((3, 3), (1, 9)),  # wider than the rows
        ((1, 1), (2, 2)),
        ((5, 5), (1, 2)),
        ((2, 3), (2, 1)),
    ],
)
def test_rows_conv_and_both_gradients(rng, taps, dilation):
    """Catches a hand-written backward pass that is off."""
    with jax.enable_x64(True):
        x = rng.standard_normal((2, 6, 9, 3))
        kernel = rng.standard_normal((*taps, 3, 4))
        dy = rng.standard_normal((2, 6, 9, 4))

        def both(conv, kernel, x, dy):
            y, back = jax.vjp(lambda k, x: conv(k, x, dilation, "highest"), kernel, x)
            return y, *back(dy)

        ours = quick_jit(lambda *args: both(rows_conv, *args))(kernel, x, dy)
        theirs = quick_jit(lambda *args: both(plain_conv, *args))(kernel, x, dy)
        for actual, expected in zip(ours, theirs, strict=True):
            assert actual.dtype == jnp.float64
            close(actual, expected)


def test_rows_conv_sees_no_row_below_and_no_flip():
    """With one impulse and one tap, kernel[k] meets row r - (2 - k) d."""
    x = np.zeros((1, 7, 7, 1), np.float32)
    x[0, 2, 3] = 1
    conv = quick_jit(lambda kernel: rows_conv(kernel, x, (2, 1), "highest")[0, :, :, 0])
    for k in range(3):
        for j in range(3):
            kernel = np.zeros((3, 3, 1, 1), np.float32)
            kernel[k, j] = 1
            y = conv(kernel)
            assert np.argwhere(y).tolist() == [[2 + (2 - k) * 2, 3 + (1 - j)]]


def test_affine_and_its_gradients(rng):
    """The product with ones sums over all leading axes, one or several."""
    with jax.enable_x64(True):
        weight, bias = rng.standard_normal((3, 5)), rng.standard_normal(5)
        for lead in [(4,), (2, 3, 4)]:
            x, dy = rng.standard_normal((*lead, 3)), rng.standard_normal((*lead, 5))
            y, back = jax.vjp(lambda *args: affine(*args, "highest"), weight, bias, x)
            plain, plain_back = jax.vjp(lambda w, b, x: x @ w + b, weight, bias, x)
            for actual, expected in zip((y, *back(dy)), (plain, *plain_back(dy)), strict=True):
                assert actual.shape == expected.shape
                close(actual, expected)


@pytest.mark.parametrize("shape", [(3, 3, 2, 4), (5, 3), (1, 3)])
def test_weight_norm(rng, shape):
    """The norm is per output, over taps and inputs; over all it would couple the outputs.

    At the start the weight is the kernel: gain = |kernel|, uniform in +-1 / sqrt(fan-in).
    """
    fresh = WeightNorm(*shape, rng=rng)
    close(fresh.weight, fresh.kernel[...], 1e-6)
    bound = np.prod(shape[:-1]) ** -0.5
    for part in (fresh.kernel, fresh.bias):
        assert np.abs(part[...]).max() <= bound * (1 + 1e-6)
    params = {
        f"x/{name}": np.asarray(value) + rng.standard_normal(value.shape)
        for name, value in split(fresh)[1].items()
    }
    with jax.enable_x64(True):
        module = split(fresh)[0]({n.removeprefix("x/"): v for n, v in params.items()})
        close(module.weight, small.normed(params, "x"))


@pytest.mark.parametrize("steps", [-9, -4, -1, 0, 2, 4])
def test_shift(rng, steps):
    x = rng.standard_normal((2, 4))
    y = np.zeros_like(x)
    for i in range(4):
        if 0 <= i + steps < 4:
            y[:, i] = x[:, i + steps]
    np.testing.assert_array_equal(shift(jnp.asarray(x), steps, 1), y.astype(np.float32))


@pytest.mark.parametrize("factors", [(4, 4), (10, 30), (15, 20), (5,), (3, 5), (2, 1), ()])
def test_upsampler(rng, factors):
    """F frames give exactly F * hop, each the sum of products in scatter form.

    A shift by one sample would train all the same, but play published weights wrongly. Odd
    factors: one trailing column is cut.
    """
    with jax.enable_x64(True):
        module = jax.tree.map(
            lambda v: v + 0.2 * rng.standard_normal(np.shape(v)), Upsampler(factors, rng=rng)
        )
        params = {
            f"upsampler/{name}": np.asarray(value) for name, value in split(module)[1].items()
        }
        mel = rng.standard_normal((2, 5, 4))
        c = quick_jit(lambda module, mel: module(mel))(module, mel)
        assert c.shape == (2, 4 * int(np.prod(factors)), 5)
        for b in range(2):
            close(c[b].T, small.slow_upsample(params, mel[b], factors))


def test_upsampler_with_frames_is_the_short_clip_alone(rng):
    """Nothing beyond a clip's frames leaks into its last samples."""
    module = Upsampler((4, 3), rng=rng)
    mel = rng.standard_normal((3, 5, 6)).astype(np.float32)
    frames = np.array([6, 2, 3])
    c = quick_jit(lambda mel: module(mel, frames))(mel)
    for b, count in enumerate(frames):
        alone = quick_jit(module)(mel[b : b + 1, :, :count])
        close(c[b, : 12 * count], alone[0], 1e-6)
