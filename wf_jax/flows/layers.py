"""The parts of a flow's net: weight-normed products, and a dilated convolution over rows.

Channels come last: a row of columns is [W, C], so every layer is a matrix product.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax


class WeightNorm(nnx.Module):
    """Weights w = gain * kernel / |kernel|, the norm taken per output, and a bias.

    Kernel [..., I, O] with any taps in front, gain and bias [O] (Salimans and Kingma, 2016). The
    kernel and the bias start uniform in +-1 / sqrt(fan-in), the gain at |kernel|.
    """

    def __init__(self, *shape: int, rng: np.random.Generator):
        """Draws weights of `shape` [..., I, O]."""
        bound = float(np.prod(shape[:-1])) ** -0.5
        kernel = rng.uniform(-bound, bound, shape).astype(np.float32)
        self.kernel = nnx.Param(kernel)
        self.gain = nnx.Param(np.sqrt(np.sum(np.square(kernel), axis=tuple(range(len(shape) - 1)))))
        self.bias = nnx.Param(rng.uniform(-bound, bound, shape[-1:]).astype(np.float32))

    @property
    def weight(self) -> jax.Array:
        """The normalized weights, in the kernel's shape."""
        return normalized(self.kernel[...], self.gain[...])


def normalized(kernel: jax.Array, gain: jax.Array) -> jax.Array:
    """Scales a kernel [..., O] to the norms `gain` [O], each over all other axes."""
    norm = jnp.sqrt(jnp.sum(jnp.square(kernel), axis=tuple(range(kernel.ndim - 1))))
    return kernel * (gain / norm)


def shift(x: jax.Array, steps: int, axis: int) -> jax.Array:
    """Returns y[i] = x[i + steps] along `axis`, zeros where there is no such element."""
    size = x.shape[axis]
    if abs(steps) >= size:
        return jnp.zeros_like(x)
    pad = [(0, 0)] * x.ndim
    pad[axis] = (max(-steps, 0), max(steps, 0))
    return jnp.pad(lax.slice_in_dim(x, max(steps, 0), size + min(steps, 0), axis=axis), pad)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def affine(weight: jax.Array, bias: jax.Array, x: jax.Array, precision: str) -> jax.Array:
    """Computes x [..., I] @ weight [I, O] + bias [O], with the bias gradient as a product.

    XLA's reduction over leading axes on CPU is not vectorized; a product with ones is. The
    precision is an argument because a hand-written backward pass is traced outside of any context.
    """
    return jnp.matmul(x, weight, precision=precision) + bias


def _affine_forward(
    weight: jax.Array, bias: jax.Array, x: jax.Array, precision: str
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return affine(weight, bias, x, precision), (weight, x)


def _affine_backward(
    precision: str, residuals: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    weight, x = residuals
    flat = dy.reshape(-1, dy.shape[-1])
    with jax.default_matmul_precision(precision):
        d_weight = x.reshape(-1, x.shape[-1]).T @ flat
        return d_weight, jnp.ones_like(flat[:, 0]) @ flat, dy @ weight.T


affine.defvjp(_affine_forward, _affine_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def rows_conv(
    kernel: jax.Array, x: jax.Array, dilation: tuple[int, int], precision: str
) -> jax.Array:
    """Convolves over rows and columns, causal in height, centered in width, zeros around.

    One product of all taps of a column at once; the outputs of the width taps are then shifted
    and added. Height taps that see no row at all are left out.

    Args:
        kernel: [K, K', I, O]; the last height tap meets the current row.
        x: [..., R, W, I].
        dilation: rows and columns between taps.
        precision: of the products, forward and backward; see `affine`.

    Returns:
        [..., R, W, O].
    """
    back, taps = _used(kernel, x, dilation)
    rows, matrix = _gather(x, back, dilation), _as_matrix(kernel, taps)
    products = jnp.matmul(rows, matrix, precision=precision)
    wide = products.reshape(*x.shape[:-1], kernel.shape[1], kernel.shape[3])
    half = kernel.shape[1] // 2
    return sum(
        shift(wide[..., k, :], (k - half) * dilation[1], x.ndim - 2) for k in range(2 * half + 1)
    )


def _used(
    kernel: jax.Array, x: jax.Array, dilation: tuple[int, int]
) -> tuple[list[int], list[int]]:
    """Returns the rows back that each useful height tap sees, and the numbers of these taps."""
    count = kernel.shape[0]
    taps = [k for k in range(count) if (count - 1 - k) * dilation[0] < x.shape[-3]]
    return [count - 1 - k for k in taps], taps


def _gather(x: jax.Array, back: list[int], dilation: tuple[int, int]) -> jax.Array:
    """Gathers the rows that the height taps see, side by side: [..., R, W, taps * I]."""
    axis = x.ndim - 3
    return jnp.concatenate([shift(x, -n * dilation[0], axis) for n in back], axis=-1)


def _as_matrix(kernel: jax.Array, taps: list[int]) -> jax.Array:
    """Reshapes [K, K', I, O] to [taps * I, K' * O]."""
    used = kernel[taps[0] :].transpose(0, 2, 1, 3)
    return used.reshape(used.shape[0] * used.shape[1], -1)


def _rows_conv_forward(
    kernel: jax.Array, x: jax.Array, dilation: tuple[int, int], precision: str
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return rows_conv(kernel, x, dilation, precision), (kernel, x)


def _rows_conv_backward(
    dilation: tuple[int, int],
    precision: str,
    residuals: tuple[jax.Array, jax.Array],
    dy: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    # One shifted copy of dy serves both gradients, each of them one product.
    kernel, x = residuals
    back, taps = _used(kernel, x, dilation)
    width, inputs, outputs = kernel.shape[1:]
    d_wide = jnp.concatenate(
        [shift(dy, (width // 2 - k) * dilation[1], x.ndim - 2) for k in range(width)], axis=-1
    )
    d_rows = jnp.matmul(d_wide, _as_matrix(kernel, taps).T, precision=precision)
    d_x = sum(
        shift(d_rows[..., i * inputs : (i + 1) * inputs], n * dilation[0], x.ndim - 3)
        for i, n in enumerate(back)
    )
    flat = d_wide.reshape(-1, d_wide.shape[-1])
    rows = _gather(x, back, dilation)
    d_matrix = jnp.matmul(rows.reshape(-1, rows.shape[-1]).T, flat, precision=precision)
    d_used = d_matrix.reshape(len(taps), inputs, width, outputs).transpose(0, 2, 1, 3)
    return jnp.pad(d_used, ((taps[0], 0), (0, 0), (0, 0), (0, 0))), d_x


rows_conv.defvjp(_rows_conv_forward, _rows_conv_backward)
