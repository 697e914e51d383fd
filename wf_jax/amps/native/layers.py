"""The functions of a dilated layer and of a plain convolution, for one kind of them each.

Both go over the block tile by tile in time, see `tiles.py`.
"""

import copy
from collections.abc import Callable
from functools import partial

from llvmlite import ir

from wf_jax.amps.native.steps import ConvKind, LayerKind
from wf_jax.amps.native.tiles import FEW, Row, Sums, Tile
from wf_jax.native.emit import Emitter, Value, int64
from wf_jax.native.memory import LINE
from wf_jax.native.target import Target

# Activations of a few instructions; of others there is one copy in the code of a layer.
SHORT = {"ReLU", "LeakyReLU", "PReLU", "Hardtanh"}

LAYER_ARGUMENTS = (
    *("source*", "mask", "stride", "dilation", "out*", "out_stride", "head*", "head_stride"),
    *("condition*", "condition_stride", "weights*", "scratch*", "position", "count"),
)
KEEPING_ARGUMENTS = (
    *LAYER_ARGUMENTS[:-2],
    *("scratch_stride", "next_out*", "next_out_stride", "next_scratch*", "next_scratch_stride"),
    *LAYER_ARGUMENTS[-2:],
)
CONV_ARGUMENTS = (
    *("source*", "mask", "stride", "dilation", "out*", "out_stride"),
    *("weights*", "position", "count"),
)


def layer_function(
    module: ir.Module, target: Target, kind: LayerKind, name: str, keeps: bool = False
) -> ir.Function:
    """Writes the function of a kind of layer.

    Args:
        module: that the function goes to.
        target: the processor.
        kind: of layer.
        name: of the function.
        keeps: whether scratch has room for all of time and keeps the activations; the arguments
            then are KEEPING_ARGUMENTS, else LAYER_ARGUMENTS.
    """
    emit = Emitter(module, target, name, KEEPING_ARGUMENTS if keeps else LAYER_ARGUMENTS)
    return over_time(emit, lambda time: _Layer(emit, kind, time).write())


def conv_function(module: ir.Module, target: Target, kind: ConvKind, name: str) -> ir.Function:
    """Writes the function of a kind of convolution; its arguments are CONV_ARGUMENTS."""
    emit = Emitter(module, target, name, CONV_ARGUMENTS)
    return over_time(emit, lambda time: _Conv(emit, kind, time).write())


def over_time(emit: Emitter, write: Callable[[Value], None]) -> ir.Function:
    """Writes a function that goes over `count` samples tile by tile, and returns."""

    def tile(time: Value, _: list[Value]) -> list[Value]:
        write(time)
        return []

    emit.loop(emit.arguments["count"], emit.target.unit, [], tile)
    emit.builder.ret_void()
    return emit.function


class _Layer(Tile):
    """One tile in time of a dilated layer.

    Where outputs are few and their activation is short it follows in registers (A2 nano then takes
    4 us per block of 64, else 6); else it is a loop over what the convolution left in scratch.
    """

    def __init__(self, emit: Emitter, kind: LayerKind, time: Value):
        super().__init__(emit, time)
        self.kind, self.width = kind, int64(emit.target.unit)
        self.scratch, self.scratch_stride = emit.arguments["scratch"], self.width
        if "scratch_stride" in emit.arguments:
            self.scratch = emit.at(self.scratch, time)
            self.scratch_stride = emit.arguments["scratch_stride"]
        self.shift = int64(0)  # within the tile
        self.slopes = self.take_slopes(kind.activation, kind.bottleneck)
        gated = kind.parts == 2
        self.gate_slopes = self.take_slopes(kind.secondary, kind.bottleneck) if gated else None

    def write(self) -> None:
        """Writes all of it."""
        kind = self.kind
        tiles = self.emit.target.tiles(kind.bottleneck, kind.parts)
        at_once = len(tiles) <= FEW and {kind.activation.name, kind.secondary.name} <= SHORT
        self.over_outputs(kind.bottleneck, partial(self._convolution, at_once), kind.parts)
        if not at_once:
            self._activations()
        if not kind.ends:
            self.over_outputs(kind.channels, self._residual)
        if kind.head1x1:
            self.over_outputs(kind.head1x1, self._head1x1)
        if "next_out" in self.arguments:
            self._prefetch("next_out", kind.channels)
            self._prefetch("next_scratch", kind.bottleneck)

    def _prefetch(self, name: str, rows: int) -> None:
        """Brings a tile of a signal into the cache, which the next layer writes."""
        emit, place = self.emit, self.row(self.arguments[name], self.arguments[f"{name}_stride"], 0)

        def row(_: Value, values: list[Value]) -> list[Value]:
            (place,) = values
            for line in range(0, emit.target.unit, LINE):
                emit.prefetch(emit.at(place, line))
            return [emit.at(place, self.arguments[f"{name}_stride"])]

        emit.loop(int64(rows), 1, [place], row)

    def _activations(self) -> None:
        """Takes all of scratch through the activation.

        A few vectors at a time: four of tanh need more than 16 registers.
        """
        kind, emit = self.kind, self.emit
        part = copy.copy(self)
        part.vectors = min(self.vectors, emit.target.registers // 8)

        def few(channel: Value, shift: Value, _: list[Value]) -> list[Value]:
            part.shift, part.time = shift, self.builder.add(self.time, shift)
            channels = [
                self.builder.add(channel, int64(half * kind.bottleneck))
                for half in range(kind.parts)
            ]
            part._activation(channel, [part.load(part._scratch(each)) for each in channels])
            return []

        def all_of(channel: Value, _: list[Value]) -> list[Value]:
            emit.loop(self.width, part.vectors * emit.lanes, [], partial(few, channel))
            return []

        emit.loop(int64(kind.bottleneck), 1, [], all_of)

    def _scratch(self, channel: Value) -> Value:
        index = self.builder.mul(channel, self.scratch_stride)
        return self.emit.at(self.scratch, self.builder.add(index, self.shift))

    def _convolution(self, activate: bool, start: Value, rows: int) -> None:
        """Z of `rows` channels from `start` on; with a gate, also of those in its second half."""
        kind, a = self.kind, self.arguments
        sums = self.begin(rows * kind.parts)
        if kind.mixin:
            condition = self.emit.at(a["condition"], self.time)
            sums = self.add(sums, kind.mixin, condition, a["condition_stride"])
        taps = kind.taps
        sums = self.convolve(sums, kind.inputs, a["stride"], taps, lambda k: self.tap(k, taps))
        for row in range(rows):
            channel = self.builder.add(start, int64(row))
            parts = sums[row::rows]
            if activate:
                self._activation(channel, parts)
                continue
            for part, values in enumerate(parts):
                index = self.builder.add(channel, int64(part * kind.bottleneck))
                self.store(values, self._scratch(index))

    def _activation(self, channel: Value, parts: list[Row]) -> None:
        """A channel of z, and of its gate, through the activation: to scratch and to the head."""
        kind, builder = self.kind, self.builder
        z = parts[0]
        a = self.activated(kind.activation, z, self.slopes, channel)
        if kind.gate != "none":
            gate = self.activated(kind.secondary, parts[1], self.gate_slopes, channel)
            if kind.gate == "gated":
                a = [builder.fmul(x, g) for x, g in zip(a, gate, strict=True)]
            else:  # g a + (1 - g) z = z + g (a - z)
                triples = zip(a, gate, z, strict=True)
                a = [self.emit.fma(g, builder.fsub(x, z), z) for x, g, z in triples]
        self.store(a, self._scratch(channel))
        if not kind.head1x1:
            self._to_head(channel, a)

    def _to_head(self, channel: Value, values: Row) -> None:
        place = self.row(self.arguments["head"], self.arguments["head_stride"], channel)
        if not self.kind.begins:
            (values,) = self.sum([self.load(place)], [values])
        self.store(values, place)

    def _pointwise(self, sums: Sums) -> Sums:
        """Adds a product over the activations."""
        stride = self.scratch_stride
        return self.convolve(sums, self.kind.bottleneck, stride, 1, lambda _: self.scratch)

    def _residual(self, start: Value, rows: int) -> None:
        """H' = h + layer1x1(a)."""
        kind, a, builder = self.kind, self.arguments, self.builder
        now = self.tap(int64(0), 1)
        if kind.layer1x1:
            sums = self.begin(rows)
        else:
            sums = [[self.emit.constant(0.0)] * self.vectors for _ in range(rows)]
        if kind.first:  # h is a product of the audio
            sums = self.add(sums, kind.inputs, now, a["stride"])
        else:
            channels = [builder.add(start, int64(o)) for o in range(rows)]
            starts = [builder.mul(a["stride"], channel) for channel in channels]
            sums = self.sum([self.load(self.emit.at(now, index)) for index in starts], sums)
        if kind.layer1x1:
            sums = self._pointwise(sums)
        for o, values in enumerate(sums):
            channel = builder.add(start, int64(o))
            self.store(values, self.row(a["out"], a["out_stride"], channel))

    def _head1x1(self, start: Value, rows: int) -> None:
        for o, values in enumerate(self._pointwise(self.begin(rows))):
            self._to_head(self.builder.add(start, int64(o)), values)


class _Conv(Tile):
    """One tile in time of a plain convolution."""

    def __init__(self, emit: Emitter, kind: ConvKind, time: Value):
        super().__init__(emit, time)
        self.kind = kind

    def write(self) -> None:
        """Writes all of it."""
        kind = self.kind
        slopes = self.take_slopes(kind.activation, kind.outputs)

        def outputs(start: Value, rows: int) -> None:
            a, taps = self.arguments, kind.taps
            sums = self.begin(rows)
            sums = self.convolve(sums, kind.inputs, a["stride"], taps, lambda k: self.tap(k, taps))
            for o, values in enumerate(sums):
                channel = self.builder.add(start, int64(o))
                if kind.activation is not None:
                    values = self.activated(kind.activation, values, slopes, channel)
                self.store(values, self.row(a["out"], a["out_stride"], channel))

        self.over_outputs(kind.outputs, outputs)
