"""The backward pass of one window: the calls that compute the gradients of all weights.

With z = K * h + m x + b, a = act(z), h' = h + W a, and the sum of all a going into the head, a
layer takes G, the gradient with respect to h', and D, that with respect to the sum, to

    dz = (W^T G + D) act'(z),    dW = G a^T,    dK = dz h^T,    G <- G + K^T dz.

dz takes the place of a. G is one signal for all layers of an array, D another.
"""

from collections.abc import Sequence

import numpy as np

from wf_jax.amps.native.training.forward import Array, Layer, kernel_and_bias
from wf_jax.amps.native.training.kernels import BackwardConvKind, SlopeKind
from wf_jax.amps.native.training.products import ProductsKind, products_order
from wf_jax.amps.native.training.signals import ENDLESS, Draft, Signal, Weights
from wf_jax.amps.wavenet import LayerArray, WaveNet
from wf_jax.amps.wavenet_layer import Layer as LayerNumbers


def backward_pass(
    draft: Draft, numbers: WaveNet, audio: Signal, arrays: Sequence[Array]
) -> tuple[Signal, list[Signal]]:
    """Calls everything in reverse.

    Args:
        draft: that the calls go to.
        numbers: as in `forward_pass`.
        audio: the input.
        arrays: of the forward pass.

    Returns:
        The signal of the output's gradient, and those that must be 0 before.
    """
    gradient = output = draft.gradient_signal(arrays[-1].out.rows)
    residuals = [draft.gradient_signal(array.channels) for array in draft.config.arrays]
    for index in reversed(range(len(arrays))):
        array, own, residual = arrays[index], numbers.arrays[index], residuals[index]
        total = draft.gradient_signal(array.total.rows)
        _head(draft, index, array, own, gradient, total)
        pairs = zip(array.layers, own.layers, strict=True)
        for layer, layer_numbers in reversed(list(pairs)):
            _layer(draft, layer, layer_numbers, residual, total, audio)
        begin = draft.tile(array.start)
        kernel, _ = kernel_and_bias(own.rechannel)
        _products(draft, residual, array.source, 1, begin, kernel, None)
        if index:
            _transposed(draft, kernel, 1, residual, residuals[index - 1], begin, adds=False)
        gradient = total
    return output, residuals


def _head(
    draft: Draft, index: int, array: Array, numbers: LayerArray, gradient: Signal, total: Signal
) -> None:
    """Calls from the gradient of a head's output to that of the sum."""
    dilation = draft.config.arrays[index].head_dilation
    kernel, bias = kernel_and_bias(numbers.head)
    begin = draft.tile(array.out_start)
    _products(draft, gradient, array.total, dilation, begin, kernel, bias)
    begin = draft.tile(array.total_start)
    _transposed(draft, kernel, dilation, gradient, total, begin, adds=False)


def _layer(
    draft: Draft,
    layer: Layer,
    numbers: LayerNumbers,
    residual: Signal,
    total: Signal,
    audio: Signal,
) -> None:
    kind, begin, a = layer.kind, draft.tile(layer.start), layer.kept
    adds = kind.layer1x1 and not kind.ends
    weights = Weights(draft.read)
    if adds:
        matrix, bias = kernel_and_bias(numbers.layer1x1)
        _products(draft, residual, a, 1, begin, matrix, bias)
        weights = draft.take_weights(_order(draft, matrix.transpose(1, 0, 2)))
    draft.call(
        SlopeKind(kind.channels if adds else 0, kind.bottleneck, kind.activation),
        begin,
        *(residual, residual.stride, total, total.stride, a, a.stride, weights),
    )
    dz = a
    _products(draft, dz, audio, 1, begin, kernel_and_bias(numbers.mixin)[0], None)
    kernel, _ = kernel_and_bias(numbers.conv)
    bias = np.asarray(numbers.conv_bias[...], np.float64)
    _products(draft, dz, layer.source, layer.dilation, begin, kernel, bias)
    begin = draft.tile(layer.source_start)
    _transposed(draft, kernel, layer.dilation, dz, residual, begin, adds=True)


def _products(
    draft: Draft,
    gradient: Signal,
    source: Signal,
    dilation: int,
    begin: int,
    kernel: np.ndarray,
    bias: np.ndarray | None,
) -> None:
    """Calls the gradients of a convolution's kernel and bias, whose numbers these are."""
    outputs, inputs, taps = kernel.shape
    kind = ProductsKind(outputs, inputs, taps, bias is not None)
    place = draft.take_gradients(products_order(kind, draft.target, kernel, bias))
    strides = gradient.stride, source.stride
    draft.call(kind, begin, gradient, strides[0], source, strides[1], dilation, place)


def _transposed(
    draft: Draft,
    kernel: np.ndarray,
    dilation: int,
    source: Signal,
    out: Signal,
    begin: int,
    adds: bool,
) -> None:
    """Calls the transposed convolution, which looks ahead."""
    outputs, inputs, taps = kernel.shape
    weights = draft.take_weights(_order(draft, kernel.transpose(1, 0, 2)))
    draft.call(
        BackwardConvKind(outputs, inputs, taps, adds),
        begin,
        *(source, ENDLESS, source.stride, -dilation, out, out.stride, weights, 0),
    )


def _order(draft: Draft, kernel: np.ndarray) -> list[np.ndarray]:
    """The numbers of [O, I, K] tile by tile, without biases."""
    return [kernel[list(tile)].transpose(2, 1, 0) for tile in draft.tiles(len(kernel))]
