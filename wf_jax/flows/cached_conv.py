"""The dilated convolution of a net one row at a time, with a cache of the rows above.

Columns go through `toom_cook.ColumnTransform`, once per row; the transformed rows are kept. Rows
come in the order second, first, second, first, second, ...: see `PairConv`.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from wf_jax.flows.toom_cook import ColumnTransform, column_transform


def cached_conv(
    kernel: jax.Array, dilation: tuple[int, int], *, transformed: bool
) -> "RingConv | PairConv":
    """Returns the faster of the two for a kernel [K, K', C, O] and its (height, width) dilation.

    Without `transformed` the plain sums. The transforms subtract neighbors, which would magnify
    the rounding of products that are less than float32 (bfloat16, TF32).
    """
    transform = column_transform(kernel.shape[1], transformed=transformed)
    weight = transform.of_kernel(kernel)  # [P, K, C, O]
    if kernel.shape[0] != 3 or dilation[0] != 1 or not transformed:
        flat = weight.reshape(weight.shape[0], -1, weight.shape[-1])
        return RingConv(flat, kernel.shape[0], dilation, transform)
    oldest, middle, newest = weight[:, 0], weight[:, 1], weight[:, 2]
    total, difference = (oldest + middle + newest) / 2, (oldest - middle + newest) / 2
    first = jnp.concatenate([oldest, total, difference])
    return PairConv(first, newest, dilation[1], transform)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weight"],
    meta_fields=["taps", "dilation", "transform"],
)
@dataclasses.dataclass(frozen=True)
class RingConv:
    """Any number of height taps and any dilation: the rows above stand in a ring.

    Weight [P, K * C, O]; cache [(K - 1) d, P, N, C], row r at position r mod its size.
    """

    weight: jax.Array
    taps: int
    dilation: tuple[int, int]
    transform: ColumnTransform

    def empty_cache(self, zero: jax.Array) -> jax.Array:
        """All-zero rows above the first, from a zero [B, W]."""
        channels = self.weight.shape[1] // self.taps
        size = self.transform.rows(*zero.shape, self.dilation[1])
        shape = ((self.taps - 1) * self.dilation[0], self.weight.shape[0], size, channels)
        return jnp.broadcast_to(zero[0, 0].astype(self.weight.dtype), shape)

    def step(
        self, cache: jax.Array, h: jax.Array, row: jax.Array, *, second: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Takes row number `row`, h [B, W, C]: the new cache, and the sum over all taps [B, W, O].

        `second` is not used here: every row is treated alike.
        """
        del second
        columns = _columns(self.transform, h, self.dilation[1])
        size, step = cache.shape[0], self.dilation[0]
        above = [cache[(row + k * step) % size] for k in range(self.taps - 1)]
        # All is read before the row is written: else XLA copies the ring at every row, which takes
        # a WaveNet of 30 layers 2.7 times as long.
        above, cache = lax.optimization_barrier((above, cache))
        products = _products(jnp.concatenate([*above, columns], axis=-1), self.weight)
        if size:
            cache = lax.dynamic_update_index_in_dim(cache, columns, row % size, 0)
        return cache, self.transform.to_columns(products, self.dilation[1], *h.shape[:2])


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["first_weight", "second_weight"],
    meta_fields=["dilation", "transform"],
)
@dataclasses.dataclass(frozen=True)
class PairConv:
    """Three height taps, dilation 1: four products for two rows instead of six.

    F(2, 3) over the rows x0, x1 above, x2 and then x3:

        m0 = (x0 - x2) g0, m1 = (x1 + x2) (g0 + g1 + g2) / 2, m2 = (x2 - x1) (g0 - g1 + g2) / 2
        y2 = m0 + m1 + m2,  y3 = (m1 - m2) - (x1 - x3) g2

    y2 needs no row below, so that the scheme is causal: three products at the first row of a pair
    and one at the second. Rows start with a second one, whose pair began above the picture.
    First weight [3 P, C, O], second weight [P, C, O]. Cache: the last two rows [P, N, C] and, after
    a first row, y3 as far as it goes [B, W, O].
    """

    first_weight: jax.Array
    second_weight: jax.Array
    dilation: int
    transform: ColumnTransform

    def empty_cache(self, zero: jax.Array) -> tuple[jax.Array, ...]:
        """All-zero rows above the first, from a zero [B, W]."""
        products, channels, outputs = self.second_weight.shape
        size = self.transform.rows(*zero.shape, self.dilation)
        zero_row = jnp.broadcast_to(
            zero[0, 0].astype(self.second_weight.dtype), (products, size, channels)
        )
        begun = jnp.broadcast_to(zero_row[0, 0, 0], (*zero.shape, outputs))
        return zero_row, zero_row, begun

    def step(
        self, cache: tuple[jax.Array, ...], h: jax.Array, row: jax.Array, *, second: bool
    ) -> tuple[tuple[jax.Array, ...], jax.Array]:
        """Like `RingConv.step`, h being the second row of a pair or the first."""
        del row
        columns = _columns(self.transform, h, self.dilation)
        back = partial(
            self.transform.to_columns, dilation=self.dilation, batch=h.shape[0], width=h.shape[1]
        )
        if second:
            x1, x2, begun = cache
            return (x2, columns), begun - back(_products(x1 - columns, self.second_weight))
        x0, x1 = cache
        sums = jnp.concatenate([x0 - columns, x1 + columns, columns - x1])
        m0, m1, m2 = jnp.split(_products(sums, self.first_weight), 3)
        return (x1, columns, back(m1 - m2)), back(m0 + m1 + m2)


def _columns(transform: ColumnTransform, h: jax.Array, dilation: int) -> Any:
    # The barriers keep XLA from computing the sum of all residuals anew in each of its uses.
    return lax.optimization_barrier(transform.of_columns(h, dilation))


def _products(rows: jax.Array, weight: jax.Array) -> jax.Array:
    """Multiplies [P, N, C] by [P, C, O]."""
    return jnp.einsum("pnc,pco->pno", lax.optimization_barrier(rows), weight)
