"""The weights of a WaveFlow in the order in which its code reads them.

Of every layer once for the first row of a pair and once for the second. For two vectors of outputs
after another, filters and their gates: of every point the products' weights [., C, 2, lanes], then
the bias [2, lanes] and the condition's [D, 2, lanes]. Then the end's [2, C], and of the residual
for one or two vectors of outputs the bias and the weights [C, vectors, lanes].
"""

import dataclasses
from functools import partial

import jax
import numpy as np

from wf_jax.flows.gated_net import GatedNet
from wf_jax.flows.native.gate import FILTER, GATE
from wf_jax.flows.native.kernel import TRANSFORM, Kernel
from wf_jax.flows.row_steps import FoldedLayer, FoldedNet
from wf_jax.native.memory import LINE, empty
from wf_jax.platforms import chosen


@dataclasses.dataclass(frozen=True)
class Places:
    """The places of a flow's weights.

    Attributes:
        firsts: where those of each layer for the first row of a pair begin.
        seconds: the same for the second.
        ends: where the start [2, C] and the outputs' bias [2] begin.
    """

    firsts: tuple[int, ...]
    seconds: tuple[int, ...]
    ends: int


@partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
def _folded(flows: GatedNet) -> FoldedNet:
    # Without transforms, so that other ones can be made of the plain kernel.
    with chosen(transformed_rows=False):
        return jax.vmap(GatedNet.fold)(flows)


class _Parts:
    """Arrays to be joined, each on a cache line."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.size = 0

    def take(self, arrays: list[np.ndarray]) -> int:
        """Adds arrays one after the other; returns where they begin."""
        start = self.size
        flat = [np.ravel(array) for array in arrays]
        size = sum(map(len, flat))
        self.arrays += [*flat, np.zeros(-size % LINE, np.float32)]
        self.size += size + -size % LINE
        return start


def packed(flows: GatedNet, kernel: Kernel) -> tuple[np.ndarray, tuple[Places, ...]]:
    """Joins the weights of flows, stacked on a leading axis: float32 [.], the places of each."""
    nets = jax.device_get(_folded(flows))
    parts, places = _Parts(), []
    for k in range(len(nets.start)):
        net: FoldedNet = jax.tree.map(lambda leaf, k=k: leaf[k], nets)
        conditions = np.vstack([net.condition_bias, net.condition])  # [1 + D, L * 2C]
        conditions = np.split(conditions, len(net.layers), axis=1)
        both = [
            _layer(layer, condition, kernel)
            for layer, condition in zip(net.layers, conditions, strict=True)
        ]
        firsts, seconds = (tuple(parts.take(layer[i]) for layer in both) for i in range(2))
        ends = parts.take([net.start, net.start_bias, net.end_bias])
        places.append(Places(firsts, seconds, ends))
    weights = empty(parts.size)
    np.concatenate(parts.arrays, out=weights)
    return weights, tuple(places)


def _layer(
    layer: FoldedLayer, condition: np.ndarray, kernel: Kernel
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns a layer's arrays in order, for the first row of a pair and for the second."""
    # `fold` halves the gate's sum and what comes after the gate, for its own form of the sigmoid.
    scale = np.repeat(np.float32([FILTER, 2 * GATE]), kernel.channels)
    plain = layer.conv.weight * scale  # [K', K * C, 2C]
    plain = plain.reshape(plain.shape[0], 3, kernel.channels, -1)
    transform = TRANSFORM.kernel.astype(np.float32)
    points = np.einsum("pw,w...->p...", transform, plain)  # [P, K, C, 2C]
    oldest, middle, newest = (points[:, k] for k in range(3))
    total, difference = (oldest + middle + newest) / 2, (oldest - middle + newest) / 2
    rest = _by_parts(condition * scale, kernel)
    after = [2 * layer.end.T]
    if layer.residual.shape[1]:
        matrix = np.vstack([layer.residual_bias, 2 * layer.residual])
        matrix = matrix.reshape(len(matrix), -1, kernel.vectors * kernel.lanes)
        after.append(np.moveaxis(matrix, 1, 0))
    first = _by_parts(np.stack([oldest, total, difference], axis=1), kernel)
    second = _by_parts(newest, kernel)
    return _in_turn(first, rest) + after, _in_turn(second, rest) + after


def _by_parts(matrix: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Sorts weights [..., 2C] by vectors of filters and gates: [parts, ..., 2, lanes]."""
    shape = (*matrix.shape[:-1], 2, kernel.parts, kernel.lanes)
    return np.moveaxis(matrix.reshape(shape), -2, 0)


def _in_turn(one: np.ndarray, other: np.ndarray) -> list[np.ndarray]:
    return [array for pair in zip(one, other, strict=True) for array in pair]
