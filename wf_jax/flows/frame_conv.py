"""The convolution of nets over frames."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx


class FrameConv(nnx.Module):
    """A convolution over frames, centered, with the first and the last frame repeated around."""

    def __init__(
        self, taps: int, inputs: int, outputs: int, *, rng: np.random.Generator | None = None
    ):
        """Draws uniform weights in +-1 / sqrt(fan-in); without `rng` all are zero."""
        shape, bound = (taps * inputs, outputs), (taps * inputs) ** -0.5
        self.taps = taps
        drawn = np.zeros(shape) if rng is None else rng.uniform(-bound, bound, shape)
        self.kernel = nnx.Param(drawn.astype(np.float32))
        self.bias = nnx.Param(np.zeros(outputs, np.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, F, I] to [B, F, O]."""
        half = self.taps // 2
        padded = jnp.pad(x, ((0, 0), (half, half), (0, 0)), mode="edge")
        seen = [padded[:, i : i + x.shape[1]] for i in range(self.taps)]
        return jnp.concatenate(seen, axis=-1) @ self.kernel[...] + self.bias[...]
