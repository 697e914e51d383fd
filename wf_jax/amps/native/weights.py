"""A model's weights in the order in which its code reads them.

Of every product, tile by tile: the bias of its outputs, the mixin's weights, then those of tap
after tap and input after input, each for all outputs of the tile.
"""

import numpy as np

from wf_jax.amps.activations import Activation
from wf_jax.amps.native.plan import ConvStep, LayerKind, LayerStep, Plan
from wf_jax.amps.native.target import Target
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_layer import Conv, Layer, Pointwise


def fill(arena: np.ndarray, plan: Plan, target: Target, model: WaveNet) -> int:
    """Writes the weights of a model into its arena, float32 [plan.size]; returns their number."""
    packed = [
        part
        for step, piece in zip(plan.steps, _pieces(model, plan), strict=True)
        for part in _pack(step, piece, target)
    ]
    flat = np.concatenate([np.ravel(part) for part in packed])
    arena[: len(flat)] = flat
    return len(flat)


def _pieces(model: WaveNet, plan: Plan) -> list:
    """What each step takes its weights from: a dict of arrays."""
    pieces: list[dict] = []
    arrays = list(model.arrays)
    for index, array in enumerate(arrays):
        rechannel = _kernel(array.rechannel)  # [C, I, 1]
        if isinstance(plan.steps[len(pieces)], ConvStep):
            pieces.append({"kernel": rechannel})
        for layer in array.layers:
            pieces.append({"layer": layer, "rechannel": rechannel[:, :, 0]})
        last = index + 1 == len(arrays)
        scale = np.float64(model.head_scale) if last else 1.0
        head = {"kernel": _kernel(array.head) * scale, "bias": _bias(array.head, scale)}
        if last and len(model.post_head):
            head["activation"] = model.config.post_head.activation
        pieces.append(head)
    for i, conv in enumerate(model.post_head):
        piece = {"kernel": _kernel(conv), "bias": _bias(conv)}
        if i + 1 < len(model.post_head):
            piece["activation"] = model.config.post_head.activation
        pieces.append(piece)
    return pieces


def _pack(step: LayerStep | ConvStep, piece: dict, target: Target) -> list[np.ndarray]:
    if isinstance(step, LayerStep):
        return _layer(step.kind, piece["layer"], piece["rechannel"], target)
    kind, kernel = step.kind, piece["kernel"]
    bias = piece.get("bias")
    tiles = target.tiles(kind.outputs)
    parts = _slopes(piece.get("activation"), kind.outputs)
    return parts + _product(
        np.zeros(kind.outputs) if bias is None else bias, [], kernel, [range(*t) for t in tiles]
    )


def _layer(
    kind: LayerKind, layer: Layer, rechannel: np.ndarray, target: Target
) -> list[np.ndarray]:
    kernel = _kernel(layer.conv)  # [m, C, K]
    mixin = _matrix(layer.mixin)  # [m, S]
    if kind.first:
        kernel = np.einsum("oik,ij->ojk", kernel, rechannel)
        kernel[:, :, -1] += mixin
    rows = [
        [part * kind.bottleneck + i for part in range(kind.parts) for i in range(*tile)]
        for tile in target.tiles(kind.bottleneck, kind.parts)
    ]
    bias = np.asarray(layer.conv_bias[...], np.float64)
    parts = _slopes(layer.activation, kind.bottleneck)
    if kind.gate != "none":
        parts += _slopes(layer.secondary, kind.bottleneck)
    parts += _product(bias, [] if kind.first else [mixin], kernel, rows)
    if not kind.ends:
        tiles = [range(*tile) for tile in target.tiles(kind.channels)]
        before = [rechannel] if kind.first else []
        if kind.layer1x1:
            matrix = _matrix(layer.layer1x1)[:, :, None]
            parts += _product(_bias(layer.layer1x1), before, matrix, tiles)
        elif kind.first:
            parts += [rechannel[list(tile)].T for tile in tiles]
    if kind.head1x1:
        tiles = [range(*tile) for tile in target.tiles(kind.head1x1)]
        parts += _product(_bias(layer.head1x1), [], _matrix(layer.head1x1)[:, :, None], tiles)
    return parts


def _product(
    bias: np.ndarray, before: list[np.ndarray], kernel: np.ndarray, tiles: list
) -> list[np.ndarray]:
    """Of each tile: bias, the matrices [O, S] before, and the kernel [O, I, K]."""
    parts = []
    for tile in tiles:
        rows = list(tile)
        parts.append(bias[rows])
        parts += [matrix[rows].T for matrix in before]
        parts.append(kernel[rows].transpose(2, 1, 0))
    return parts


def _slopes(activation: Activation | None, channels: int) -> list[np.ndarray]:
    if activation is None or activation.name != "PReLU":
        return []
    return [np.array(activation.negative_slopes or (activation.negative_slope,) * channels)]


def _kernel(conv: Conv) -> np.ndarray:
    """[O, I, K] in float64, groups written out as zeros."""
    return _dense(np.asarray(conv.kernel[...], np.float64), conv.groups)


def _matrix(pointwise: Pointwise) -> np.ndarray:
    """[O, I] in float64."""
    kernel = np.asarray(pointwise.kernel[...], np.float64)
    return _dense(kernel[:, :, None], pointwise.groups)[:, :, 0]


def _dense(kernel: np.ndarray, groups: int) -> np.ndarray:
    outputs, inputs, taps = kernel.shape
    full = np.zeros((outputs, inputs * groups, taps))
    for g in range(groups):
        rows = slice(g * outputs // groups, (g + 1) * outputs // groups)
        full[rows, g * inputs : (g + 1) * inputs] = kernel[rows]
    return full


def _bias(part: Conv | Pointwise, scale: float = 1.0) -> np.ndarray | None:
    return None if part.bias is None else np.asarray(part.bias[...], np.float64) * scale
