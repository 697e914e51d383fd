"""The forward pass of one window: the calls that compute its signals."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from wf_jax.amps.native.layers import KEEPING_ARGUMENTS
from wf_jax.amps.native.steps import ConvKind, LayerKind
from wf_jax.amps.native.training.signals import ENDLESS, Call, Draft, Signal
from wf_jax.amps.native.weights import LayerWeights, layer_order, product_order
from wf_jax.amps.wavenet import LayerArray, WaveNet
from wf_jax.amps.wavenet_config import LayerArrayConfig

_OUT, _KEPT, _NEXT_OUT, _NEXT_KEPT = (
    KEEPING_ARGUMENTS.index(name) for name in ("out*", "scratch*", "next_out*", "next_scratch*")
)


@dataclasses.dataclass(frozen=True)
class Layer:
    """The signals of a layer.

    Attributes:
        kind: of layer.
        dilation: of its convolution.
        source: h, which it takes.
        source_start: first sample of h that is needed.
        kept: a, its activations.
        start: first sample of a that is needed.
    """

    kind: LayerKind
    dilation: int
    source: Signal
    source_start: int
    kept: Signal
    start: int


@dataclasses.dataclass(frozen=True)
class Array:
    """The signals of a layer array.

    Attributes:
        source: the audio, or h of the array before.
        start: first sample of it that is needed.
        layers: its layers.
        residual: h behind the last of them.
        total: the sum that goes into the head.
        total_start: first sample of it that is needed.
        out: the head's output.
        out_start: first sample of it that is needed.
    """

    source: Signal
    start: int
    layers: list[Layer]
    residual: Signal
    total: Signal
    total_start: int
    out: Signal
    out_start: int


def forward_pass(draft: Draft, numbers: WaveNet) -> tuple[Signal, list[Array]]:
    """Calls everything from the audio, whose signal is returned, to the output of the last array.

    Args:
        draft: that the calls go to.
        numbers: the model, with each parameter's place, counted from 1, in its stead.
    """
    start = draft.length - draft.window - draft.lookback
    audio = draft.signal(draft.config.in_channels, start)
    arrays: list[Array] = []
    for index, array in enumerate(numbers.arrays):
        arrays.append(_array(draft, index, array, audio, arrays[-1] if arrays else None))
    draft.calls[:] = _looking_ahead(draft.calls)
    return audio, arrays


def forgetting(draft: Draft, calls: Sequence[Call]) -> list[Call]:
    """The same calls, whose layers leave their activations all in one place."""
    place = draft.signal(max(array.bottleneck for array in draft.config.arrays), 0)

    def one(call: Call) -> Call:
        if not isinstance(call.kind, LayerKind):
            return call
        return _changed(call, {_KEPT: place, _NEXT_KEPT: place})

    return [one(call) for call in calls]


def kernel_and_bias(conv: object) -> tuple[np.ndarray, np.ndarray | None]:
    """The numbers of a convolution: [O, I, K], where a 1x1 one has K = 1, and [O]."""
    kernel = np.asarray(conv.kernel[...], np.float64)
    bias = None if conv.bias is None else np.asarray(conv.bias[...], np.float64)
    return kernel if kernel.ndim == 3 else kernel[:, :, None], bias


def _array(
    draft: Draft, index: int, array: LayerArray, audio: Signal, before: Array | None
) -> Array:
    shape = draft.config.arrays[index]
    if before is None:
        source, start = audio, draft.length - draft.window - draft.lookback
        total = draft.signal(shape.head_inputs, _first(shape, start) - shape.head_lookback)
    else:
        source, start, total = before.residual, before.layers[-1].start, before.out
    residual = draft.signal(shape.channels, start)
    _conv(draft, array.rechannel, 1, source, residual, draft.tile(start))
    layers: list[Layer] = []
    for i in range(len(shape.dilations)):
        first = layers[-1].start if layers else start
        layer, residual = _layer(draft, index, i, array, residual, first, total, audio)
        layers.append(layer)
    total_start = max(layers[-1].start, before.out_start) if before else layers[-1].start
    out_start = total_start + shape.head_lookback
    out, begin = _head_signal(draft, index, layers[-1].start, out_start)
    _conv(draft, array.head, shape.head_dilation, total, out, begin)
    return Array(source, start, layers, residual, total, total_start, out, out_start)


def _layer(
    draft: Draft,
    index: int,
    i: int,
    array: LayerArray,
    source: Signal,
    source_start: int,
    total: Signal,
    audio: Signal,
) -> tuple[Layer, Signal]:
    """Calls layer `i`; returns it, and its residual output."""
    shape = draft.config.arrays[index]
    kind = _kind(draft, index, i)
    dilation = shape.dilations[i]
    start = source_start + (kind.taps - 1) * dilation
    # As dz it is looked at before its beginning, and up to the last tap behind its end.
    kept = draft.signal(kind.bottleneck, source_start, start - source_start)
    # A layer that ends has no output; a place that nothing is written to stands for it.
    out = total if kind.ends else draft.signal(kind.channels, start)
    rechannel, _ = kernel_and_bias(array.rechannel)
    weights = LayerWeights(array.layers[i], rechannel[:, :, 0])
    draft.call(
        kind,
        draft.tile(start),
        *(source, ENDLESS, source.stride, dilation, out, out.stride),
        *(total, total.stride, audio, audio.stride),
        draft.take_weights(layer_order(kind, weights, draft.target)),
        *(kept, kept.stride, out, out.stride, kept, kept.stride, 0),
    )
    products = kind.bottleneck * (kind.mixin + kind.inputs * kind.taps)
    products += kind.channels * kind.bottleneck * (kind.layer1x1 and not kind.ends)
    draft.flops += 2 * products * (draft.length - start)
    return Layer(kind, dilation, source, source_start, kept, start), out


def _kind(draft: Draft, index: int, i: int) -> LayerKind:
    shape = draft.config.arrays[index]
    last_array = index + 1 == len(draft.config.arrays)
    return LayerKind(
        inputs=shape.channels,
        channels=shape.channels,
        bottleneck=shape.bottleneck,
        taps=shape.kernel_sizes[i],
        gate="none",
        activation=shape.activations[i],
        secondary=shape.activations[i],
        mixin=shape.condition_size,
        first=False,
        layer1x1=bool(shape.layer1x1_groups),
        head1x1=0,
        begins=index == 0 and i == 0,
        ends=last_array and i + 1 == len(shape.dilations),
    )


def _head_signal(draft: Draft, index: int, start: int, out_start: int) -> tuple[Signal, int]:
    """The output of an array's head, and the tile from which it is computed."""
    rows, begin = draft.config.arrays[index].head_channels, draft.tile(out_start)
    if index + 1 == len(draft.config.arrays):
        return draft.signal(rows, begin), begin
    following = draft.config.arrays[index + 1]  # its layers add to it, its head looks back
    begin = min(begin, _first(following, start))
    begin = draft.tile(begin)
    return draft.signal(rows, begin - following.head_lookback), begin


def _first(shape: LayerArrayConfig, start: int) -> int:
    """The first sample of the activations of an array's first layer."""
    return start + (shape.kernel_sizes[0] - 1) * shape.dilations[0]


def _conv(
    draft: Draft, conv: object, dilation: int, source: Signal, out: Signal, begin: int
) -> None:
    """Calls a plain convolution."""
    kernel, bias = kernel_and_bias(conv)
    outputs, inputs, taps = kernel.shape
    bias = np.zeros(outputs) if bias is None else bias
    draft.call(
        ConvKind(inputs, outputs, taps, None),
        begin,
        *(source, ENDLESS, source.stride, dilation, out, out.stride),
        *(draft.take_weights(product_order(bias, [], kernel, draft.tiles(outputs))), 0),
    )
    draft.flops += 2 * kernel.size * (draft.length - begin)


def _looking_ahead(calls: Sequence[Call]) -> list[Call]:
    """Tells each layer where the next one writes, as it brings that into the cache."""
    result = list(calls)
    layers = [i for i, call in enumerate(calls) if isinstance(call.kind, LayerKind)]
    for i, following in itertools.pairwise(layers):
        out, kept = (calls[following].arguments[place] for place in (_OUT, _KEPT))
        result[i] = _changed(calls[i], {_NEXT_OUT: out, _NEXT_KEPT: kept})
    return result


def _changed(call: Call, signals: dict[int, Signal]) -> Call:
    """Exchanges signals, and the strides that follow them."""
    arguments = list(call.arguments)
    for place, signal in signals.items():
        arguments[place : place + 2] = signal, signal.stride
    return dataclasses.replace(call, arguments=tuple(arguments))
