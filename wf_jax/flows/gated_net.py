"""The gated WaveNet that every flow is built from, over rows and columns.

One net serves all families: WaveFlow's looks over rows above and columns around (kernel [3, 3]),
WaveGlow's over columns alone (one row, kernel [1, 3]), WaveNet's over rows alone, which are its
samples (one column, kernel [3, 1]). All rows at once here; `GatedNet.fold` gives the form that
goes from row to row (see row_steps.py).
"""

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.flows.cached_conv import cached_conv
from wf_jax.flows.layers import WeightNorm, affine, rows_conv
from wf_jax.flows.row_steps import FoldedLayer, FoldedNet, masked
from wf_jax.platforms import choices

# Layers whose conditions are one product: one each is 1.3 to 1.8 times as slow, those of a deep net
# together are larger than all else.
TOGETHER, LARGE = 8, 2**30  # layers, bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetShape:
    """The sizes of a net.

    Attributes:
        inputs: I, channels of a sample.
        conditions: D, channels of its condition.
        channels: C, residual channels.
        outputs: O.
        taps: of the dilated layers, in height (causal) and in width (centered).
        dilations: of every layer, in height and in width.
        dtype: of the products.
        precision: of float32 products.
    """

    inputs: int = 1
    conditions: int
    channels: int
    outputs: int
    taps: tuple[int, int]
    dilations: tuple[tuple[int, int], ...]
    dtype: str
    precision: str


class Layer(nnx.Module):
    """a = conv(h) + condition(c); g = tanh(a[:C]) * sigmoid(a[C:]); residual, skip = out(g).

    The last layer of a net has no residual.
    """

    def __init__(self, shape: NetShape, index: int, *, rng: np.random.Generator):
        """Draws the weights of layer number `index`."""
        channels, last = shape.channels, index == len(shape.dilations) - 1
        self.dilation, self.precision = shape.dilations[index], shape.precision
        self.conv = WeightNorm(*shape.taps, channels, 2 * channels, rng=rng)
        self.condition = WeightNorm(shape.conditions, 2 * channels, rng=rng)
        self.out = WeightNorm(channels, channels if last else 2 * channels, rng=rng)

    def __call__(self, h: jax.Array, condition: jax.Array) -> tuple[jax.Array | None, jax.Array]:
        """Maps h [..., R, W, C] to residual (None at the last layer) and skip, of the same shape.

        The condition's and the biases' part of the sum is [..., R, W, 2C].
        """
        kernel = self.conv.weight.astype(h.dtype)
        return self.gate(condition + rows_conv(kernel, h, self.dilation, self.precision))

    def gate(self, a: jax.Array) -> tuple[jax.Array | None, jax.Array]:
        """Applies the gate and the output layer to the sum a [..., 2C]."""
        dtype, channels = a.dtype, a.shape[-1] // 2
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
    """The last product, C -> O: zero at the start, so that a flow copies.

    Without weight norm, which has no direction at zero.
    """

    def __init__(self, channels: int, outputs: int):
        """Starts with all zeros."""
        self.kernel = nnx.Param(np.zeros((channels, outputs), np.float32))
        self.bias = nnx.Param(np.zeros(outputs, np.float32))


class GatedNet(nnx.Module):
    """A net whose output at each place sees the input rows up to its own and its own condition.

    Causal in height; in width a column sees (K' // 2) * sum(width dilations) columns each side.
    """

    def __init__(self, shape: NetShape, *, rng: np.random.Generator):
        """Draws the weights."""
        self.dtype, self.precision = shape.dtype, shape.precision
        self.start = WeightNorm(shape.inputs, shape.channels, rng=rng)
        count = len(shape.dilations)
        self.layers = nnx.List([Layer(shape, i, rng=rng) for i in range(count)])
        self.end = End(shape.channels, shape.outputs)

    def __call__(self, x: jax.Array, c: jax.Array, columns: jax.Array | None = None) -> jax.Array:
        """Computes all rows at once.

        Args:
            x: [..., R, W, I].
            c: [..., R, W, D].
            columns: [..., 1, W, 1], 1 where a column is real: the others then count as padding.

        Returns:
            [..., R, W, O], of the type of x.
        """
        dtype, x = x.dtype, x.astype(self.dtype)
        h, skips = masked(self._start(x), columns), 0.0
        for layer, condition in self._conditioned(c):
            residual, skip = layer(h, condition)
            skips = skips + skip.astype(dtype)
            if residual is not None:
                h = masked(h + residual, columns)
        return self._finish(skips)

    def before_the_first(self, c: jax.Array) -> jax.Array:
        """Computes the outputs [..., O] of a row with condition c [..., D] and no row above it.

        All hidden units are then the zeros that stand above the first row; those of the row itself
        too, since its input is the row above.
        """
        parts = (layer.gate(condition)[1] for layer, condition in self._conditioned(c))
        return self._finish(sum(skip.astype(c.dtype) for skip in parts))

    @property
    def _transformed(self) -> bool:
        """Returns True where transformed rows pay; bfloat16 and TF32 would magnify rounding."""
        exact = self.precision == "highest" and self.dtype != "bfloat16"
        return exact and choices().transformed_rows

    def fold(self) -> FoldedNet:
        """Returns the same net with weight norm, skip path and half of the gate's sigmoid folded.

        With sigmoid(a) = (1 + tanh(a / 2)) / 2 one tanh serves filter and gate; the first half
        goes into the gate's weights, the second into what follows. The skip products and the
        end are linear, so each layer adds to the outputs directly.
        """
        channels = self.start.bias.shape[-1]
        halved = jnp.concatenate([jnp.ones(channels), jnp.full(channels, 0.5)])
        end, end_bias = self.end.kernel[...], self.end.bias[...]
        condition, condition_bias = _conditions(self.layers)
        layers = []
        for layer in self.layers:
            out, bias = 0.5 * layer.out.weight, layer.out.bias[...]
            end_bias = end_bias + bias[-channels:] @ end
            layers.append(
                FoldedLayer(
                    conv=cached_conv(
                        (layer.conv.weight * halved).astype(self.dtype),
                        layer.dilation,
                        transformed=self._transformed,
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

    def _start(self, x: jax.Array) -> jax.Array:
        weight, bias = self.start.weight.astype(x.dtype), self.start.bias[...].astype(x.dtype)
        if len(weight) == 1:  # a product of one term is no matrix product
            return x * weight[0] + bias
        return affine(weight, bias, x, self.precision)

    def _finish(self, skips: jax.Array) -> jax.Array:
        return skips @ self.end.kernel[...] + self.end.bias[...]

    def _conditioned(self, c: jax.Array) -> Iterator[tuple[Layer, jax.Array]]:
        """Yields every layer with the condition's and the biases' part of its sum [..., 2C]."""
        c, outputs = c.astype(self.dtype), 2 * self.start.bias.shape[-1]
        bytes_per_layer = 4 * c.size // c.shape[-1] * outputs
        together = TOGETHER
        if isinstance(bytes_per_layer, int):  # else a symbol: exported for every length
            together = min(max(LARGE // bytes_per_layer, 1), TOGETHER)
        for first in range(0, len(self.layers), together):
            layers = self.layers[first : first + together]
            weight, bias = _conditions(layers)
            parts = affine(weight.astype(self.dtype), bias.astype(self.dtype), c, self.precision)
            yield from zip(layers, jnp.split(parts, len(layers), axis=-1), strict=True)


def _conditions(layers: Sequence[Layer]) -> tuple[jax.Array, jax.Array]:
    """Joins the condition layers of several layers into one product: [D, L * 2C] and its bias."""
    weights = [layer.condition.weight for layer in layers]
    biases = [layer.condition.bias[...] + layer.conv.bias[...] for layer in layers]
    return jnp.concatenate(weights, axis=-1), jnp.concatenate(biases, axis=-1)
