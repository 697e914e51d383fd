"""Reshapes arrays to matrices, and stacks those of one shape."""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from wf_jax.modules import Params


@dataclasses.dataclass(frozen=True)
class Axes:
    """The axes by which an array is seen as matrices; every axis appears once.

    Attributes:
        copies: of independent matrices (captures, stacked flows).
        rows: of each matrix.
        columns: of each matrix; () for a vector, whose moments stay diagonal.
    """

    copies: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def shape(self, array: jax.Array) -> tuple[tuple[int, ...], int, int]:
        """Returns the copies, m and n."""
        sizes = [[array.shape[axis] for axis in axes] for axes in (self.copies, self.rows)]
        columns = math.prod(array.shape[axis] for axis in self.columns)
        return tuple(sizes[0]), math.prod(sizes[1]), columns

    def to_matrices(self, array: jax.Array) -> jax.Array:
        """Reshapes an array to [*copies, m, n]."""
        copies, m, n = self.shape(array)
        order = (*self.copies, *self.rows, *self.columns)
        return array.transpose(order).reshape(*copies, m, n)

    def from_matrices(self, matrices: jax.Array, like: jax.Array) -> jax.Array:
        """Inverts `to_matrices`, giving the shape of `like`."""
        order = (*self.copies, *self.rows, *self.columns)
        inverse = sorted(range(len(order)), key=order.__getitem__)
        return matrices.reshape([like.shape[axis] for axis in order]).transpose(inverse)


AxesOf = Callable[[str, tuple[int, ...]], Axes]  # of an array's name and shape


def grouped(arrays: Params, axes_of: AxesOf) -> dict[str, dict[str, Axes]]:
    """Groups the arrays that have one shape as matrices, by that shape in words."""
    groups: dict[str, dict[str, Axes]] = {}
    for name, array in arrays.items():
        axes = axes_of(name, array.shape)
        copies, m, n = axes.shape(array)
        words = f"{m}x{n}" if axes.columns else f"{m}"
        key = "/".join(["x".join(map(str, copies)), words]) if copies else words
        groups.setdefault(key, {})[name] = axes
    return groups


def stack(arrays: Params, members: dict[str, Axes]) -> jax.Array:
    """Joins arrays that have one shape as matrices: [*copies, G, m, n]."""
    return jnp.stack([axes.to_matrices(arrays[name]) for name, axes in members.items()], axis=-3)


def unstack(matrices: jax.Array, members: dict[str, Axes], like: Params) -> Params:
    """Inverts `stack`, giving the shapes of `like`."""
    parts = jnp.moveaxis(matrices, -3, 0)
    return {
        name: axes.from_matrices(part, like[name])
        for part, (name, axes) in zip(parts, members.items(), strict=True)
    }
