"""The signals of one window, and the calls that compute them: first forward, then backward.

All signals share one axis of time, 0 to `length`, a multiple of a tile; the window's samples end
there. A signal is computed from the tile on in which its first sample lies that the output depends
on. What is before that tile stays 0, so that kernels need not look where a signal begins: before
its first sample a gradient is exactly 0, and the activations it meets there are those of silence.

A pass goes through time block by block, backward from the last to the first, and calls all layers
for each: what one layer leaves the next finds in the cache. Only activations are kept for all of
time; dz takes the place of a.

With z = K * h + m x + b, a = act(z), h' = h + W a, and the sum of all a going into the head, a
layer takes G, the gradient with respect to h', and D, that with respect to the sum, to

    dz = (W^T G + D) act'(z),    dW = G a^T,    dK = dz h^T,    G <- G + K^T dz.
"""

import dataclasses
import itertools
from collections.abc import Callable, Hashable

import numpy as np

from wf_jax.amps.native.layers import KEEPING_ARGUMENTS
from wf_jax.amps.native.steps import ConvKind, LayerKind
from wf_jax.amps.native.training.kernels import BackwardConvKind, SlopeKind
from wf_jax.amps.native.training.products import ProductsKind, products_order
from wf_jax.amps.native.weights import LayerWeights, layer_order, product_order
from wf_jax.amps.wavenet import LayerArray, WaveNet
from wf_jax.amps.wavenet_config import WaveNetConfig
from wf_jax.amps.wavenet_layer import Layer
from wf_jax.native.memory import LINE
from wf_jax.native.target import Target

ENDLESS = -1  # the mask of a source that is no ring


@dataclasses.dataclass(frozen=True)
class Signal:
    """Rows of samples in the arena; as an argument its place at a call's first sample.

    Attributes:
        base: where sample 0 of the first row would stand.
        rows: channels.
        stride: numbers from one row to the next.
    """

    base: int
    rows: int
    stride: int


@dataclasses.dataclass(frozen=True)
class Weights:
    """A place among the weights."""

    offset: int


@dataclasses.dataclass(frozen=True)
class Gradient:
    """A place among the gradients of the weights."""

    offset: int


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of the function of a kind, for each block from `begin` on; the count comes last."""

    kind: Hashable
    begin: int
    arguments: tuple[Signal | Weights | Gradient | int, ...]


@dataclasses.dataclass(frozen=True)
class WindowPlan:
    """All calls for one window.

    Attributes:
        window: samples that come out.
        lookback: samples that go in before them.
        length: of the axis of time.
        audio: signal of the input.
        output: signal of the output.
        output_gradient: signal of the gradient that comes in.
        forward: calls from the audio to the sum before the last head.
        playing: the same up to the output, without keeping activations.
        backward: calls from the output's gradient to those of the weights.
        cleared: signals that must be 0 before the backward calls.
        size: of the arena.
        weights: for each number that the code reads, its place among the parameters, counted from
            1; 0 is the number 0.
        gradients: for each parameter its place among the gradients, counted from 1; 0 where the
            output does not depend on it.
        written: number of gradients.
        flops: of a forward pass.
    """

    window: int
    lookback: int
    length: int
    audio: Signal
    output: Signal
    output_gradient: Signal
    forward: tuple[Call, ...]
    playing: tuple[Call, ...]
    backward: tuple[Call, ...]
    cleared: tuple[Signal, ...]
    size: int
    weights: np.ndarray
    gradients: np.ndarray
    written: int
    flops: int


def window_plan(
    config: WaveNetConfig, numbers: WaveNet, parameters: int, window: int, target: Target
) -> WindowPlan:
    """Plans a window of a model.

    Args:
        config: its shape, see `native.shapes.shape_of`.
        numbers: the model, with each parameter's place, counted from 1, in its stead.
        parameters: how many there are.
        window: samples of output.
        target: the processor.
    """
    return _Planner(config, numbers, window, target).plan(parameters)


def _looking_ahead(calls: list[Call]) -> list[Call]:
    """Tells each layer where the next one writes."""
    layers = [i for i, call in enumerate(calls) if isinstance(call.kind, LayerKind)]
    result = list(calls)
    out, kept = (KEEPING_ARGUMENTS.index(name) for name in ("out*", "scratch*"))
    for i, following in itertools.pairwise(layers):
        *arguments, _, _, _, _, position = calls[i].arguments
        n = calls[following].arguments
        arguments += [*n[out : out + 2], *n[kept : kept + 2], position]
        result[i] = dataclasses.replace(calls[i], arguments=tuple(arguments))
    return result


@dataclasses.dataclass(frozen=True)
class _Layer:
    """The signals of one layer of the forward pass, and when the first sample of z is needed."""

    kind: LayerKind
    dilation: int
    source: Signal
    source_start: int
    activations: Signal
    start: int


@dataclasses.dataclass(frozen=True)
class _Array:
    """The signals of one array: what it takes, h of its first layer, the sum, and its layers."""

    source: Signal
    start: int
    first: Signal
    total: Signal
    total_start: int
    layers: list[_Layer]


class _Planner:
    """Lays out signals and notes calls."""

    def __init__(self, config: WaveNetConfig, numbers: WaveNet, window: int, target: Target):
        self.config, self.numbers, self.target = config, numbers, target
        self.window, self.lookback = window, config.receptive_field - 1
        self.unit = target.unit
        self.length = -(-(window + self.lookback) // self.unit) * self.unit
        self.end = 0
        self.calls: list[Call] = []
        self.weights: list[np.ndarray] = []
        self.gradients: list[np.ndarray] = []
        self.taken = self.written = self.flops = 0
        # Gradients are looked at this far behind the window's end, where they are 0.
        lookbacks = [array.head_lookback for array in config.arrays]
        for array in config.arrays:
            pairs = zip(array.kernel_sizes, array.dilations, strict=True)
            lookbacks += [(taps - 1) * dilation for taps, dilation in pairs]
        self.behind = max(lookbacks)

    def plan(self, parameters: int) -> WindowPlan:
        """Plans everything."""
        config, start = self.config, self.length - self.window - self.lookback
        self.audio = self._signal(config.in_channels, self._tile(start))
        arrays, source, head = [], self.audio, None
        for index, array in enumerate(self.numbers.arrays):
            arrays.append(self._array(index, array, source, start, head))
            source, start = self.residual, arrays[-1].layers[-1].start
            head = self._head(index, array, arrays[-1], head)
        *forward, last = _looking_ahead(self.calls)
        self.calls = []
        output, _ = head
        gradient = self._gradient_signal(output.rows)
        cleared = self._backward(arrays, gradient)
        order = np.concatenate(self.gradients)
        places = np.zeros(parameters + 1, np.int32)
        places[order] = 1 + np.arange(len(order))
        return WindowPlan(
            window=self.window,
            lookback=self.lookback,
            length=self.length,
            audio=self.audio,
            output=output,
            output_gradient=gradient,
            forward=tuple(forward),
            playing=(*map(self._forgetting(), forward), last),
            backward=tuple(self.calls),
            cleared=tuple(cleared),
            size=self.end,
            weights=np.concatenate([np.ravel(part) for part in self.weights]).astype(np.int32),
            gradients=places[1:],
            written=self.written,
            flops=self.flops,
        )

    # Forward

    def _array(
        self, index: int, array: LayerArray, source: Signal, start: int, head: tuple | None
    ) -> _Array:
        """Calls the 1x1 convolution before the layers of an array, and the layers."""
        shape, weights = self.config.arrays[index], array.rechannel.kernel
        first = residual = self._signal(shape.channels, self._tile(start))
        rechannel = np.asarray(weights[...], np.float64)
        self._conv(rechannel, None, 1, source, residual, self._tile(start))
        layers, begin = [], self._first_begin(index, start)
        total = head[0] if head else self._signal(shape.head_inputs, begin - shape.head_lookback)
        for i, layer in enumerate(array.layers):
            last = index + 1 == len(self.config.arrays) and i + 1 == len(shape.dilations)
            kind = LayerKind(
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
                ends=last,
            )
            before, start = start, start + (kind.taps - 1) * shape.dilations[i]
            begin = self._tile(start)
            # As dz it is looked at up to the last tap behind its end, and before its beginning.
            kept = self._signal(kind.bottleneck, self._tile(before), start - before)
            # A layer that ends has no output; a place that nothing is written to stands for it.
            out = total if last else self._signal(kind.channels, begin)
            given = self._weights(layer_order(kind, LayerWeights(layer, rechannel), self.target))
            self._call(
                kind,
                begin,
                *(residual, ENDLESS, residual.stride, shape.dilations[i], out, out.stride),
                *(total, total.stride, self.audio, self.audio.stride),
                *(given, kept, kept.stride),
                *(out, out.stride, kept, kept.stride, 0),
            )
            layers.append(_Layer(kind, shape.dilations[i], residual, before, kept, start))
            products = kind.bottleneck * (kind.mixin + kind.inputs * kind.taps)
            products += 0 if last else kind.channels * kind.bottleneck
            self.flops += 2 * products * (self.length - start)
            residual = out
        self.residual = residual
        total_start = max(start, head[1]) if head else start
        return _Array(source, layers[0].source_start, first, total, total_start, layers)

    def _head(
        self, index: int, array: LayerArray, signals: _Array, head: tuple | None
    ) -> tuple[Signal, int]:
        """Calls the head of an array; returns its output, and when its first sample is needed."""
        shape = self.config.arrays[index]
        start = signals.total_start + shape.head_lookback
        begin = self._tile(start)
        if index + 1 < len(self.config.arrays):  # the next array's layers add to it from here on
            begin = min(begin, self._first_begin(index + 1, signals.layers[-1].start))
            following = self.config.arrays[index + 1].head_lookback
        else:
            following = 0
        out = self._signal(shape.head_channels, begin - following)
        kernel = np.asarray(array.head.kernel[...], np.float64)
        bias = None if array.head.bias is None else np.asarray(array.head.bias[...], np.float64)
        self._conv(kernel, bias, shape.head_dilation, signals.total, out, begin)
        self.flops += 2 * kernel.size * (self.length - start)
        return out, start

    def _first_begin(self, index: int, start: int) -> int:
        """The first tile of the first layer of an array."""
        shape = self.config.arrays[index]
        return self._tile(start + (shape.kernel_sizes[0] - 1) * shape.dilations[0])

    def _conv(
        self,
        kernel: np.ndarray,
        bias: np.ndarray | None,
        dilation: int,
        source: Signal,
        out: Signal,
        begin: int,
    ) -> None:
        outputs, inputs, taps = kernel.shape
        bias = np.zeros(outputs) if bias is None else bias
        weights = self._weights(product_order(bias, [], kernel, self._tiles(outputs)))
        self._call(
            ConvKind(inputs, outputs, taps, None),
            begin,
            *(source, ENDLESS, source.stride, dilation, out, out.stride, weights, 0),
        )

    def _forgetting(self) -> Callable[[Call], Call]:
        """Makes calls of layers leave their activations all in one place."""
        widest = max(array.bottleneck for array in self.config.arrays)
        place = self._signal(widest, 0)
        kept, ahead = (KEEPING_ARGUMENTS.index(name) for name in ("scratch*", "next_scratch*"))

        def forgetting(call: Call) -> Call:
            if not isinstance(call.kind, LayerKind):
                return call
            arguments = list(call.arguments)
            for start in (kept, ahead):
                arguments[start : start + 2] = place, place.stride
            return dataclasses.replace(call, arguments=tuple(arguments))

        return forgetting

    # Backward

    def _backward(self, arrays: list[_Array], gradient: Signal) -> list[Signal]:
        """Calls everything in reverse; returns what must be 0 before."""
        residuals = [self._gradient_signal(array.channels) for array in self.config.arrays]
        for index in reversed(range(len(arrays))):
            signals, array = arrays[index], self.numbers.arrays[index]
            total = self._gradient_signal(self.config.arrays[index].head_inputs)
            self._head_backward(index, array, signals, gradient, total)
            for layer, weights in zip(
                reversed(signals.layers), reversed(list(array.layers)), strict=True
            ):
                self._layer_backward(layer, weights, residuals[index], total)
            begin = self._tile(signals.start)
            kernel = np.asarray(array.rechannel.kernel[...], np.float64)
            self._products(residuals[index], signals.source, 1, begin, kernel, None)
            if index:
                before = residuals[index - 1]
                self._transposed(kernel, 1, residuals[index], before, begin, adds=False)
            gradient = total
        return residuals

    def _head_backward(
        self, index: int, array: LayerArray, signals: _Array, gradient: Signal, total: Signal
    ) -> None:
        shape = self.config.arrays[index]
        kernel = np.asarray(array.head.kernel[...], np.float64)
        bias = None if array.head.bias is None else np.asarray(array.head.bias[...], np.float64)
        dilation, start = shape.head_dilation, signals.total_start
        begin = self._tile(start + shape.head_lookback)
        self._products(gradient, signals.total, dilation, begin, kernel, bias)
        self._transposed(kernel, dilation, gradient, total, self._tile(start), adds=False)

    def _layer_backward(
        self, layer: _Layer, weights: Layer, residual: Signal, total: Signal
    ) -> None:
        kind, begin, a = layer.kind, self._tile(layer.start), layer.activations
        adds = kind.layer1x1 and not kind.ends
        given = Weights(self.taken)
        if adds:
            matrix = np.asarray(weights.layer1x1.kernel[...], np.float64)[:, :, None]
            bias = np.asarray(weights.layer1x1.bias[...], np.float64)
            self._products(residual, a, 1, begin, matrix, bias)
            given = self._weights(self._order(matrix.transpose(1, 0, 2)))
        self._call(
            SlopeKind(kind.channels if adds else 0, kind.bottleneck, kind.activation),
            begin,
            *(residual, residual.stride, total, total.stride, a, a.stride, given),
        )
        mixin = np.asarray(weights.mixin.kernel[...], np.float64)[:, :, None]
        self._products(a, self.audio, 1, begin, mixin, None)
        kernel = np.asarray(weights.conv.kernel[...], np.float64)
        bias = np.asarray(weights.conv_bias[...], np.float64)
        self._products(a, layer.source, layer.dilation, begin, kernel, bias)
        start = self._tile(layer.source_start)
        self._transposed(kernel, layer.dilation, a, residual, start, adds=True)

    def _products(
        self,
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
        order = products_order(kind, self.target, kernel, bias).astype(np.int64)
        place = Gradient(self.written)
        self.gradients.append(order)
        self.written += order.size
        strides = (gradient.stride, source.stride)
        self._call(kind, begin, gradient, strides[0], source, strides[1], dilation, place)

    def _transposed(
        self, kernel: np.ndarray, dilation: int, source: Signal, out: Signal, begin: int, adds: bool
    ) -> None:
        """Calls the transposed convolution, which looks ahead."""
        outputs, inputs, taps = kernel.shape
        weights = self._weights(self._order(kernel.transpose(1, 0, 2)))
        self._call(
            BackwardConvKind(outputs, inputs, taps, adds),
            begin,
            *(source, ENDLESS, source.stride, -dilation, out, out.stride, weights, 0),
        )

    # Places

    def _tile(self, time: int) -> int:
        """Where the tile begins that holds a sample."""
        return time // self.unit * self.unit

    def _tiles(self, rows: int) -> list[range]:
        return [range(*tile) for tile in self.target.tiles(rows)]

    def _order(self, kernel: np.ndarray) -> list[np.ndarray]:
        """The numbers of [O, I, K] tile by tile, without biases."""
        return [kernel[list(tile)].transpose(2, 1, 0) for tile in self._tiles(len(kernel))]

    def _signal(self, rows: int, begin: int, behind: int = 0) -> Signal:
        """A signal from `begin` on; convolutions look up to a tile before it."""
        begin -= self.unit
        stride = self._odd_lines(self.length + behind - begin)
        return Signal(self._take(rows * stride) - begin, rows, stride)

    def _gradient_signal(self, rows: int) -> Signal:
        stride = self._odd_lines(self.length + self.behind)
        return Signal(self._take(rows * stride), rows, stride)

    def _odd_lines(self, size: int) -> int:
        """An odd number of cache lines: rows then share no set."""
        lines = -(-size // LINE)
        return LINE * (lines + 1 - lines % 2)

    def _take(self, size: int) -> int:
        offset = self.end
        self.end += -(-size // LINE) * LINE
        return offset

    def _weights(self, parts: list[np.ndarray]) -> Weights:
        place = Weights(self.taken)
        self.weights += parts
        self.taken += sum(part.size for part in parts)
        return place

    def _call(
        self, kind: Hashable, begin: int, *arguments: Signal | Weights | Gradient | int
    ) -> None:
        self.calls.append(Call(kind, begin, arguments))
