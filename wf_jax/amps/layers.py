"""The arithmetic of NAM layers on one sequence, channel-major: arrays are [channels, samples].

Each function has the backward pass that was measured fastest on CPU (see BUILD_NOTES, "Training
step"); all are plain XLA, so they run and differentiate anywhere.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax


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
    products = kernel.transpose(2, 0, 1).reshape(taps * outputs, inputs) @ x  # [K * O, T]
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
    d_kernel = (gathered @ x.T).reshape(taps, outputs, inputs).transpose(1, 2, 0)
    d_x = kernel.transpose(1, 2, 0).reshape(inputs, taps * outputs) @ gathered
    return d_kernel, d_x


causal_conv.defvjp(_causal_conv_forward, _causal_conv_backward)


@jax.custom_vjp
def affine(kernel: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
    """Kernel [O, I] @ x [I, T] + bias [O], with the bias gradient as a product.

    XLA's row reduction on CPU is not vectorised; a product with ones is.
    """
    return kernel @ x + bias[:, None]


def _affine_forward(
    kernel: jax.Array, bias: jax.Array, x: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return affine(kernel, bias, x), (kernel, x)


def _affine_backward(
    residuals: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    kernel, x = residuals
    return dy @ x.T, dy @ jnp.ones_like(dy[0]), kernel.T @ dy


affine.defvjp(_affine_forward, _affine_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def leaky_relu(z: jax.Array, negative_slope: float) -> jax.Array:
    """Z where z > 0, else negative_slope * z; the slope must be above 0."""
    return jnp.where(z > 0, z, negative_slope * z)


def _leaky_relu_forward(z: jax.Array, negative_slope: float) -> tuple[jax.Array, jax.Array]:
    # The output carries the sign of the input, so the input need not be kept.
    a = leaky_relu(z, negative_slope)
    return a, a


def _leaky_relu_backward(negative_slope: float, a: jax.Array, da: jax.Array) -> tuple[jax.Array]:
    return (jnp.where(a > 0, da, negative_slope * da),)


leaky_relu.defvjp(_leaky_relu_forward, _leaky_relu_backward)

# By the names that .nam files use.
_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "Tanh": jnp.tanh,
    "Hardtanh": lambda z: jnp.clip(z, -1.0, 1.0),
    "ReLU": lambda z: jnp.maximum(z, 0.0),
    "Sigmoid": jax.nn.sigmoid,
    "SiLU": jax.nn.silu,
    "Hardswish": lambda z: z * jnp.clip(z + 3.0, 0.0, 6.0) / 6.0,
    "Softsign": lambda z: z / (1.0 + jnp.abs(z)),
}


@dataclasses.dataclass(frozen=True)
class Activation:
    """A pointwise nonlinearity by the name that .nam files give it.

    Attributes:
        name: one of ACTIVATION_NAMES.
        negative_slope: of LeakyReLU; no other activation reads it.
    """

    name: str
    negative_slope: float = 0.01

    def __call__(self, z: jax.Array) -> jax.Array:
        """[C, T] -> [C, T]."""
        if self.name != "LeakyReLU":
            return _ACTIVATIONS[self.name](z)
        if self.negative_slope > 0:
            return leaky_relu(z, self.negative_slope)
        return jnp.where(z > 0, z, self.negative_slope * z)


ACTIVATION_NAMES = (*_ACTIVATIONS, "LeakyReLU")
