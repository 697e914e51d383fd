"""One tile of columns of one layer, in one go: all that stays in the nearest caches.

The arithmetic is that of `cached_conv.PairConv`: Toom-Cook over columns and over pairs of rows.
Vectors run over channels. A group is the four columns w, w + e, w + 2e, w + 3e that a transform
gives together, e being the dilation. A tile takes three steps:

1. sums of the three rows that the kernel meets, transformed: V [products, groups, C];
2. for as many outputs as two vectors hold, one of filters and one of their gates: products, the
   transform back, the condition's product, tanh and gate: G [columns, C];
3. the residual's product and the end's.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from llvmlite import ir

from wf_jax.amps.native.emit import FLOAT, INT64, Emitter, Value, int64
from wf_jax.amps.native.target import Target
from wf_jax.flows.native.gate import gated
from wf_jax.flows.toom_cook import OUTPUTS, column_transform

POINTS = 6  # products of F(4, 3)
ROWS = 3  # products of the first row of a pair
GROUPS = 24  # the largest tile
UNROLLED = 4
LINE = 16

TRANSFORM = column_transform(3, transformed=True)
BYTES = 4


@dataclasses.dataclass(frozen=True)
class Kernel:
    """The sizes that code is compiled for: the channels, the conditions, and the processor's.

    Attributes:
        channels: C, a multiple of the lanes.
        conditions: D.
        lanes: float32 numbers in a vector.
        rows: of a product whose sums are in registers together, two vectors each.
    """

    channels: int
    conditions: int
    lanes: int
    rows: int

    @property
    def parts(self) -> int:
        """Vectors of the channels."""
        return self.channels // self.lanes

    @property
    def product(self) -> int:
        """Numbers between the inputs of one product and the next: not a multiple of 1024."""
        return GROUPS * self.channels + LINE

    @property
    def scratch(self) -> dict[str, int]:
        """Numbers that a thread needs, by name."""
        groups, pair = GROUPS, 2 * self.lanes
        return {
            "v": ROWS * POINTS * self.product,
            "s": POINTS * groups * pair,
            "d": POINTS * groups * pair,
            "y": OUTPUTS * groups * pair,
            "g": OUTPUTS * groups * self.channels,
            "columns": 2 * OUTPUTS * groups,  # int64
        }


def tile_function(
    module: ir.Module, target: Target, kernel: Kernel, name: str, *, second: bool
) -> ir.Function:
    """Writes the function of a tile, of the first row of a pair or the second."""
    return _Tile(module, target, kernel, name, second=second).write()


ARGUMENTS = (
    "above2*",
    "above1*",
    "row*",
    "begun*",
    "condition*",
    "next*",
    "end*",
    "weights*",
    "scratch*",
    "dilation",
    "groups",
    "width",
    "start",
    "count",
    "last",
)


class _Tile:
    def __init__(
        self, module: ir.Module, target: Target, kernel: Kernel, name: str, *, second: bool
    ):
        self.emit = Emitter(module, target, name, ARGUMENTS)
        self.builder, self.a = self.emit.builder, self.emit.arguments
        self.kernel, self.second = kernel, second
        self.channels, self.lanes, self.pair = kernel.channels, kernel.lanes, 2 * kernel.lanes
        self.products = 1 if second else ROWS
        offset, self.scratch = 0, {}
        for part, size in kernel.scratch.items():
            self.scratch[part] = self.emit.at(self.a["scratch"], offset)
            offset += size

    def write(self) -> ir.Function:
        emit, builder, a = self.emit, self.builder, self.a
        emit.loop(a["count"], 1, [], self._group)
        rows = builder.mul(a["count"], int64(OUTPUTS))

        def part(j: Value, values: list[Value]) -> list[Value]:
            (self.weights,) = values
            self._products()
            self._back(j)
            self._gates(j, rows)
            return [self.weights]

        (self.weights,) = emit.loop(int64(self.kernel.parts), 1, [a["weights"]], part)
        with emit.only_if(builder.icmp_signed("==", a["last"], int64(0))):
            self._residual(rows)
        self._end(rows)
        builder.ret_void()
        return emit.function

    # Step 1

    def _group(self, g: Value, _: list[Value]) -> list[Value]:
        """Transforms the rows of a group; groups that are none lie behind the last column."""
        emit, builder, a = self.emit, self.builder, self.a
        n, e = builder.add(a["start"], g), a["dilation"]
        base = builder.add(n, builder.mul(builder.mul(e, int64(3)), builder.sdiv(n, e)))
        base = builder.select(builder.icmp_signed("<", n, a["groups"]), base, a["width"])
        columns = [builder.add(base, builder.mul(e, int64(k))) for k in range(-1, OUTPUTS + 1)]
        place = emit.at(self.scratch["columns"], builder.mul(g, int64(2 * OUTPUTS)))
        for k in range(OUTPUTS):
            self._store_int(columns[k + 1], place, k)
        starts = [builder.mul(column, int64(self.channels)) for column in columns]
        target = emit.at(self.scratch["v"], builder.mul(g, int64(self.channels)))

        def vector(c: Value) -> None:
            def row(name: str) -> list[Value]:
                return [emit.load(a[name], builder.add(s, c)) for s in starts]

            if self.second:
                sums = [self._each(builder.fsub, row("above2"), row("row"))]
            else:
                x0, x1, x2 = row("above2"), row("above1"), row("row")
                sums = [
                    self._each(builder.fsub, x0, x2),
                    self._each(builder.fadd, x1, x2),
                    self._each(builder.fsub, x2, x1),
                ]
            for q, columns in enumerate(sums):
                for p, value in enumerate(self._transformed(TRANSFORM.forward, columns)):
                    offset = (p * self.products + q) * self.kernel.product
                    emit.store(value, emit.at(target, offset), c)

        def line(c: Value, _: list[Value]) -> list[Value]:
            for v in range(0, LINE, self.lanes):
                vector(builder.add(c, int64(v)))
            return []

        emit.loop(int64(self.channels), LINE, [], line)
        return []

    def _each(self, how: Callable, one: list[Value], other: list[Value]) -> list[Value]:
        return [how(x, y) for x, y in zip(one, other, strict=True)]

    def _transformed(self, matrix: np.ndarray, values: Sequence[Value]) -> list[Value]:
        """A matrix times vectors; what two rows share but for signs is computed once."""
        return _products_of(self.emit, matrix, values)

    # Step 2

    def _products(self) -> None:
        """The products of all groups for two vectors of outputs, point by point."""
        emit, builder, a = self.emit, self.builder, self.a
        block = self.channels * self.pair  # weights of one product

        def point(p: Value, values: list[Value]) -> list[Value]:
            (weights,) = values
            v = emit.at(
                self.scratch["v"], builder.mul(p, int64(self.products * self.kernel.product))
            )
            out = builder.mul(p, int64(GROUPS * self.pair))

            def rows(g: Value, _: list[Value]) -> list[Value]:
                here = emit.at(v, builder.mul(g, int64(self.channels)))
                place = builder.add(out, builder.mul(g, int64(self.pair)))

                def product(q: int, sums: list) -> list:
                    x = emit.at(here, q * self.kernel.product)
                    inputs = [emit.at(x, r * self.channels) for r in range(self.kernel.rows)]
                    return self._sum(sums, inputs, self.channels, emit.at(weights, q * block))

                zero = [[emit.constant(0.0)] * 2 for _ in range(self.kernel.rows)]
                if self.second:
                    sums = product(0, zero)
                else:
                    m1, m2 = product(1, zero), product(2, zero)
                    difference = self._rows(builder.fsub, m1, m2)
                    self._store_rows(difference, emit.at(self.scratch["d"], place))
                    sums = product(0, self._rows(builder.fadd, m1, m2))
                self._store_rows(sums, emit.at(self.scratch["s"], place))
                return []

            emit.loop(a["count"], self.kernel.rows, [], rows)
            return [emit.at(weights, self.products * block)]

        (self.weights,) = emit.loop(int64(POINTS), 1, [self.weights], point)

    def _back(self, j: Value) -> None:
        """Transforms sums back to columns, and goes on with the pair."""
        emit, builder, a = self.emit, self.builder, self.a
        # begun [C / lanes, groups, 4, 2 lanes]
        stride = builder.mul(a["groups_padded"] if "groups_padded" in a else self._padded(), int64(OUTPUTS * self.pair))
        begun = emit.at(a["begun"], builder.mul(j, stride))
        begun = emit.at(begun, builder.mul(a["start"], int64(OUTPUTS * self.pair)))
        bias = [emit.load(self.weights, u * self.lanes) for u in range(2)]
        self.weights = emit.at(self.weights, self.pair)

        def group(g: Value, _: list[Value]) -> list[Value]:
            inputs = builder.mul(g, int64(self.pair))
            outputs = builder.mul(g, int64(OUTPUTS * self.pair))
            y, state = emit.at(self.scratch["y"], outputs), emit.at(begun, outputs)

            def points(name: str, u: int) -> list[Value]:
                place = emit.at(self.scratch[name], inputs)
                offsets = [p * GROUPS * self.pair + u * self.lanes for p in range(POINTS)]
                return [emit.load(place, offset) for offset in offsets]

            for u in range(2):
                back = self._transformed(TRANSFORM.inverse, points("s", u))
                for k, value in enumerate(back):
                    index = k * self.pair + u * self.lanes
                    if self.second:
                        value = builder.fsub(emit.load(state, index), value)
                    emit.store(builder.fadd(value, bias[u]), y, index)
                if not self.second:
                    for k, value in enumerate(
                        self._transformed(TRANSFORM.inverse, points("d", u))
                    ):
                        emit.store(value, state, k * self.pair + u * self.lanes)
            return []

        emit.loop(a["count"], 1, [], group)

    def _padded(self) -> Value:
        """Groups in the state: those of whole tiles."""
        return self.builder.add(self.a["groups"], int64(GROUPS))

    def _gates(self, j: Value, rows: Value) -> None:
        """The condition's product, tanh and gate."""
        emit, builder, kernel = self.emit, self.builder, self.kernel
        target = emit.at(self.scratch["g"], builder.mul(j, int64(self.lanes)))

        def some(first: Value, _: list[Value]) -> list[Value]:
            y = emit.at(self.scratch["y"], builder.mul(first, int64(self.pair)))
            sums = [
                [emit.load(y, r * self.pair + u * self.lanes) for u in range(2)]
                for r in range(kernel.rows)
            ]
            columns = self._columns(first)
            inputs = [
                emit.at(self.a["condition"], builder.mul(column, int64(kernel.conditions)))
                for column in columns
            ]
            sums = self._sum(sums, inputs, kernel.conditions, self.weights)
            here = emit.at(target, builder.mul(first, int64(self.channels)))
            for r, (filtered, gate) in enumerate(sums):
                emit.store(gated(emit, filtered, gate), here, r * self.channels)
            return []

        emit.loop(rows, kernel.rows, [], some)
        self.weights = emit.at(self.weights, kernel.conditions * self.pair)

    # Step 3

    def _residual(self, rows: Value) -> None:
        emit, builder, a, kernel = self.emit, self.builder, self.a, self.kernel
        vectors = 1 + (kernel.parts % 2 == 0)
        outputs = vectors * self.lanes
        weights = emit.at(self.weights, 2 * self.channels)

        def part(j: Value, values: list[Value]) -> list[Value]:
            (weights,) = values
            bias = [emit.load(weights, u * self.lanes) for u in range(vectors)]
            matrix = emit.at(weights, outputs)
            offset = builder.mul(j, int64(outputs))

            def some(first: Value, _: list[Value]) -> list[Value]:
                columns = self._columns(first)
                starts = [builder.mul(column, int64(self.channels)) for column in columns]
                places = [builder.add(start, offset) for start in starts]
                sums = [
                    [
                        builder.fadd(
                            emit.load(emit.at(a["row"], place), u * self.lanes), bias[u]
                        )
                        for u in range(vectors)
                    ]
                    for place in places
                ]
                g = emit.at(self.scratch["g"], builder.mul(first, int64(self.channels)))
                inputs = [emit.at(g, r * self.channels) for r in range(kernel.rows)]
                sums = self._sum(sums, inputs, self.channels, matrix)
                for column, place, values in zip(columns, places, sums, strict=True):
                    inside = builder.icmp_signed("<", column, a["width"])
                    for u, value in enumerate(values):
                        value = builder.select(inside, value, emit.constant(0.0))
                        emit.store(value, emit.at(a["next"], place), u * self.lanes)
                return []

            emit.loop(rows, kernel.rows, [], some)
            return [emit.at(matrix, self.channels * outputs)]

        emit.loop(int64(self.channels // outputs), 1, [weights], part)

    def _end(self, rows: Value) -> None:
        """Adds to the net's outputs, as vectors [2] whose lanes are still to be summed."""
        emit, builder = self.emit, self.builder
        ends = [
            [emit.load(self.weights, o * self.channels + v * self.lanes) for o in range(2)]
            for v in range(self.kernel.parts)
        ]

        def one(row: Value, _: list[Value]) -> list[Value]:
            (column,) = self._columns(row, 1)
            place = emit.at(self.a["end"], builder.mul(column, int64(self.pair)))
            sums = [emit.load(place, o * self.lanes) for o in range(2)]
            g = emit.at(self.scratch["g"], builder.mul(row, int64(self.channels)))
            for v, weights in enumerate(ends):
                x = emit.load(g, v * self.lanes)
                sums = [emit.fma(x, w, s) for w, s in zip(weights, sums, strict=True)]
            for o, value in enumerate(sums):
                emit.store(value, place, o * self.lanes)
            return []

        emit.loop(rows, 1, [], one)

    # Products

    def _sum(
        self, sums: list[list[Value]], inputs: list[Value], count: int, weights: Value
    ) -> list[list[Value]]:
        """Adds inputs [rows, count] times weights [count, vectors] to sums [rows][vectors]."""
        emit, vectors = self.emit, len(sums[0])
        size = vectors * self.lanes

        def steps(k: Value, sums: list[list[Value]], many: int, weights: Value) -> list:
            for i in range(many):
                w = [emit.load(weights, i * size + u * self.lanes) for u in range(vectors)]
                for r, x in enumerate(inputs):
                    number = emit.broadcast(emit.at(x, k), i)
                    sums[r] = [emit.fma(number, w[u], sums[r][u]) for u in range(vectors)]
            return sums

        def some(k: Value, values: list[Value]) -> list[Value]:
            weights, *flat = values
            rows = [flat[r * vectors : (r + 1) * vectors] for r in range(len(inputs))]
            rows = steps(k, rows, UNROLLED, weights)
            return [emit.at(weights, UNROLLED * size), *(v for row in rows for v in row)]

        whole = count - count % UNROLLED
        sums = [list(row) for row in sums]
        if whole:
            flat = [v for row in sums for v in row]
            weights, *flat = emit.loop(int64(whole), UNROLLED, [weights, *flat], some)
            sums = [flat[r * vectors : (r + 1) * vectors] for r in range(len(inputs))]
        return steps(int64(whole), sums, count - whole, weights)

    def _rows(self, how: Callable, one: list, other: list) -> list:
        return [self._each(how, x, y) for x, y in zip(one, other, strict=True)]

    def _store_rows(self, sums: list[list[Value]], place: Value) -> None:
        for r, row in enumerate(sums):
            for u, value in enumerate(row):
                self.emit.store(value, place, r * self.pair + u * self.lanes)

    # Columns

    def _columns(self, first: Value, count: int | None = None) -> list[Value]:
        place = self.emit.at(self.scratch["columns"], self.builder.mul(first, int64(2)))
        return [
            self.builder.load(
                self.builder.gep(place, [int64(r)], source_etype=INT64), align=8, typ=INT64
            )
            for r in range(self.kernel.rows if count is None else count)
        ]

    def _store_int(self, value: Value, place: Value, index: int) -> None:
        at = self.builder.gep(place, [int64(index)], source_etype=INT64)
        self.builder.store(value, at, align=8)


def _products_of(emit: Emitter, matrix: np.ndarray, values: Sequence[Value]) -> list[Value]:
    """Computes matrix @ values; even and odd parts of rows that differ in signs are shared."""
    builder, known = emit.builder, {}

    def combined(coefficients: tuple[float, ...]) -> Value | None:
        """The sum, but for its sign and scale: found if known."""
        if coefficients in known:
            return known[coefficients]
        result = None
        for coefficient, value in zip(coefficients, values, strict=True):
            if not coefficient:
                continue
            if result is None:
                one = coefficient == 1
                result = value if one else builder.fmul(value, emit.constant(coefficient))
            elif coefficient in (1, -1):
                result = (builder.fadd if coefficient == 1 else builder.fsub)(result, value)
            else:
                result = emit.fma(value, emit.constant(coefficient), result)
        known[coefficients] = result
        return result

    rows = [tuple(float(c) for c in row) for row in matrix]
    results: list[Value] = []
    for row in rows:
        mirror = next((other for other in rows if other != row and _mirrored(row, other)), None)
        if mirror is None:
            results.append(combined(row))
            continue
        same = combined(tuple(c if c == d else 0.0 for c, d in zip(row, mirror, strict=True)))
        first = min(row, mirror)
        other = combined(tuple(c if c != d else 0.0 for c, d in zip(first, max(row, mirror))))
        results.append((builder.fadd if row == first else builder.fsub)(same, other))
    return results


def _mirrored(row: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """True if rows differ in the signs of some, not all."""
    pairs = list(zip(row, other, strict=True))
    return all(abs(c) == abs(d) for c, d in pairs) and any(c == d != 0 for c, d in pairs)
