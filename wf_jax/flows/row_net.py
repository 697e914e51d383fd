"""The 2-D gated WaveNet of one flow: from the rows above to scale and shift of a row.

Two forms of the same net: `RowNet.__call__` takes all rows at once (training), `FoldedNet.step`
one row after another (synthesis, and a density pass whose memory does not grow with the height).
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wf_jax.flows.config import WaveFlowConfig
from wf_jax.flows.layers import WeightNorm, affine, rows_conv
from wf_jax.flows.toom_cook import ColumnTransform, column_transform

Caches = tuple[jax.Array, ...]  # one of each layer: see FoldedLayer.step


class Layer(nnx.Module):
    """a = conv(h) + condition(c); g = tanh(a[:C]) * sigmoid(a[C:]); residual, skip = out(g).

    The last layer of a net has no residual.
    """

    def __init__(self, config: WaveFlowConfig, index: int, *, rng: np.random.Generator):
        """Draws the weights of layer number `index`."""
        channels, taps = config.channels, config.kernel
        last = index == config.layers - 1
        self.dilation = config.dilations[index]
        self.conv = WeightNorm(taps, taps, channels, 2 * channels, rng=rng)
        self.condition = WeightNorm(config.mel.bands, 2 * channels, rng=rng)
        self.out = WeightNorm(channels, channels if last else 2 * channels, rng=rng)

    def __call__(self, h: jax.Array, condition: jax.Array) -> tuple[jax.Array | None, jax.Array]:
        """H [..., R, W, C] -> residual (None at the last layer) and skip, of the same shape.

        The condition's and the biases' part of the sum is [..., R, W, 2C].
        """
        dtype, channels = h.dtype, h.shape[-1]
        a = rows_conv(self.conv.weight.astype(dtype), h, self.dilation) + condition
        # Split, not sliced: the gradient of slices is four times as slow on CPU.
        filtered, gate = jnp.split(a, 2, axis=-1)
        g = jnp.tanh(filtered) * jax.nn.sigmoid(gate)
        out = affine(self.out.weight.astype(dtype), self.out.bias[...].astype(dtype), g)
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
        self.dtype = config.compute_dtype
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
        h = _masked(x[..., None] * start + self.start.bias[...].astype(self.dtype), columns)
        weight, bias = self._conditions()
        conditions = affine(weight.astype(self.dtype), bias.astype(self.dtype), c)
        skips = 0.0
        for layer, condition in zip(
            self.layers, jnp.split(conditions, len(self.layers), axis=-1), strict=True
        ):
            residual, skip = layer(h, condition)
            skips = skips + skip
            if residual is not None:
                h = _masked(h + residual, columns)
        out = skips.astype(dtype) @ self.end.kernel[...] + self.end.bias[...]
        return out[..., 0], out[..., 1]

    def _exact(self) -> bool:
        return jnp.dtype(self.dtype).itemsize >= 4

    def _conditions(self) -> tuple[jax.Array, jax.Array]:
        """The condition's product for all layers at once: [M, L * 2C] and its bias."""
        weights = [layer.condition.weight for layer in self.layers]
        biases = [layer.condition.bias[...] + layer.conv.bias[...] for layer in self.layers]
        return jnp.concatenate(weights, axis=-1), jnp.concatenate(biases, axis=-1)

    def fold(self) -> "FoldedNet":
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
            transform = column_transform(layer.conv.kernel.shape[-3], exact=self._exact())
            layers.append(
                FoldedLayer(
                    conv=transform.of_kernel(layer.conv.weight * halved).astype(self.dtype),
                    residual=out[:, :-channels].astype(self.dtype),
                    residual_bias=bias[:-channels].astype(self.dtype),
                    end=(out[:, -channels:] @ end).astype(self.dtype),
                    taps=layer.conv.kernel.shape[-4],
                    dilation=layer.dilation,
                    transform=transform,
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


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["conv", "residual", "residual_bias", "end"],
    meta_fields=["taps", "dilation", "transform"],
)
@dataclasses.dataclass(frozen=True)
class FoldedLayer:
    """A layer made ready for rows.

    Attributes:
        conv: [P, K * C, 2C], the kernel as `transform` needs it.
        residual: [C, C], or [C, 0] in the last layer.
        residual_bias: [C] or [0].
        end: [C, 2].
        taps: K, in height.
        dilation: in height and width.
        transform: over the columns.
    """

    conv: jax.Array
    residual: jax.Array
    residual_bias: jax.Array
    end: jax.Array
    taps: int
    dilation: tuple[int, int]
    transform: ColumnTransform

    def empty_cache(self, zero: jax.Array) -> jax.Array:
        """All-zero rows above the first, from `zero` [B, W]."""
        channels = self.conv.shape[1] // self.taps
        size = self.transform.rows(*zero.shape, self.dilation[1])
        shape = ((self.taps - 1) * self.dilation[0], self.conv.shape[0], size, channels)
        # From an input, so that the carry varies over devices as the rows do.
        return jnp.broadcast_to(zero[0, 0].astype(self.conv.dtype), shape)

    def step(
        self, cache: jax.Array, h: jax.Array, condition: jax.Array, row: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """One row.

        Args:
            cache: [(K - 1) d, P, N, C], the transformed rows above, row r at r mod its size.
            h: [B, W, C], row number `row` of the layer's input.
            condition: [B, W, 2C], the condition's and the biases' part of the sum.
            row: its number, counted from 0.

        Returns:
            The cache with the row in it, the residual [B, W, C or 0], and what the layer adds to
            (log scale, shift) [B, W, 2].
        """
        height_dilation, width_dilation = self.dilation
        # The barrier keeps XLA from computing the sum of all residuals anew in every use.
        columns = lax.optimization_barrier(self.transform.of_columns(h, width_dilation))
        above = [cache[(row + k * height_dilation) % cache.shape[0]] for k in range(self.taps - 1)]
        products = jnp.einsum(
            "pnc,pco->pno", jnp.concatenate([*above, columns], axis=-1), self.conv
        )
        a = condition + self.transform.to_columns(products, width_dilation, *h.shape[:2])
        filtered, gate = jnp.split(jnp.tanh(a), 2, axis=-1)
        g = filtered * (1 + gate)
        if self.taps > 1:
            cache = lax.dynamic_update_index_in_dim(cache, columns, row % cache.shape[0], 0)
        return cache, g @ self.residual + self.residual_bias, g @ self.end


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["start", "start_bias", "layers", "condition", "condition_bias", "end_bias"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class FoldedNet:
    """A net made ready for rows: see `RowNet.fold`."""

    start: jax.Array
    start_bias: jax.Array
    layers: tuple[FoldedLayer, ...]
    condition: jax.Array
    condition_bias: jax.Array
    end_bias: jax.Array

    def scan(
        self,
        rows: jax.Array,
        c: jax.Array,
        mask: jax.Array | None,
        columns: jax.Array | None,
        update: Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, Any]],
    ) -> Any:
        """Goes over rows 1..h-1, each with the scale and shift that the rows above give it.

        Args:
            rows: [B, h, W].
            c: [B, h, W, M].
            mask: [B, h, W], or None: where it is 0, scale and shift do nothing.
            columns: [B, 1, W, 1], or None: see `RowNet.__call__`.
            update: (log scale, shift, row), [B, W] each -> what the net is to see of the row
                [B, W], and what to collect.

        Returns:
            What `update` collects, stacked over the rows [B, h - 1, W].
        """
        columns = None if columns is None else columns[:, 0]

        def step(carry: Any, inputs: Any) -> Any:
            caches, previous = carry
            number, row, condition, mask_row = inputs
            caches, log_scale, offset = self.step(caches, previous, condition, columns, number)
            if mask_row is not None:
                log_scale, offset = log_scale * mask_row, offset * mask_row
            seen, collected = update(log_scale, offset, row)
            return (caches, seen), collected

        inputs = (rows[:, 1:], c[:, 1:], None if mask is None else mask[:, 1:])
        inputs = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), inputs)
        numbers = jnp.arange(rows.shape[1] - 1)
        caches = tuple(layer.empty_cache(jnp.zeros_like(rows[:, 0])) for layer in self.layers)
        _, collected = lax.scan(step, (caches, rows[:, 0]), (numbers, *inputs))
        return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), collected)

    def step(
        self,
        caches: Caches,
        x: jax.Array,
        c: jax.Array,
        columns: jax.Array | None,
        row: jax.Array,
    ) -> tuple[Caches, jax.Array, jax.Array]:
        """Row x [B, W] and the next row's condition [B, W, M] -> caches, log scale, shift."""
        dtype = self.start.dtype
        conditions = c.astype(dtype) @ self.condition + self.condition_bias
        conditions = jnp.split(conditions, len(self.layers), axis=-1)
        h = _masked(x.astype(dtype)[..., None] * self.start + self.start_bias, columns)
        out, new = self.end_bias, []
        for layer, cache, condition in zip(self.layers, caches, conditions, strict=True):
            cache, residual, added = layer.step(cache, h, condition, row)
            new.append(cache)
            out = out + added.astype(x.dtype)
            if residual.shape[-1]:
                h = _masked(h + residual, columns)
        return tuple(new), out[..., 0], out[..., 1]


def _masked(h: jax.Array, columns: jax.Array | None) -> jax.Array:
    return h if columns is None else h * columns.astype(h.dtype)
