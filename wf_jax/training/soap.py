"""SOAP: Adam in the eigenbasis of Shampoo's two factors.

Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024, algorithm 3. Matrices of
one shape are worked on together, so that a model of hundreds of small arrays takes a handful of
batched products and decompositions.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from wf_jax.modules import Params

KEEP, POWER_STEP, BEGIN = 0, 1, 2  # what becomes of the bases in a step
FIRST = 16  # steps of orthogonal iteration that the first bases take


@dataclasses.dataclass(frozen=True)
class Axes:
    """An array as matrices: which of its axes are what; all axes, each once.

    Attributes:
        copies: of independent matrices (captures, stacked flows).
        rows: of each matrix.
        columns: of each matrix; () for a vector, whose moments stay diagonal.
    """

    copies: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def shape(self, array: jax.Array) -> tuple[tuple[int, ...], int, int]:
        """The copies, m and n."""
        sizes = [[array.shape[axis] for axis in axes] for axes in (self.copies, self.rows)]
        columns = math.prod(array.shape[axis] for axis in self.columns)
        return tuple(sizes[0]), math.prod(sizes[1]), columns

    def to_matrices(self, array: jax.Array) -> jax.Array:
        """[*copies, m, n]."""
        copies, m, n = self.shape(array)
        order = (*self.copies, *self.rows, *self.columns)
        return array.transpose(order).reshape(*copies, m, n)

    def from_matrices(self, matrices: jax.Array, like: jax.Array) -> jax.Array:
        """The way back, to the shape of `like`."""
        order = (*self.copies, *self.rows, *self.columns)
        inverse = sorted(range(len(order)), key=order.__getitem__)
        return matrices.reshape([like.shape[axis] for axis in order]).transpose(inverse)


AxesOf = Callable[[str, tuple[int, ...]], Axes]  # of an array's name and shape


class Side(NamedTuple):
    """One side of G matrices: Shampoo's factor and its basis, [*copies, G, m, m] each."""

    factor: jax.Array
    basis: jax.Array


class Group(NamedTuple):
    """G matrices of one shape: moments [*copies, G, m, n]; a side of None stays diagonal."""

    mean: jax.Array
    square: jax.Array
    left: Side | None
    right: Side | None


Groups = dict[str, Group]  # by their shapes


class SoapState(NamedTuple):
    """Steps so far, and the groups."""

    count: jax.Array
    groups: Groups


def scale_by_soap(
    axes_of: AxesOf,
    *,
    mean_decay: float = 0.95,
    square_decay: float = 0.95,
    factor_decay: float = 0.95,
    every: int = 5,
    largest: int = 1024,
    epsilon: float = 1e-8,
) -> optax.GradientTransformation:
    """The direction of a SOAP step, for flat dicts of arrays.

    With g a gradient [m, n] and Q_l, Q_r the eigenbases of the moving averages of g g' and g' g,
    Adam's moments are taken of Q_l' g Q_r, and its direction d becomes Q_l d Q_r'. The first
    gradient gives the first bases and moves nothing: in its own bases it is diagonal, and Adam
    would make its rounding as large as itself. Later bases follow from those before by one step
    of orthogonal iteration, once in `every` steps.

    Args:
        axes_of: how each array is seen as matrices.
        mean_decay: of the first moment, per step (beta 1).
        square_decay: of the second (beta 2).
        factor_decay: of Shampoo's factors.
        every: steps between power steps.
        largest: side of a matrix that has a basis; larger sides stay diagonal, and so do those of
            one element.
        epsilon: added to the root of the second moment.
    """

    def init(params: Params) -> SoapState:
        groups = {}
        for name, members in _grouped(params, axes_of).items():
            zeros = jnp.zeros_like(_stacked(params, members))
            m, n = zeros.shape[-2:]
            vector = not next(iter(members.values())).columns
            sides = (None if vector or not 1 < size <= largest else size for size in (m, n))
            left, right = (size and _side(zeros, size) for size in sides)
            groups[name] = Group(zeros, zeros, left, right)
        return SoapState(jnp.zeros((), jnp.int32), groups)

    def update(
        gradients: Params, state: SoapState, params: Params | None = None
    ) -> tuple[Params, SoapState]:
        del params
        first = state.count == 0
        refresh = jnp.where(state.count % every == 0, POWER_STEP, KEEP)
        refresh = jnp.where(first, BEGIN, refresh)
        # Of averages that begin at zero with the second gradient: Adam's bias correction.
        moments = jnp.maximum(state.count, 1).astype(jnp.result_type(float))
        corrections = [1 - decay**moments for decay in (mean_decay, square_decay)]
        members = _grouped(gradients, axes_of)
        stacked = {key: _stacked(gradients, group) for key, group in members.items()}
        bases = lax.switch(refresh, (_kept, _stepped, _begun), state.groups, stacked)
        directions, groups = {}, {}
        for key, g in stacked.items():
            g = jnp.where(first, jnp.zeros_like(g), g)
            group = bases[key]
            group = group._replace(
                mean=_averaged(group.mean, g, mean_decay),
                square=_averaged(group.square, jnp.square(_rotated(group, g)), square_decay),
                left=group.left and _learned(group.left, stacked[key], factor_decay),
                right=group.right and _learned(group.right, stacked[key].mT, factor_decay),
            )
            mean, square = (
                value / correction.astype(g.dtype)
                for value, correction in zip(
                    (_rotated(group, group.mean), group.square), corrections, strict=True
                )
            )
            direction = _rotated_back(group, mean / (jnp.sqrt(square) + epsilon))
            directions |= _unstacked(direction, members[key], gradients)
            groups[key] = group
        ordered = {name: directions[name] for name in gradients}
        return ordered, SoapState(state.count + 1, groups)

    return optax.GradientTransformation(init, update)


# Matrices of one shape together


def _grouped(arrays: Params, axes_of: AxesOf) -> dict[str, dict[str, Axes]]:
    """The arrays that have one shape as matrices, by that shape in words."""
    groups: dict[str, dict[str, Axes]] = {}
    for name, array in arrays.items():
        axes = axes_of(name, array.shape)
        copies, m, n = axes.shape(array)
        words = f"{m}x{n}" if axes.columns else f"{m}"
        key = "/".join(["x".join(map(str, copies)), words]) if copies else words
        groups.setdefault(key, {})[name] = axes
    return groups


def _stacked(arrays: Params, members: dict[str, Axes]) -> jax.Array:
    """[*copies, G, m, n]."""
    return jnp.stack([axes.to_matrices(arrays[name]) for name, axes in members.items()], axis=-3)


def _unstacked(stack: jax.Array, members: dict[str, Axes], like: Params) -> Params:
    parts = jnp.moveaxis(stack, -3, 0)
    return {
        name: axes.from_matrices(part, like[name])
        for part, (name, axes) in zip(parts, members.items(), strict=True)
    }


# Factors and bases


def _side(zeros: jax.Array, size: int) -> Side:
    shape = (*zeros.shape[:-2], size, size)
    identity = jnp.broadcast_to(jnp.eye(size, dtype=zeros.dtype), shape)
    return Side(jnp.zeros(shape, zeros.dtype), identity)


def _averaged(average: jax.Array, value: jax.Array, decay: float) -> jax.Array:
    return decay * average + (1 - decay) * value


def _learned(side: Side, g: jax.Array, decay: float) -> Side:
    return side._replace(factor=_averaged(side.factor, _product(g, g.mT), decay))


def _kept(groups: Groups, gradients: Params) -> Groups:
    del gradients
    return groups


def _begun(groups: Groups, gradients: Params) -> Groups:
    """The bases of the first gradients."""
    return {
        key: group._replace(
            left=group.left and _first(group.left, gradients[key]),
            right=group.right and _first(group.right, gradients[key].mT),
        )
        for key, group in groups.items()
    }


def _stepped(groups: Groups, gradients: Params) -> Groups:
    """The bases one step nearer to their factors' eigenvectors, second moments in their order."""
    del gradients
    stepped = {}
    for key, (mean, square, left, right) in groups.items():
        if left:
            left, order = _power_step(left)
            square = jnp.take_along_axis(square, order[..., :, None], axis=-2)
        if right:
            right, order = _power_step(right)
            square = jnp.take_along_axis(square, order[..., None, :], axis=-1)
        stepped[key] = Group(mean, square, left, right)
    return stepped


def _first(side: Side, g: jax.Array) -> Side:
    """Factor g g', and nearly its eigenvectors, those of the largest values first."""
    side = side._replace(factor=_product(g, g.mT))
    return lax.fori_loop(0, FIRST, lambda _, side: _power_step(side)[0], side)


def _power_step(side: Side) -> tuple[Side, jax.Array]:
    """One step of orthogonal iteration, from vectors in the order of their values; that order."""
    moved = _product(side.factor, side.basis)
    values = jnp.sum(side.basis * moved, axis=-2)
    order = jnp.argsort(-values, axis=-1)
    basis = orthonormal(jnp.take_along_axis(moved, order[..., None, :], axis=-1))
    return side._replace(basis=basis), order


def orthonormal(a: jax.Array) -> jax.Array:
    """Q of the QR decompositions of square matrices [..., m, m], by Householder's reflections.

    Plain arithmetic, where `jnp.linalg.qr` calls LAPACK: its batches wait for threads of the pool
    that their own caller occupies, and with as many callers as threads a CPU program stands still
    (jax 0.10.2).
    """
    size = a.shape[-1]
    rows = jnp.arange(size)

    def reflect(k: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rest, q = carry
        column = jnp.where(rows >= k, lax.dynamic_index_in_dim(rest, k, -1, keepdims=False), 0)
        here = lax.dynamic_index_in_dim(column, k, -1)
        length = jnp.linalg.norm(column, axis=-1, keepdims=True)
        v = column + jnp.where(rows == k, jnp.where(here < 0, -length, length), 0)
        square = jnp.sum(jnp.square(v), axis=-1, keepdims=True)
        # A column of zeros is left as it is.
        v = v * jnp.where(square > 0, jnp.sqrt(2 / jnp.where(square > 0, square, 1)), 0)
        v = v[..., None]  # [..., m, 1]; the reflection is I - v v'
        return rest - _product(v, _product(v.mT, rest)), q - _product(_product(q, v), v.mT)

    identity = jnp.broadcast_to(jnp.eye(size, dtype=a.dtype), a.shape)
    return lax.fori_loop(0, size - 1, reflect, (a, identity + jnp.zeros_like(a)))[1]


def _rotated(group: Group, x: jax.Array) -> jax.Array:
    """Q_l' x Q_r."""
    x = _product(group.left.basis.mT, x) if group.left else x
    return _product(x, group.right.basis) if group.right else x


def _rotated_back(group: Group, x: jax.Array) -> jax.Array:
    """Q_l x Q_r'."""
    x = _product(group.left.basis, x) if group.left else x
    return _product(x, group.right.basis.mT) if group.right else x


_product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
