"""The functions of a dilated layer and of a plain convolution, for one kind of them each.

Both go over the block tile by tile in time. Within a tile a product begins with its bias, then adds
tap after tap and input after input to sums that stay in registers. Weights are read one behind the
other, in the order of `weights.py`. Outputs, taps and inputs are loops, so that code is short: what
is written out is what fills the registers once.
"""

import copy
import itertools
from collections.abc import Callable
from functools import partial

from llvmlite import ir

from wf_jax.amps.activations import Activation
from wf_jax.amps.native.activations import activate
from wf_jax.amps.native.emit import Emitter, Value, int64
from wf_jax.amps.native.plan import ConvKind, LayerKind
from wf_jax.amps.native.target import Target

UNROLLED = 4  # inputs of a product that are written out; more are a loop over so many
FEW = 3  # tiles of outputs that are written out; more are a loop
SUMS = 8  # that a processor adds to at once: latency 4, two units
# Activations of a few instructions; of others there is one copy in the code of a layer.
SHORT = {"ReLU", "LeakyReLU", "PReLU", "Hardtanh"}

LAYER_ARGUMENTS = (
    *("source*", "mask", "stride", "dilation", "out*", "out_stride", "head*", "head_stride"),
    *("condition*", "condition_stride", "weights*", "scratch*", "position", "count"),
)
CONV_ARGUMENTS = (
    *("source*", "mask", "stride", "dilation", "out*", "out_stride"),
    *("weights*", "position", "count"),
)

Row = list[Value]  # vectors of one channel, side by side in time
Tile = list[Row]  # sums of several outputs


def layer_function(module: ir.Module, target: Target, kind: LayerKind, name: str) -> ir.Function:
    """Writes the function of a kind of layer; its arguments are LAYER_ARGUMENTS."""
    emit = Emitter(module, target, name, LAYER_ARGUMENTS)
    return _over_time(emit, lambda time: _Layer(emit, kind, time).write())


def conv_function(module: ir.Module, target: Target, kind: ConvKind, name: str) -> ir.Function:
    """Writes the function of a kind of convolution; its arguments are CONV_ARGUMENTS."""
    emit = Emitter(module, target, name, CONV_ARGUMENTS)
    return _over_time(emit, lambda time: _Conv(emit, kind, time).write())


def _over_time(emit: Emitter, write: Callable[[Value], None]) -> ir.Function:
    def tile(time: Value, _: list[Value]) -> list[Value]:
        write(time)
        return []

    emit.loop(emit.arguments["count"], emit.target.unit, [], tile)
    emit.builder.ret_void()
    return emit.function


class _Tile:
    """One tile in time of a step: its samples are `time` to `time` + target.unit of the block."""

    def __init__(self, emit: Emitter, time: Value):
        self.emit, self.builder, self.time = emit, emit.builder, time
        self.arguments, self.vectors = emit.arguments, emit.target.vectors
        self.weights = emit.arguments["weights"]  # those that come next

    # Rows of a signal

    def row(self, pointer: Value, stride: Value, channel: Value | int) -> Value:
        """Where the tile begins in a channel."""
        channel = int64(channel) if isinstance(channel, int) else channel
        start = self.builder.mul(stride, channel)
        return self.emit.at(pointer, self.builder.add(start, self.time))

    def load(self, place: Value) -> Row:
        """The tile's vectors at a place."""
        return [self.emit.load(place, v * self.emit.lanes) for v in range(self.vectors)]

    def store(self, values: Row, place: Value) -> None:
        """Writes the tile's vectors to a place."""
        for v, value in enumerate(values):
            self.emit.store(value, place, v * self.emit.lanes)

    def tap(self, tap: Value, taps: int) -> Value:
        """Where the tile begins in what a tap sees of the source, a ring."""
        a, builder = self.arguments, self.builder
        back = builder.mul(builder.sub(int64(taps - 1), tap), a["dilation"])
        index = builder.and_(builder.sub(a["position"], back), a["mask"])
        return self.emit.at(a["source"], builder.add(index, self.time))

    # Products

    def over_outputs(
        self, outputs: int, write: Callable[[Value, int], None], multiple: int = 1
    ) -> None:
        """Calls `write` with (first output, outputs) of every tile; see Target.tiles."""
        tiles = self.emit.target.tiles(outputs, multiple)
        if len(tiles) <= FEW:
            for start, stop in tiles:
                write(int64(start), stop - start)
            return
        for rows, same in itertools.groupby(tiles, lambda tile: tile[1] - tile[0]):
            group = list(same)
            first = group[0][0]

            def one(index: Value, values: list[Value], rows: int = rows, first: int = first):
                (self.weights,) = values
                start = self.builder.mul(index, int64(rows))
                write(self.builder.add(start, int64(first)), rows)
                return [self.weights]

            (self.weights,) = self.emit.loop(int64(len(group)), 1, [self.weights], one)

    def take(self, count: int) -> Value:
        """The place of the next `count` weights."""
        place, self.weights = self.weights, self.emit.at(self.weights, count)
        return place

    def begin(self, rows: int) -> Tile:
        """Sums that begin as their bias."""
        place = self.take(rows)
        return [[self.emit.broadcast(place, o)] * self.vectors for o in range(rows)]

    def add(self, sums: Tile, inputs: int, source: Value, stride: Value) -> Tile:
        """Adds the next weights times so many inputs to sums."""
        (sums,) = self._inputs([sums], inputs, source, stride)
        return sums

    def convolve(
        self, sums: Tile, inputs: int, stride: Value, taps: int, source: Callable[[Value], Value]
    ) -> Tile:
        """Adds a whole convolution to sums.

        Args:
            sums: of some outputs.
            inputs: channels of the source.
            stride: numbers between them.
            taps: of the kernel.
            source: (tap) -> where the tile begins in the first input.
        """
        rows, zero = len(sums), self.emit.constant(0.0)
        split = [sums]
        if inputs > 1 and rows * self.vectors < SUMS:  # inputs of odd number have their own sums
            split.append([[zero] * self.vectors for _ in range(rows)])

        def tap(k: Value, values: list[Value]) -> list[Value]:
            self.weights, *flat = values
            tiles = self._inputs(_unflatten(flat, split), inputs, source(k), stride)
            return [self.weights, *_flatten(tiles)]

        self.weights, *flat = self.emit.loop(int64(taps), 1, [self.weights, *_flatten(split)], tap)
        first, *others = _unflatten(flat, split)
        for other in others:
            first = self.sum(first, other)
        return first

    def sum(self, one: Tile, other: Tile) -> Tile:
        """Adds two tiles."""
        return [
            [self.builder.fadd(a, b) for a, b in zip(row, more, strict=True)]
            for row, more in zip(one, other, strict=True)
        ]

    def _inputs(self, split: list[Tile], inputs: int, source: Value, stride: Value) -> list[Tile]:
        rounds, rest = divmod(inputs, UNROLLED)
        if rounds < 2:
            return self._written_out(split, inputs, source, stride)

        def some(_: Value, values: list[Value]) -> list[Value]:
            source, self.weights, *flat = values
            tiles = self._written_out(_unflatten(flat, split), UNROLLED, source, stride)
            step = self.builder.mul(stride, int64(UNROLLED))
            return [self.emit.at(source, step), self.weights, *_flatten(tiles)]

        carried = [source, self.weights, *_flatten(split)]
        source, self.weights, *flat = self.emit.loop(int64(rounds), 1, carried, some)
        return self._written_out(_unflatten(flat, split), rest, source, stride)

    def _written_out(
        self, split: list[Tile], inputs: int, source: Value, stride: Value
    ) -> list[Tile]:
        split = [[list(row) for row in tile] for tile in split]
        for i in range(inputs):
            sums = split[i % len(split)]
            place = self.take(len(sums))
            factors = [self.emit.broadcast(place, o) for o in range(len(sums))]
            here = self.emit.at(source, self.builder.mul(stride, int64(i)))
            for v in range(self.vectors):
                x = self.emit.load(here, v * self.emit.lanes)
                for o, factor in enumerate(factors):
                    sums[o][v] = self.emit.fma(factor, x, sums[o][v])
        return split

    # Activations

    def take_slopes(self, activation: Activation | None, channels: int) -> Value | None:
        """The next weights where they are the slopes of a PReLU."""
        has = activation is not None and activation.name == "PReLU"
        return self.take(channels) if has else None

    def activated(
        self, activation: Activation, values: Row, slopes: Value | None, channel: Value
    ) -> Row:
        """One channel's vectors through an activation."""
        slope = None
        if slopes is not None:
            slope = self.emit.broadcast(self.emit.at(slopes, channel))
        return [activate(self.emit, activation, value, slope) for value in values]


class _Layer(_Tile):
    """One tile in time of a dilated layer.

    Where outputs are few and their activation is short it follows in registers (A2 nano then takes
    4 us per block of 64, else 6); else it is a loop over what the convolution left in scratch.
    """

    def __init__(self, emit: Emitter, kind: LayerKind, time: Value):
        super().__init__(emit, time)
        self.kind, self.width = kind, int64(emit.target.unit)
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
        index = self.builder.mul(channel, self.width)
        return self.emit.at(self.arguments["scratch"], self.builder.add(index, self.shift))

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

    def _pointwise(self, sums: Tile) -> Tile:
        """Adds a product over the activations."""
        scratch = self.arguments["scratch"]
        return self.convolve(sums, self.kind.bottleneck, self.width, 1, lambda _: scratch)

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


class _Conv(_Tile):
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


def _flatten(tiles: list[Tile]) -> list[Value]:
    return [value for tile in tiles for row in tile for value in row]


def _unflatten(flat: list[Value], like: list[Tile]) -> list[Tile]:
    values = iter(flat)
    return [[[next(values) for _ in row] for row in tile] for tile in like]
