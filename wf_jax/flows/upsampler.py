"""Upsamples mel frames to a condition for every sample: two small transposed convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.flows.layers import shift

NEGATIVE_SLOPE = 0.4
BAND_TAPS = 3


class UpsampleLayer(nnx.Module):
    """A transposed convolution over (mel, time), stride `factor` in time, then a leaky ReLU.

    One weight-normed kernel [3, 2 * factor] serves all bands: every input [m, t] adds
    input * kernel[a, c] to output [m - 1 + a, t * factor - factor // 2 + c]. F frames give
    exactly F * factor, for odd factors too.
    """

    def __init__(self, factor: int, *, rng: np.random.Generator):
        """Draws the weights, uniform in +-1 / sqrt(kernel size)."""
        bound = (BAND_TAPS * 2 * factor) ** -0.5
        self.factor = factor
        kernel = rng.uniform(-bound, bound, (BAND_TAPS, 2 * factor)).astype(np.float32)
        self.kernel = nnx.Param(kernel)
        self.gain = nnx.Param(np.sqrt(np.sum(np.square(kernel))))
        self.bias = nnx.Param(np.float32(rng.uniform(-bound, bound)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Upsamples [B, F, M] to [B, F * factor, M].

        Each output sees two frames and three bands, so that all outputs of a frame are one
        product of nine gathered inputs with a [9, factor] matrix.
        """
        kernel, factor = self.kernel[...], self.factor
        weight = kernel * (self.gain[...] / jnp.sqrt(jnp.sum(jnp.square(kernel))))
        padded = jnp.pad(weight, ((0, 0), (factor, factor)))  # tap c stands at c + factor
        matrix, inputs = [], []
        for frame in (-1, 0, 1):
            first = factor // 2 + (1 - frame) * factor
            for band in range(BAND_TAPS):
                matrix.append(padded[band, first : first + factor])
                inputs.append(shift(shift(x, frame, 1), 1 - band, 2))
        y = jnp.einsum("bfmk,ks->bfsm", jnp.stack(inputs, axis=-1), jnp.stack(matrix))
        y = y.reshape(x.shape[0], -1, x.shape[2]) + self.bias[...]
        return jnp.where(y > 0, y, NEGATIVE_SLOPE * y)


class Upsampler(nnx.Module):
    """Mel [B, M, F] -> condition [B, F * hop, M], the product of the factors being the hop."""

    def __init__(self, factors: tuple[int, ...], *, rng: np.random.Generator):
        """A layer per factor."""
        self.layers = nnx.List([UpsampleLayer(factor, rng=rng) for factor in factors])

    def __call__(self, mel: jax.Array, frames: jax.Array | None = None) -> jax.Array:
        """Upsamples mel [B, M, F] to [B, F * hop, M]; of clip b only the first frames[b] count."""
        x = mel.swapaxes(1, 2)
        for layer in self.layers:
            if frames is not None:
                x = jnp.where(jnp.arange(x.shape[1])[:, None] < frames[:, None, None], x, 0)
                frames = frames * layer.factor
            x = layer(x)
        return x
