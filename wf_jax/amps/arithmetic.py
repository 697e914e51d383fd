"""The arithmetic of NAM layers on one sequence, channel-major: arrays are [channels, samples].

Each function has the backward pass that was measured fastest on CPU (see BUILD_NOTES, "Training
step"); all are plain XLA, so they run and differentiate anywhere.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """The matrix product a @ b in the arrays' own precision on every device.

    An accelerator's default rounds float32 factors to 11 bits (TF32) or 8 (TPU): a model would
    then not play as the core does. Written into every product, because hand-written backward
    passes are traced outside of any `jax.default_matmul_precision`.
    """
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _shifted(x: jax.Array, tap: int, dilation: int, length: int) -> jax.Array:
    """The `length` columns of x that tap number `tap` (0 the oldest) sees."""
    return lax.slice_in_dim(x, tap * dilation, tap * dilation + length, axis=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def causal_conv(kernel: jax.Array, x: jax.Array, dilation: int) -> jax.Array:
    """Valid dilated convolution over time; tap 0 meets the oldest sample.

    One product of all taps at once, then the sum of its shifted rows: the intermediate stays a
    plain matrix product and the sum fuses with what follows.

    Args:
        kernel: [O, I, K].
        x: [I, T], time on the last axis.
        dilation: samples between taps.

    Returns:
        [O, T - (K - 1) * dilation], column t aligned with column t + (K - 1) * dilation of x.
    """
    outputs, inputs, taps = kernel.shape
    length = x.shape[1] - (taps - 1) * dilation
    matrix = kernel.transpose(2, 0, 1).reshape(taps * outputs, inputs)
    products = product(matrix, x)  # [K * O, T]
    rows = products.reshape(taps, outputs, x.shape[1])
    return sum(_shifted(rows[k], k, dilation, length) for k in range(taps))


def _causal_conv_forward(
    kernel: jax.Array, x: jax.Array, dilation: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return causal_conv(kernel, x, dilation), (kernel, x)


def _causal_conv_backward(
    dilation: int, residuals: tuple[jax.Array, jax.Array], dz: jax.Array
) -> tuple[jax.Array, jax.Array]:
    # One gathered copy of dz serves both gradients, each of them one product.
    kernel, x = residuals
    outputs, inputs, taps = kernel.shape
    span = (taps - 1) * dilation
    gathered = jnp.concatenate(
        [jnp.pad(dz, ((0, 0), (k * dilation, span - k * dilation))) for k in range(taps)]
    )  # [K * O, T]
    d_kernel = product(gathered, x.T).reshape(taps, outputs, inputs).transpose(1, 2, 0)
    d_x = product(kernel.transpose(1, 2, 0).reshape(inputs, taps * outputs), gathered)
    return d_kernel, d_x


causal_conv.defvjp(_causal_conv_forward, _causal_conv_backward)


@jax.custom_vjp
def affine(kernel: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
    """Computes kernel [O, I] @ x [I, T] + bias [O], with the bias gradient as a product.

    XLA's row reduction on CPU is not vectorized; a product with ones is.
    """
    return product(kernel, x) + bias[:, None]


def _affine_forward(
    kernel: jax.Array, bias: jax.Array, x: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return affine(kernel, bias, x), (kernel, x)


def _affine_backward(
    residuals: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    kernel, x = residuals
    return product(dy, x.T), product(dy, jnp.ones_like(dy[0])), product(kernel.T, dy)


affine.defvjp(_affine_forward, _affine_backward)


def dense(kernel: jax.Array, groups: int) -> jax.Array:
    """A grouped kernel [O, I / groups, K] as the block-diagonal one [O, I, K].

    Channels are few, so one product with zeros in it beats a product per group.
    """
    if groups == 1:
        return kernel
    outputs, inputs, taps = kernel.shape
    blocks = kernel.reshape(groups, outputs // groups, 1, inputs, taps)
    diagonal = jnp.eye(groups, dtype=kernel.dtype).reshape(groups, 1, groups, 1, 1)
    return (blocks * diagonal).reshape(outputs, groups * inputs, taps)
