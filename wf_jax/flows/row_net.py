"""The 2-D gated WaveNet of one flow: from the rows above to scale and shift of a row.

All rows at once; `RowNet.fold` gives the form that goes from row to row (see row_steps.py).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.flows.cached_conv import cached_conv
from wf_jax.flows.config import WaveFlowConfig
from wf_jax.flows.layers import WeightNorm, affine, rows_conv
from wf_jax.flows.row_steps import FoldedLayer, FoldedNet, masked


class Layer(nnx.Module):
    """a = conv(h) + condition(c); g = tanh(a[:C]) * sigmoid(a[C:]); residual, skip = out(g).

    The last layer of a net has no residual.
    """

    def __init__(self, config: WaveFlowConfig, index: int, *, rng: np.random.Generator):
        """Draws the weights of layer number `index`."""
        channels, taps = config.channels, config.kernel
        last = index == config.layers - 1
        self.dilation, self.precision = config.dilations[index], config.matmul_precision
        self.conv = WeightNorm(taps, taps, channels, 2 * channels, rng=rng)
        self.condition = WeightNorm(config.mel.bands, 2 * channels, rng=rng)
        self.out = WeightNorm(channels, channels if last else 2 * channels, rng=rng)

    def __call__(self, h: jax.Array, condition: jax.Array) -> tuple[jax.Array | None, jax.Array]:
        """H [..., R, W, C] -> residual (None at the last layer) and skip, of the same shape.

        The condition's and the biases' part of the sum is [..., R, W, 2C].
        """
        dtype, channels = h.dtype, h.shape[-1]
        a = condition + rows_conv(self.conv.weight.astype(dtype), h, self.dilation, self.precision)
        # Split, not sliced: the gradient of slices is four times as slow on CPU.
        filtered, gate = jnp.split(a, 2, axis=-1)
        g = jnp.tanh(filtered) * jax.nn.sigmoid(gate)
        weight, bias = self.out.weight.astype(dtype), self.out.bias[...].astype(dtype)
        out = affine(weight, bias, g, self.precision)
        if out.shape[-1] == channels:
            return None, out
        residual, skip = jnp.split(out, 2, axis=-1)
        return residual, skip


class End(nnx.Module):
    """The last product, C -> (log scale, shift): zero at the start, so that a flow copies."""

    def __init__(self, channels: int):
        """All zeros; no weight norm, which has no direction at zero."""
        self.kernel = nnx.Param(np.zeros((channels, 2), np.float32))
        self.bias = nnx.Param(np.zeros(2, np.float32))


class RowNet(nnx.Module):
    """Scale and shift of row r + 1 from rows 0..r of the audio and the condition of row r + 1.

    Causal in height; in width a column sees (K // 2) * sum(width dilations) columns each side.
    """

    def __init__(self, config: WaveFlowConfig, *, rng: np.random.Generator):
        """Draws the weights."""
        self.dtype, self.precision = config.compute_dtype, config.matmul_precision
        self.start = WeightNorm(1, config.channels, rng=rng)
        self.layers = nnx.List([Layer(config, i, rng=rng) for i in range(config.layers)])
        self.end = End(config.channels)

    def __call__(
        self, x: jax.Array, c: jax.Array, columns: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        """All rows at once.

        Args:
            x: [..., R, W], the rows above each row.
            c: [..., R, W, M], the rows' own condition.
            columns: [..., 1, W, 1], 1 where a column is real: the others then count as padding.

        Returns:
            Log scale and shift [..., R, W], of the type of x.
        """
        dtype, x, c = x.dtype, x.astype(self.dtype), c.astype(self.dtype)
        start = self.start.weight[0].astype(self.dtype)
        h = masked(x[..., None] * start + self.start.bias[...].astype(self.dtype), columns)
        weight, bias = self._conditions()
        conditions = affine(weight.astype(self.dtype), bias.astype(self.dtype), c, self.precision)
        skips = 0.0
        for layer, condition in zip(
            self.layers, jnp.split(conditions, len(self.layers), axis=-1), strict=True
        ):
            residual, skip = layer(h, condition)
            skips = skips + skip
            if residual is not None:
                h = masked(h + residual, columns)
        out = skips.astype(dtype) @ self.end.kernel[...] + self.end.bias[...]
        return out[..., 0], out[..., 1]

    def _conditions(self) -> tuple[jax.Array, jax.Array]:
        """The condition's product for all layers at once: [M, L * 2C] and its bias."""
        weights = [layer.condition.weight for layer in self.layers]
        biases = [layer.condition.bias[...] + layer.conv.bias[...] for layer in self.layers]
        return jnp.concatenate(weights, axis=-1), jnp.concatenate(biases, axis=-1)

    def fold(self) -> FoldedNet:
        """The same net with weight norm, skip path and half of the gate's sigmoid folded.

        With sigmoid(a) = (1 + tanh(a / 2)) / 2 one tanh serves filter and gate; the first half
        goes into the gate's weights, the second into what follows. The skip products and the
        end are linear, so each layer adds to (log scale, shift) directly.
        """
        channels = self.start.bias.shape[-1]
        halved = jnp.concatenate([jnp.ones(channels), jnp.full(channels, 0.5)])
        end, end_bias = self.end.kernel[...], self.end.bias[...]
        condition, condition_bias = self._conditions()
        layers = []
        for layer in self.layers:
            out, bias = 0.5 * layer.out.weight, layer.out.bias[...]
            end_bias = end_bias + bias[-channels:] @ end
            layers.append(
                FoldedLayer(
                    conv=cached_conv(
                        (layer.conv.weight * halved).astype(self.dtype),
                        layer.dilation,
                        exact=self.precision == "highest" and self.dtype != "bfloat16",
                    ),
                    residual=out[:, :-channels].astype(self.dtype),
                    residual_bias=bias[:-channels].astype(self.dtype),
                    end=(out[:, -channels:] @ end).astype(self.dtype),
                )
            )
        return FoldedNet(
            start=self.start.weight[0].astype(self.dtype),
            start_bias=self.start.bias[...].astype(self.dtype),
            layers=tuple(layers),
            condition=(condition * jnp.tile(halved, len(layers))).astype(self.dtype),
            condition_bias=(condition_bias * jnp.tile(halved, len(layers))).astype(self.dtype),
            end_bias=end_bias,
        )
