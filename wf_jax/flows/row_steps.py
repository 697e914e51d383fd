"""A net row by row: synthesis, and a density pass of constant memory in the height.

Weights are folded (see `gated_net.GatedNet.fold`), and every layer keeps what it needs of the rows
above in a cache, so that a row costs the same wherever it stands.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from wf_jax.flows.cached_conv import PairConv, RingConv


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["conv", "residual", "residual_bias", "end"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class FoldedLayer:
    """A layer: its convolution, residual [C, C] and [C] (or no outputs), and end [C, O]."""

    conv: RingConv | PairConv
    residual: jax.Array
    residual_bias: jax.Array
    end: jax.Array

    def step(
        self, cache: Any, h: jax.Array, condition: jax.Array, row: jax.Array, *, second: bool
    ) -> tuple[Any, jax.Array, jax.Array]:
        """Computes one row.

        Args:
            cache: the convolution's.
            h: [B, W, C], row number `row` of the layer's input.
            condition: [B, W, 2C], the condition's and the biases' part of the sum.
            row: counted from 0.
            second: whether it is the second of a pair: see cached_conv.PairConv.

        Returns:
            The new cache, the residual [B, W, C or 0], and what the layer adds to the outputs
            [B, W, O].
        """
        cache, a = self.conv.step(cache, h, row, second=second)
        filtered, gate = jnp.split(jnp.tanh(a + condition), 2, axis=-1)
        g = filtered * (1 + gate)
        return cache, g @ self.residual + self.residual_bias, g @ self.end


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["start", "start_bias", "layers", "condition", "condition_bias", "end_bias"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class FoldedNet:
    """The whole net: start [C], layers, condition [D, L * 2C], end [O], each with its bias."""

    start: jax.Array
    start_bias: jax.Array
    layers: tuple[FoldedLayer, ...]
    condition: jax.Array
    condition_bias: jax.Array
    end_bias: jax.Array

    def scan(
        self,
        first: jax.Array,
        rows: Any,
        c: jax.Array,
        columns: jax.Array | None,
        update: Callable[[jax.Array, Any], tuple[jax.Array, Any]],
    ) -> Any:
        """Scans the rows after the first, each with the outputs computed from the rows above.

        Args:
            first: [B, W], the first row.
            rows: arrays [B, R, ...], anything that `update` needs of each of the R others.
            c: [B, R, W, D], their conditions.
            columns: [B, 1, W, 1], or None: see `gated_net.GatedNet.__call__`.
            update: (outputs [B, W, O], the row's part of `rows`) -> (the row [B, W] as the net sees
                it, the values to collect).

        Returns:
            The values that `update` collects, stacked over the R rows [B, R, ...].
        """
        columns = None if columns is None else columns[:, 0]

        def one(carry: Any, inputs: Any, *, second: bool) -> Any:
            caches, previous = carry
            number, condition, row = inputs
            caches, outputs = self.step(caches, previous, condition, columns, number, second=second)
            seen, collected = update(outputs, row)
            return (caches, seen), collected

        def pair(carry: Any, inputs: Any) -> Any:
            carry, above = one(carry, _at(inputs, 0), second=False)
            carry, below = one(carry, _at(inputs, 1), second=True)
            return carry, jax.tree.map(lambda *both: jnp.stack(both), above, below)

        count = c.shape[1]
        inputs = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (c, rows))
        if count % 2 == 0:  # the last pair is filled up with any row
            inputs = jax.tree.map(lambda x: jnp.concatenate([x, x[-1:]]), inputs)
        inputs = (jnp.arange(count + (count % 2 == 0)), *inputs)
        # From an input, so that it varies over devices as they do.
        zero = jnp.zeros_like(first)
        caches = tuple(layer.conv.empty_cache(zero) for layer in self.layers)
        carry, begun = one((caches, first), _at(inputs, 0), second=True)
        pairs = jax.tree.map(lambda x: x[1:].reshape(-1, 2, *x.shape[1:]), inputs)
        _, others = lax.scan(pair, carry, pairs)

        def joined(begun: jax.Array, others: jax.Array) -> jax.Array:
            others = others.reshape(-1, *begun.shape)
            return jnp.moveaxis(jnp.concatenate([begun[None], others])[:count], 0, 1)

        return jax.tree.map(joined, begun, others)

    def step(
        self,
        caches: tuple[Any, ...],
        x: jax.Array,
        c: jax.Array,
        columns: jax.Array | None,
        row: jax.Array,
        *,
        second: bool,
    ) -> tuple[tuple[Any, ...], jax.Array]:
        """Row x [B, W] and the next row's condition [B, W, D] -> caches, outputs [B, W, O]."""
        dtype = self.start.dtype
        conditions = c.astype(dtype) @ self.condition + self.condition_bias
        conditions = jnp.split(conditions, len(self.layers), axis=-1)
        h = masked(x.astype(dtype)[..., None] * self.start + self.start_bias, columns)
        out, new = self.end_bias, []
        for layer, cache, condition in zip(self.layers, caches, conditions, strict=True):
            cache, residual, added = layer.step(cache, h, condition, row, second=second)
            new.append(cache)
            out = out + added.astype(x.dtype)
            if residual.shape[-1]:
                h = lax.optimization_barrier(masked(h + residual, columns))
        return tuple(new), out


def masked(h: jax.Array, columns: jax.Array | None) -> jax.Array:
    """Zeroes h where `columns` is 0: hidden units of columns without samples are padding."""
    return h if columns is None else h * columns.astype(h.dtype)


def _at(inputs: Any, index: int) -> Any:
    return jax.tree.map(lambda x: x[index], inputs)
