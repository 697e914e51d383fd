"""A model's weights in the order in which its code reads them.

Of every step first the slopes of PReLUs. Then of every product, tile by tile: the bias of its
outputs, the mixin's weights, then those of tap after tap and input after input, each for all
outputs of the tile.
"""

from typing import NamedTuple

import numpy as np

from wf_jax.amps.activations import Activation
from wf_jax.amps.native.steps import ConvStep, LayerKind, Plan
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_layer import Conv, Layer, Pointwise
from wf_jax.native.target import Target


class ConvWeights(NamedTuple):
    """The weights of a plain convolution: kernel [O, I, K], bias [O], and what follows it."""

    kernel: np.ndarray
    bias: np.ndarray
    activation: Activation | None = None


class LayerWeights(NamedTuple):
    """The weights of a dilated layer: its own, and the 1x1 convolution [C, I] before the first."""

    layer: Layer
    rechannel: np.ndarray


def fill(arena: np.ndarray, plan: Plan, target: Target, model: WaveNet) -> int:
    """Writes the weights of a model into its arena, float32 [plan.size]; returns their number."""
    parts: list[np.ndarray] = []
    for step, weights in zip(plan.steps, _of_steps(model, plan), strict=True):
        if isinstance(weights, LayerWeights):
            parts += layer_order(step.kind, weights, target)
        else:
            parts += _conv(weights, target)
    flat = np.concatenate([np.ravel(part) for part in parts])
    arena[: len(flat)] = flat
    return len(flat)


def _of_steps(model: WaveNet, plan: Plan) -> list[ConvWeights | LayerWeights]:
    """The source of each step's weights."""
    result: list[ConvWeights | LayerWeights] = []
    post, post_convs = model.config.post_head, list(model.post_head)
    after = post.activation if post else None
    arrays = list(model.arrays)
    for index, array in enumerate(arrays):
        rechannel = _kernel(array.rechannel)
        if isinstance(plan.steps[len(result)], ConvStep):  # it is not taken into a layer
            result.append(ConvWeights(rechannel, np.zeros(len(rechannel))))
        result += [LayerWeights(layer, rechannel[:, :, 0]) for layer in array.layers]
        last = index + 1 == len(arrays)
        scale = model.head_scale if last else 1.0
        kernel, bias = _kernel(array.head) * scale, _bias(array.head) * scale
        result.append(ConvWeights(kernel, bias, after if last else None))
    for i, conv in enumerate(post_convs):
        last = i + 1 == len(post_convs)
        result.append(ConvWeights(_kernel(conv), _bias(conv), None if last else after))
    return result


def _conv(weights: ConvWeights, target: Target) -> list[np.ndarray]:
    outputs = len(weights.kernel)
    tiles = [range(*tile) for tile in target.tiles(outputs)]
    parts = _slopes(weights.activation, outputs)
    return parts + product_order(weights.bias, [], weights.kernel, tiles)


def layer_order(kind: LayerKind, weights: LayerWeights, target: Target) -> list[np.ndarray]:
    """Puts the numbers of a layer in order."""
    layer, rechannel = weights
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
    parts += product_order(bias, [] if kind.first else [mixin], kernel, rows)
    if not kind.ends:
        tiles = [range(*tile) for tile in target.tiles(kind.channels)]
        before = [rechannel] if kind.first else []
        if kind.layer1x1:
            matrix = _matrix(layer.layer1x1)[:, :, None]
            parts += product_order(_bias(layer.layer1x1), before, matrix, tiles)
        elif kind.first:
            parts += [rechannel[list(tile)].T for tile in tiles]
    if kind.head1x1:
        tiles = [range(*tile) for tile in target.tiles(kind.head1x1)]
        parts += product_order(_bias(layer.head1x1), [], _matrix(layer.head1x1)[:, :, None], tiles)
    return parts


def product_order(
    bias: np.ndarray, before: list[np.ndarray], kernel: np.ndarray, tiles: list
) -> list[np.ndarray]:
    """Puts the numbers of each tile in order: bias, matrices [O, S], and the kernel [O, I, K]."""
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


def _bias(part: Conv | Pointwise) -> np.ndarray:
    """[O] in float64; zeros where there is none."""
    if part.bias is None:
        return np.zeros(part.kernel.shape[0])
    return np.asarray(part.bias[...], np.float64)
