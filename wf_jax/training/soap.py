"""SOAP: Adam in the eigenbasis of Shampoo's two factors.

Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024, algorithm 3. Matrices of
one shape are worked on together, so that a model of hundreds of small arrays takes a handful of
batched products and decompositions.
"""

from collections.abc import Hashable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from wf_jax.modules import Params
from wf_jax.training.matrices import Axes, AxesOf, grouped, stack, unstack

DAMPING = 1e-4  # of a factor's trace, added to its eigenvalues
FIRST = 16  # steps of orthogonal iteration that the first bases take


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
    """Gives the direction of a SOAP step, for flat dicts of arrays.

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
        every: steps between new bases.
        largest: side of a matrix that has a basis; larger sides stay diagonal, and so do those of
            one element.
        epsilon: added to the root of the second moment.
    """

    def init(params: Params) -> SoapState:
        groups = {
            key: _empty(stack(params, members), members, largest)
            for key, members in grouped(params, axes_of).items()
        }
        return SoapState(jnp.zeros((), jnp.int32), groups)

    def update(
        gradients: Params, state: SoapState, params: Params | None = None
    ) -> tuple[Params, SoapState]:
        del params
        members, first = grouped(gradients, axes_of), state.count == 0
        stacked = {key: stack(gradients, group) for key, group in members.items()}
        iterations = jnp.where(first, FIRST, (state.count % every == 0).astype(jnp.int32))
        groups = {
            key: group._replace(
                left=group.left and _begun(group.left, stacked[key], first),
                right=group.right and _begun(group.right, stacked[key].mT, first),
            )
            for key, group in state.groups.items()
        }
        groups = lax.fori_loop(0, iterations, lambda _, groups: _turned(groups), groups)
        # The averages begin at zero with the second gradient: Adam's bias correction.
        counted = jnp.maximum(state.count, 1).astype(jnp.result_type(float))
        directions = {}
        for key, g in stacked.items():
            groups[key] = group = _learned(
                groups[key],
                g,
                jnp.where(first, 1.0, mean_decay),
                jnp.where(first, 1.0, square_decay),
                factor_decay,
            )
            mean, square = (
                moment / (1 - decay**counted).astype(g.dtype)
                for moment, decay in ((group.mean, mean_decay), (group.square, square_decay))
            )
            direction = _rotated(group, mean) / (jnp.sqrt(square) + epsilon)
            directions |= unstack(_rotated_back(group, direction), members[key], gradients)
        ordered = {name: directions[name] for name in gradients}
        return ordered, SoapState(state.count + 1, groups)

    return optax.GradientTransformation(init, update)


def _empty(stack: jax.Array, members: dict[str, Axes], largest: int) -> Group:
    """Makes a group before the first gradient."""
    zeros = jnp.zeros_like(stack)
    vectors = not next(iter(members.values())).columns

    def side(size: int) -> Side | None:
        if vectors or not 1 < size <= largest:
            return None
        shape = (*zeros.shape[:-2], size, size)
        identity = jnp.broadcast_to(jnp.eye(size, dtype=zeros.dtype), shape)
        return Side(jnp.zeros(shape, zeros.dtype), identity)

    m, n = zeros.shape[-2:]
    return Group(zeros, zeros, side(m), side(n))


def _begun(side: Side, g: jax.Array, first: jax.Array) -> Side:
    """Returns the side; at the first gradient g its factor becomes g g'."""
    return side._replace(factor=jnp.where(first, _product(g, g.mT), side.factor))


def _turned(groups: Groups) -> Groups:
    """Takes one step of orthogonal iteration for every basis; second moments are reordered."""
    sides = {
        (key, place): side
        for key, group in groups.items()
        for place in ("left", "right")
        if (side := getattr(group, place))
    }
    turned = dict(groups)
    for (key, place), (side, order) in _power_steps(sides).items():
        group, left = turned[key], place == "left"
        index = order[..., :, None] if left else order[..., None, :]
        square = jnp.take_along_axis(group.square, index, axis=-2 if left else -1)
        turned[key] = group._replace(square=square, **{place: side})
    return turned


def _power_steps(sides: dict[Hashable, Side]) -> dict[Hashable, tuple[Side, jax.Array]]:
    """Takes one step for each side, those of one size together: half as much to compile."""
    sizes: dict[tuple, list[Hashable]] = {}
    for key, side in sides.items():
        *copies, _, _, size = side.factor.shape
        sizes.setdefault((*copies, size), []).append(key)
    stepped = {}
    for keys in sizes.values():
        joined = jax.tree.map(
            lambda *parts: jnp.concatenate(parts, axis=-3), *(sides[key] for key in keys)
        )
        side, order = _power_step(joined)
        start = 0
        for key in keys:
            stop = start + sides[key].factor.shape[-3]
            own = jax.tree.map(lambda x, rows=slice(start, stop): x[..., rows, :, :], side)
            stepped[key] = own, order[..., start:stop, :]
            start = stop
    return stepped


def _learned(
    group: Group,
    g: jax.Array,
    mean_decay: jax.Array,
    square_decay: jax.Array,
    factor_decay: float,
) -> Group:
    """Adds a gradient to the averages of a group; a decay of 1 adds nothing."""

    def averaged(average: jax.Array, value: jax.Array, decay: jax.Array | float) -> jax.Array:
        decay = jnp.asarray(decay, value.dtype)
        return decay * average + (1 - decay) * value

    def learned(side: Side | None, g: jax.Array) -> Side | None:
        return side and side._replace(factor=averaged(side.factor, _product(g, g.mT), factor_decay))

    return Group(
        averaged(group.mean, g, mean_decay),
        averaged(group.square, jnp.square(_rotated(group, g)), square_decay),
        learned(group.left, g),
        learned(group.right, g.mT),
    )


def _power_step(side: Side) -> tuple[Side, jax.Array]:
    """Takes one step of orthogonal iteration; returns the order of the eigenvalues too."""
    # The factor with DAMPING more has the same eigenvectors. Without it, rounding alone would say
    # what becomes of vectors that no gradient has met.
    damping = DAMPING * jnp.trace(side.factor, axis1=-2, axis2=-1)[..., None, None]
    moved = _product(side.factor, side.basis) + damping * side.basis
    values = jnp.sum(side.basis * moved, axis=-2)
    order = jnp.argsort(-values, axis=-1)
    basis = orthonormal(jnp.take_along_axis(moved, order[..., None, :], axis=-1))
    return side._replace(basis=basis), order


def orthonormal(a: jax.Array) -> jax.Array:
    """Returns Q of the QR decomposition of matrices [..., m, m], by Householder reflections.

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
    """Rotates x into the bases: Q_l' x Q_r."""
    x = _product(group.left.basis.mT, x) if group.left else x
    return _product(x, group.right.basis) if group.right else x


def _rotated_back(group: Group, x: jax.Array) -> jax.Array:
    """Rotates x back: Q_l x Q_r'."""
    x = _product(group.left.basis, x) if group.left else x
    return _product(x, group.right.basis.mT) if group.right else x


_product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
