"""The weights of a WaveFlow in the order in which the code reads them."""

import dataclasses

import numpy as np

from wf_jax.flows.native.tiles import TRANSFORM, Kernel


@dataclasses.dataclass(frozen=True)
class FlowPlaces:
    """Where the weights of a flow begin.

    Attributes:
        layers: for each layer those of the first row of a pair, and of the second.
        ends: those of the start and of the outputs' bias.
    """

    layers: list[tuple[int, int]]
    ends: int


def packed(flows, kernel: Kernel) -> tuple[np.ndarray, list[FlowPlaces]]:
    """Joins the weights of flows, in the order given: float32 [.], and their places.

    Args:
        flows: of each its parameters, see `parameters`.
        kernel: the sizes.
    """
    parts, places, size = [], [], 0

    def take(arrays: list[np.ndarray]) -> int:
        nonlocal size
        start = size
        for array in arrays:
            parts.append(np.ravel(array).astype(np.float32))
            size += array.size
        fill = -size % 16
        parts.append(np.zeros(fill, np.float32))
        size += fill
        return start

    for flow in flows:
        layers = [(take(first), take(second)) for first, second in map(lambda l: _layer(l, kernel), flow.layers)]
        places.append(FlowPlaces(layers, take([flow.start, flow.start_bias, flow.end_bias])))
    return np.concatenate(parts), places


@dataclasses.dataclass(frozen=True)
class LayerValues:
    """A folded layer: see row_steps.FoldedLayer; kernel [3, 3, C, 2C], condition [D, 2C] + bias."""

    kernel: np.ndarray
    condition: np.ndarray
    condition_bias: np.ndarray
    residual: np.ndarray
    residual_bias: np.ndarray
    end: np.ndarray


@dataclasses.dataclass(frozen=True)
class FlowValues:
    """A folded net."""

    layers: list[LayerValues]
    start: np.ndarray
    start_bias: np.ndarray
    end_bias: np.ndarray


def _layer(layer: LayerValues, kernel: Kernel) -> tuple[list[np.ndarray], list[np.ndarray]]:
    points = np.einsum("pw,hwco->phco", TRANSFORM.kernel, layer.kernel.astype(np.float64))
    oldest, middle, newest = points[:, 0], points[:, 1], points[:, 2]
    total, difference = (oldest + middle + newest) / 2, (oldest - middle + newest) / 2
    first = np.stack([oldest, total, difference], axis=1)  # [P, 3, C, 2C]
    after = _after(layer, kernel)
    both = []
    for products in (first, newest[:, None]):
        shape = (*products.shape[:-1], 2, kernel.parts, kernel.lanes)
        by_part = np.moveaxis(products.reshape(shape), -2, 0)  # [parts, P, q, C, 2, lanes]
        rest = _pairs(np.concatenate([layer.condition_bias[None], layer.condition]), kernel)
        both.append([array for pair in zip(by_part, rest, strict=True) for array in pair] + after)
    return both[0], both[1]


def _pairs(matrix: np.ndarray, kernel: Kernel) -> np.ndarray:
    """[I, 2C] -> [parts, I, 2, lanes]."""
    return np.moveaxis(matrix.reshape(len(matrix), 2, kernel.parts, kernel.lanes), 2, 0)


def _after(layer: LayerValues, kernel: Kernel) -> list[np.ndarray]:
    arrays = [layer.end.T]
    if layer.residual.shape[1]:
        vectors = 1 + (kernel.parts % 2 == 0)
        matrix = np.concatenate([layer.residual_bias[None], layer.residual])
        matrix = matrix.reshape(len(matrix), -1, vectors * kernel.lanes)
        arrays.append(np.moveaxis(matrix, 1, 0))
    return arrays
