"""Products over one tile in time: what layers and convolutions have in common.

Within a tile a product begins with its bias, then adds tap after tap and input after input to sums
that stay in registers. Weights are read in the order in which `weights.py` stores them.
Outputs, taps and inputs are loops, so that code is short: what is written out is what fills the
registers once.
"""

import itertools
from collections.abc import Callable

from wf_jax.amps.activations import Activation
from wf_jax.amps.native.activations import activate
from wf_jax.native.emit import Emitter, Value, int64

UNROLLED = 4  # inputs of a product that are written out; more are a loop over so many
FEW = 3  # tiles of outputs that are written out; more are a loop
SUMS = 8  # that a processor adds to at once: latency 4, two units

Row = list[Value]  # vectors of one channel, side by side in time
Sums = list[Row]  # of several outputs


class Tile:
    """One tile in time of a step: its samples are `time` to `time` + target.unit of the block."""

    def __init__(self, emit: Emitter, time: Value):
        """Begins at `time` of the block, with the step's first weights."""
        self.emit, self.builder, self.time = emit, emit.builder, time
        self.arguments, self.vectors = emit.arguments, emit.target.vectors
        self.weights = emit.arguments["weights"]  # those that come next

    # Rows of a signal

    def row(self, pointer: Value, stride: Value, channel: Value | int) -> Value:
        """The address of the tile in a channel."""
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
        """The address of the tile as one tap sees it in the source, a ring."""
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

    def begin(self, rows: int) -> Sums:
        """Sums that begin as their bias."""
        place = self.take(rows)
        return [[self.emit.broadcast(place, o)] * self.vectors for o in range(rows)]

    def add(self, sums: Sums, inputs: int, source: Value, stride: Value) -> Sums:
        """Adds the next weights times so many inputs to sums."""
        (sums,) = self._inputs([sums], inputs, source, stride)
        return sums

    def convolve(
        self, sums: Sums, inputs: int, stride: Value, taps: int, source: Callable[[Value], Value]
    ) -> Sums:
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

    def sum(self, one: Sums, other: Sums) -> Sums:
        """Adds two tiles."""
        return [
            [self.builder.fadd(a, b) for a, b in zip(row, more, strict=True)]
            for row, more in zip(one, other, strict=True)
        ]

    def _inputs(self, split: list[Sums], inputs: int, source: Value, stride: Value) -> list[Sums]:
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
        self, split: list[Sums], inputs: int, source: Value, stride: Value
    ) -> list[Sums]:
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


def _flatten(tiles: list[Sums]) -> list[Value]:
    return [value for tile in tiles for row in tile for value in row]


def _unflatten(flat: list[Value], like: list[Sums]) -> list[Sums]:
    values = iter(flat)
    return [[[next(values) for _ in row] for row in tile] for tile in like]
