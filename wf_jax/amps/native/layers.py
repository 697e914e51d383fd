"""The functions of a dilated layer and of a plain convolution, for one kind of them each.

Both go over the block tile by tile in time. Within a tile a product begins with its bias, then adds
tap after tap and input after input to sums that stay in registers. Weights are read one behind the
other, in the order of `weights.py`.
"""

from collections.abc import Callable

from llvmlite import ir

from wf_jax.amps.activations import Activation
from wf_jax.amps.native.activations import activate
from wf_jax.amps.native.emit import Emitter, Value, int64
from wf_jax.amps.native.plan import ConvKind, LayerKind
from wf_jax.amps.native.target import Target

UNROLLED = 8  # inputs of a product that are written out; more are a loop over so many
SUMS = 8  # that a multiplier works on at once: latency 4, two units

LAYER_ARGUMENTS = (
    *("source*", "mask", "stride", "dilation", "out*", "out_stride", "head*", "head_stride"),
    *("condition*", "condition_stride", "weights*", "scratch*", "position", "count"),
)
CONV_ARGUMENTS = (
    *("source*", "mask", "stride", "dilation", "out*", "out_stride"),
    *("weights*", "position", "count"),
)

Tile = list[list[Value]]  # sums, [output][vector of time]


class _Writer:
    """What both kinds of function have in common: an emitter, and a place in the weights."""

    def __init__(self, emit: Emitter, time: Value):
        self.emit, self.vectors, self.time = emit, emit.target.vectors, time
        self.weights = emit.arguments["weights"]
        self.taken = 0  # weights so far

    def take(self, count: int) -> int:
        """The offset of the next `count` weights."""
        self.taken += count
        return self.taken - count

    def loads(self, pointer: Value, index: Value | int = 0) -> list[Value]:
        """The tile's vectors of one row."""
        base = self.emit.at(pointer, index)
        return [self.emit.load(base, v * self.emit.lanes) for v in range(self.vectors)]

    def stores(self, values: list[Value], pointer: Value, index: Value | int = 0) -> None:
        """Writes the tile's vectors of one row."""
        base = self.emit.at(pointer, index)
        for v, value in enumerate(values):
            self.emit.store(value, base, v * self.emit.lanes)

    def begin(self, rows: int) -> Tile:
        """Sums that begin as their bias."""
        offset = self.take(rows)
        bias = [self.emit.broadcast(self.weights, offset + o) for o in range(rows)]
        return [[value] * self.vectors for value in bias]

    def add_inputs(
        self, sums: list[Tile], weights: Value, inputs: int, source: Value, stride: Value | int
    ) -> list[Tile]:
        """Adds inputs times weights; those of even and odd number to sums of their own."""
        emit = self.emit
        for i in range(inputs):
            sums_i = sums[i % len(sums)]
            rows = len(sums_i)
            index = i * stride if isinstance(stride, int) else emit.builder.mul(stride, int64(i))
            base = emit.at(source, index)
            factors = [emit.broadcast(weights, i * rows + o) for o in range(rows)]
            for v in range(self.vectors):
                x = emit.load(base, v * emit.lanes)
                for o in range(rows):
                    sums_i[o][v] = emit.fma(factors[o], x, sums_i[o][v])
        return sums

    def product(
        self,
        sums: Tile,
        inputs: int,
        stride: Value | int,
        taps: int,
        source: Callable[[Value], Value],
    ) -> Tile:
        """Adds a whole convolution to sums.

        Args:
            sums: of the tile.
            inputs: channels of the source.
            stride: numbers between them.
            taps: of the kernel.
            source: (tap) -> where the tile's first input begins.
        """
        emit, builder, rows = self.emit, self.emit.builder, len(sums)
        weights = emit.at(self.weights, self.take(rows * inputs * taps))
        count = 2 if inputs > 1 and rows * self.vectors < SUMS else 1
        zero = emit.constant(0.0)
        split = [[list(row) for row in sums]]
        split += [[[zero] * self.vectors for _ in range(rows)] for _ in range(count - 1)]

        def over_inputs(sums: list[Tile], weights: Value, base: Value) -> list[Tile]:
            whole, rest = divmod(inputs, UNROLLED)
            if whole > 1:
                step = stride * UNROLLED if isinstance(stride, int) else None
                step = int64(step) if step else builder.mul(stride, int64(UNROLLED))

                def some(index: Value, values: list[Value]) -> list[Value]:
                    base, weights, *flat = values
                    tiles = self.add_inputs(_unflatten(flat, sums), weights, UNROLLED, base, stride)
                    following = emit.at(weights, UNROLLED * rows)
                    return [emit.at(base, step), following, *_flatten(tiles)]

                base, weights, *flat = emit.loop(
                    int64(whole), 1, [base, weights, *_flatten(sums)], some
                )
                sums = _unflatten(flat, sums)
            else:
                rest = inputs
            return self.add_inputs(sums, weights, rest, base, stride) if rest else sums

        if taps == 1:
            split = over_inputs(split, weights, source(int64(0)))
        else:

            def tap(k: Value, values: list[Value]) -> list[Value]:
                weights, *flat = values
                tiles = over_inputs(_unflatten(flat, split), weights, source(k))
                return [emit.at(weights, inputs * rows), *_flatten(tiles)]

            _, *flat = emit.loop(int64(taps), 1, [weights, *_flatten(split)], tap)
            split = _unflatten(flat, split)
        first, *others = split
        for other in others:
            first = [
                [builder.fadd(a, b) for a, b in zip(row, more, strict=True)]
                for row, more in zip(first, other, strict=True)
            ]
        return first

    def ring(self, source: str, taps: int) -> Callable[[Value], Value]:
        """Where a tap's inputs begin, of the argument `source` that is a ring."""
        emit, builder, a = self.emit, self.emit.builder, self.emit.arguments

        def begin(tap: Value) -> Value:
            # Computed in each round: a handful of integer operations beside 24 multiplications.
            back = builder.mul(builder.sub(int64(taps - 1), tap), a["dilation"])
            index = builder.and_(builder.sub(a["position"], back), a["mask"])
            return emit.at(a[source], builder.add(index, self.time))

        return begin

    def slopes(self, activation: Activation | None, channels: int) -> int | None:
        """Where the slopes of a PReLU are."""
        has = activation is not None and activation.name == "PReLU"
        return self.take(channels) if has else None

    def activated(
        self, activation: Activation, values: list[Value], slopes: int | None, channel: int
    ) -> list[Value]:
        """One channel's vectors through an activation."""
        slope = None if slopes is None else self.emit.broadcast(self.weights, slopes + channel)
        return [activate(self.emit, activation, value, slope) for value in values]


def layer_function(module: ir.Module, target: Target, kind: LayerKind, name: str) -> ir.Function:
    """Writes the function of a kind of layer; its arguments are LAYER_ARGUMENTS."""
    emit = Emitter(module, target, name, LAYER_ARGUMENTS)
    emit.loop(
        emit.arguments["count"],
        target.unit,
        [],
        lambda time, _: _Layer(emit, kind, time).write(),
    )
    emit.builder.ret_void()
    return emit.function


class _Layer(_Writer):
    """One tile in time of a layer."""

    def __init__(self, emit: Emitter, kind: LayerKind, time: Value):
        super().__init__(emit, time)
        self.kind = kind

    def write(self) -> list[Value]:
        kind, target = self.kind, self.emit.target
        tiles = target.tiles(kind.bottleneck, kind.parts)
        # The slopes stand behind all tiles of the convolution.
        per_row = 1 + kind.mixin + kind.inputs * kind.taps
        before, self.taken = self.taken, kind.bottleneck * kind.parts * per_row
        slopes = self.slopes(kind.activation, kind.bottleneck)
        gate = self.slopes(kind.secondary, kind.bottleneck) if kind.parts == 2 else None
        after, self.taken = self.taken, before
        for start, stop in tiles:
            self._convolve(start, stop, slopes, gate)
        self.taken = after
        if not kind.ends:
            self._residual()
        if kind.head1x1:
            for start, stop in target.tiles(kind.head1x1):
                sums = self._pointwise(self.begin(stop - start))
                for o, values in enumerate(sums):
                    self._to_head(start + o, values)
        return []

    def _convolve(self, start: int, stop: int, slopes: int | None, gate: int | None) -> None:
        """Bottleneck channels start to stop: convolution, mixin, activation."""
        kind, emit, a = self.kind, self.emit, self.emit.arguments
        rows = stop - start
        sums = self.begin(rows * kind.parts)
        if kind.mixin:
            weights = emit.at(self.weights, self.take(len(sums) * kind.mixin))
            base = emit.at(a["condition"], self.time)
            (sums,) = self.add_inputs([sums], weights, kind.mixin, base, a["condition_stride"])
        source = self.ring("source", kind.taps)
        sums = self.product(sums, kind.inputs, a["stride"], kind.taps, source)
        for o in range(rows):
            channel = start + o
            values = self._gated(sums, o, rows, channel, slopes, gate)
            self.stores(values, a["scratch"], channel * emit.target.unit)
            if not kind.head1x1:
                self._to_head(channel, values)

    def _gated(
        self, sums: Tile, o: int, rows: int, channel: int, slopes: int | None, gate: int | None
    ) -> list[Value]:
        kind, builder = self.kind, self.emit.builder
        values = self.activated(kind.activation, sums[o], slopes, channel)
        if kind.gate == "none":
            return values
        gates = self.activated(kind.secondary, sums[rows + o], gate, channel)
        if kind.gate == "gated":
            return [builder.fmul(v, g) for v, g in zip(values, gates, strict=True)]
        return [  # g a + (1 - g) z = z + g (a - z)
            self.emit.fma(g, builder.fsub(v, z), z)
            for v, g, z in zip(values, gates, sums[o], strict=True)
        ]

    def _to_head(self, channel: int, values: list[Value]) -> None:
        emit, a = self.emit, self.emit.arguments
        row = emit.builder.mul(a["head_stride"], int64(channel))
        place = emit.at(a["head"], emit.builder.add(row, self.time))
        if not self.kind.begins:
            before = self.loads(place)
            values = [emit.builder.fadd(b, v) for b, v in zip(before, values, strict=True)]
        self.stores(values, place)

    def _pointwise(self, sums: Tile) -> Tile:
        """Adds a product over the tile's activations."""
        scratch = self.emit.arguments["scratch"]
        return self.product(sums, self.kind.bottleneck, self.emit.target.unit, 1, lambda _: scratch)

    def _residual(self) -> None:
        """H' = h + layer1x1(a)."""
        kind, emit, a = self.kind, self.emit, self.emit.arguments
        now = emit.builder.and_(a["position"], a["mask"])
        h = emit.at(a["source"], emit.builder.add(now, self.time))
        for start, stop in emit.target.tiles(kind.channels):
            rows = stop - start
            sums = self.begin(rows) if kind.layer1x1 else None
            if kind.first:
                zero = emit.constant(0.0)
                sums = sums or [[zero] * self.vectors for _ in range(rows)]
                weights = emit.at(self.weights, self.take(rows * kind.inputs))
                (sums,) = self.add_inputs([sums], weights, kind.inputs, h, a["stride"])
            else:
                own = [
                    self.loads(h, emit.builder.mul(a["stride"], int64(o)))
                    for o in range(start, stop)
                ]
                sums = (
                    own
                    if sums is None
                    else [
                        [emit.builder.fadd(x, y) for x, y in zip(one, other, strict=True)]
                        for one, other in zip(own, sums, strict=True)
                    ]
                )
            if kind.layer1x1:
                sums = self._pointwise(sums)
            for o, values in enumerate(sums):
                row = emit.builder.mul(a["out_stride"], int64(start + o))
                self.stores(values, a["out"], emit.builder.add(row, self.time))


def conv_function(module: ir.Module, target: Target, kind: ConvKind, name: str) -> ir.Function:
    """Writes the function of a kind of convolution; its arguments are CONV_ARGUMENTS."""
    emit = Emitter(module, target, name, CONV_ARGUMENTS)
    emit.loop(
        emit.arguments["count"],
        target.unit,
        [],
        lambda time, _: _write_conv(emit, kind, time),
    )
    emit.builder.ret_void()
    return emit.function


def _write_conv(emit: Emitter, kind: ConvKind, time: Value) -> list[Value]:
    """One tile in time of a convolution."""
    writer, a = _Writer(emit, time), emit.arguments
    source = writer.ring("source", kind.taps)
    tiles = emit.target.tiles(kind.outputs)
    slopes = kind.outputs * (1 + kind.inputs * kind.taps)
    slopes = slopes if kind.activation and kind.activation.name == "PReLU" else None
    for start, stop in tiles:
        sums = writer.begin(stop - start)
        sums = writer.product(sums, kind.inputs, a["stride"], kind.taps, source)
        for o, values in enumerate(sums, start):
            if kind.activation is not None:
                values = writer.activated(kind.activation, values, slopes, o)
            row = emit.builder.mul(a["out_stride"], int64(o))
            writer.stores(values, a["out"], emit.builder.add(row, time))
    return []


def _flatten(tiles: list[Tile]) -> list[Value]:
    return [value for tile in tiles for row in tile for value in row]


def _unflatten(flat: list[Value], like: list[Tile]) -> list[Tile]:
    values = iter(flat)
    return [[[next(values) for _ in row] for row in tile] for tile in like]
