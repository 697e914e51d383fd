"""The pointwise nonlinearities of NAM models, by the names that .nam files give them."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def leaky_relu(z: jax.Array, negative_slope: float) -> jax.Array:
    """Returns z where z > 0, else negative_slope * z; the slope must be above 0."""
    return jnp.where(z > 0, z, negative_slope * z)


def _leaky_relu_forward(z: jax.Array, negative_slope: float) -> tuple[jax.Array, jax.Array]:
    # The output carries the sign of the input, so the input need not be kept.
    a = leaky_relu(z, negative_slope)
    return a, a


def _leaky_relu_backward(negative_slope: float, a: jax.Array, da: jax.Array) -> tuple[jax.Array]:
    return (jnp.where(a > 0, da, negative_slope * da),)


leaky_relu.defvjp(_leaky_relu_forward, _leaky_relu_backward)


def fast_tanh(z: jax.Array) -> jax.Array:
    """The rational approximation of tanh that NAM files call Fasttanh."""
    magnitude, square = jnp.abs(z), jnp.square(z)
    top = 2.45550750702956 * (1.0 + magnitude)
    top += (0.893229853513558 + 0.821226666969744 * magnitude) * square
    bend = jnp.abs(z + 0.814642734961073 * z * magnitude)
    return z * top / (2.44506634652299 + (2.44506634652299 + square) * bend)


_FIXED: dict[str, Callable[[jax.Array], jax.Array]] = {
    "Tanh": jnp.tanh,
    "Hardtanh": lambda z: jnp.clip(z, -1.0, 1.0),  # the core reads no limits
    "Fasttanh": fast_tanh,
    "ReLU": lambda z: jnp.maximum(z, 0.0),
    "Sigmoid": jax.nn.sigmoid,
    "SiLU": jax.nn.silu,
    "Hardswish": lambda z: z * jnp.clip(z + 3.0, 0.0, 6.0) / 6.0,
    "Softsign": lambda z: z / (1.0 + jnp.abs(z)),
}

# The parameters that each of the others takes, with the core's defaults.
PARAMETERS: dict[str, dict[str, float]] = {
    "LeakyReLU": {"negative_slope": 0.01},
    "PReLU": {"negative_slope": 0.01},
    "LeakyHardtanh": {"min_val": -1.0, "max_val": 1.0, "min_slope": 0.01, "max_slope": 0.01},
}
PARAMETERS["LeakyHardTanh"] = PARAMETERS["LeakyHardtanh"]  # both spellings occur

ACTIVATION_NAMES = (*_FIXED, *PARAMETERS)


@dataclasses.dataclass(frozen=True)
class Activation:
    """A pointwise nonlinearity; its parameters are constants of the model, not weights.

    Attributes:
        name: one of ACTIVATION_NAMES.
        negative_slope: of LeakyReLU, and of PReLU with one slope for all channels.
        negative_slopes: of PReLU with a slope for each channel; else ().
        min_val: of LeakyHardtanh: below it the slope is min_slope.
        max_val: above it the slope is max_slope.
        min_slope: see min_val.
        max_slope: see max_val.
    """

    name: str
    negative_slope: float = 0.01
    negative_slopes: tuple[float, ...] = ()
    min_val: float = -1.0
    max_val: float = 1.0
    min_slope: float = 0.01
    max_slope: float = 0.01

    def __call__(self, z: jax.Array) -> jax.Array:
        """Applies the nonlinearity to [C, T]."""
        if self.name in _FIXED:
            return _FIXED[self.name](z)
        if self.negative_slopes:
            slopes = jnp.asarray(self.negative_slopes, z.dtype)[:, None]
            return jnp.where(z > 0, z, slopes * z)
        if self.name in ("LeakyReLU", "PReLU"):
            if self.negative_slope > 0:
                return leaky_relu(z, self.negative_slope)
            return jnp.where(z > 0, z, self.negative_slope * z)
        low = (z - self.min_val) * self.min_slope + self.min_val
        high = (z - self.max_val) * self.max_slope + self.max_val
        return jnp.where(z < self.min_val, low, jnp.where(z > self.max_val, high, z))

    def to_json(self) -> dict[str, object]:
        """Returns the activation as .nam files write it."""
        if self.negative_slopes:
            return {"type": self.name, "negative_slopes": list(self.negative_slopes)}
        parameters = PARAMETERS.get(self.name, {})
        return {"type": self.name, **{key: getattr(self, key) for key in parameters}}
