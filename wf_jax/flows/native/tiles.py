"""One tile of columns through one layer in one go, so that all stays in the nearest caches.

The arithmetic is that of `cached_conv.PairConv`, for height dilations above 1 too: rows so far
apart are sequences of their own. Vectors run over channels. A group is the columns w, w + e, ...
that a transform gives together, e being the dilation. A tile takes three steps:

1. sums of the rows that the kernel meets, transformed: V [points, products, groups, C];
2. for as many outputs as two vectors hold, one of filters and one of their gates: the products, the
   transform back, the condition's product, and the gate: G [columns, C];
3. the residual's product and the end's.
"""

from collections.abc import Callable, Sequence

import numpy as np
from llvmlite import ir

from wf_jax.flows.native.gate import gated
from wf_jax.flows.native.kernel import GROUPS, OUTPUTS, POINTS, TRANSFORM, Kernel
from wf_jax.native.emit import INT64, Emitter, Value, int64

UNROLLED = 4  # inputs of a product that are written out

ROWS = ("above2*", "above1*", "row*", "next*")  # [., C] from column 0: of this layer, the next
OTHERS = ("begun*", "condition*", "end*", "weights*", "scratch*")
NUMBERS = ("dilation", "groups", "width", "start", "count", "last")
ARGUMENTS = (*ROWS, *OTHERS, *NUMBERS)

Sums = list[list[Value]]  # [rows][vectors] of a product


def tile_function(module: ir.Module, kernel: Kernel, name: str, *, second: bool) -> ir.Function:
    """Writes the function of a tile, of the first row of a pair or the second.

    Its arguments beside rows: what the pair's first row leaves to the second [C / lanes, groups +
    GROUPS, OUTPUTS, 2, lanes], the condition [., D], the outputs [., 2, lanes] whose lanes are
    still to be summed, weights in the order of weights.py, scratch; the groups of the whole row
    and its width, of the tile the first group and their count, a multiple of `kernel.rows`; and 1
    for the last layer, which has no next.
    """
    return _Tile(module, kernel, name, second=second).write()


class _Tile:
    def __init__(self, module: ir.Module, kernel: Kernel, name: str, *, second: bool):
        self.emit = Emitter(module, kernel.target, name, ARGUMENTS)
        self.builder, self.a = self.emit.builder, self.emit.arguments
        self.kernel, self.second = kernel, second
        self.channels, self.lanes, self.pair = kernel.channels, kernel.lanes, 2 * kernel.lanes
        self.products = 1 if second else 3
        self.weights = self.a["weights"]
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

        (self.weights,) = emit.loop(int64(self.kernel.parts), 1, [self.weights], part)
        self._end(rows)
        with emit.only_if(builder.icmp_signed("==", a["last"], int64(0))):
            self._residual(rows)
        builder.ret_void()
        return emit.function

    # Step 1

    def _group(self, g: Value, _: list[Value]) -> list[Value]:
        """Transforms rows at a group; one that fills up the tile lies behind the last column."""
        emit, builder, a = self.emit, self.builder, self.a
        n, e = builder.add(a["start"], g), a["dilation"]
        whole = builder.mul(builder.mul(e, int64(OUTPUTS - 1)), builder.sdiv(n, e))
        real = builder.icmp_signed("<", n, a["groups"])
        base = builder.select(real, builder.add(n, whole), a["width"])
        columns = [builder.add(base, builder.mul(e, int64(k))) for k in range(-1, OUTPUTS + 1)]
        for k, column in enumerate(columns[1:-1]):
            builder.store(column, self._column(builder.mul(g, int64(OUTPUTS)), k), align=8)
        starts = [builder.mul(column, int64(self.channels)) for column in columns]
        target = emit.at(self.scratch["v"], builder.mul(g, int64(self.channels)))
        pairs = [("above2", "row"), ("above1", "row"), ("row", "above1")]
        combine = [builder.fsub, builder.fadd, builder.fsub]
        step = self.kernel.vectors * self.lanes
        for q in range(self.products):  # in turn: three at once are more than registers hold

            def some(c: Value, _: list[Value], q: int = q) -> list[Value]:
                for v in range(self.kernel.vectors):
                    index = builder.add(c, int64(v * self.lanes))
                    places = [builder.add(start, index) for start in starts]
                    one, other = ([emit.load(a[n], place) for place in places] for n in pairs[q])
                    values = transformed(emit, TRANSFORM.forward, _each(combine[q], one, other))
                    for p, value in enumerate(values):
                        offset = (p * self.products + q) * self.kernel.product
                        emit.store(value, emit.at(target, offset), index)
                return []

            emit.loop(int64(self.channels), step, [], some)
        return []

    # Step 2

    def _products(self) -> None:
        """Computes the products of all groups for two vectors of outputs, point by point."""
        emit, builder, kernel = self.emit, self.builder, self.kernel
        block = self.channels * self.pair  # weights of one product
        zero = [[emit.constant(0.0)] * 2 for _ in range(kernel.rows)]

        def point(p: Value, values: list[Value]) -> list[Value]:
            (weights,) = values
            offset = builder.mul(p, int64(self.products * kernel.product))
            v, out = emit.at(self.scratch["v"], offset), builder.mul(p, int64(GROUPS * self.pair))

            def rows(g: Value, _: list[Value]) -> list[Value]:
                here = emit.at(v, builder.mul(g, int64(self.channels)))
                place = builder.add(out, builder.mul(g, int64(self.pair)))

                def product(q: int, sums: Sums) -> Sums:
                    inputs = self._rows(emit.at(here, q * kernel.product))
                    return self._sum(sums, inputs, self.channels, emit.at(weights, q * block))

                sums = zero
                if not self.second:
                    m1, m2 = product(1, zero), product(2, zero)
                    difference = [_each(builder.fsub, x, y) for x, y in zip(m1, m2, strict=True)]
                    self._store(difference, emit.at(self.scratch["d"], place))
                    sums = [_each(builder.fadd, x, y) for x, y in zip(m1, m2, strict=True)]
                self._store(product(0, sums), emit.at(self.scratch["s"], place))
                return []

            emit.loop(self.a["count"], kernel.rows, [], rows)
            return [emit.at(weights, self.products * block)]

        (self.weights,) = emit.loop(int64(POINTS), 1, [self.weights], point)

    def _back(self, j: Value) -> None:
        """Transforms back to columns, leaves the second row its part or takes it; adds the bias."""
        emit, builder, a = self.emit, self.builder, self.a
        size = OUTPUTS * self.pair
        first = builder.mul(j, builder.add(a["groups"], int64(GROUPS)))
        begun = emit.at(a["begun"], builder.mul(builder.add(first, a["start"]), int64(size)))
        bias = [emit.load(self.weights, u * self.lanes) for u in range(2)]
        self.weights = emit.at(self.weights, self.pair)

        def group(g: Value, _: list[Value]) -> list[Value]:
            index = builder.mul(g, int64(size))
            y, state = emit.at(self.scratch["y"], index), emit.at(begun, index)

            def columns(name: str, u: int) -> list[Value]:
                place = emit.at(self.scratch[name], builder.mul(g, int64(self.pair)))
                offsets = [p * GROUPS * self.pair + u * self.lanes for p in range(POINTS)]
                values = [emit.load(place, offset) for offset in offsets]
                return transformed(emit, TRANSFORM.inverse, values)

            for u in range(2):
                places = [k * self.pair + u * self.lanes for k in range(OUTPUTS)]
                for place, value in zip(places, columns("s", u), strict=True):
                    if self.second:
                        value = builder.fsub(emit.load(state, place), value)
                    emit.store(builder.fadd(value, bias[u]), y, place)
                if not self.second:
                    for place, value in zip(places, columns("d", u), strict=True):
                        emit.store(value, state, place)
            return []

        emit.loop(a["count"], 1, [], group)

    def _gates(self, j: Value, rows: Value) -> None:
        """Adds the condition's product, and applies the gate."""
        emit, builder, kernel = self.emit, self.builder, self.kernel
        target = emit.at(self.scratch["g"], builder.mul(j, int64(self.lanes)))

        def some(first: Value, _: list[Value]) -> list[Value]:
            y = emit.at(self.scratch["y"], builder.mul(first, int64(self.pair)))
            sums = [
                [emit.load(y, r * self.pair + u * self.lanes) for u in range(2)]
                for r in range(kernel.rows)
            ]
            starts = [
                builder.mul(column, int64(kernel.conditions)) for column in self._columns(first)
            ]
            inputs = [emit.at(self.a["condition"], start) for start in starts]
            sums = self._sum(sums, inputs, kernel.conditions, self.weights)
            here = emit.at(target, builder.mul(first, int64(self.channels)))
            for r, (filtered, gate) in enumerate(sums):
                emit.store(gated(emit, filtered, gate), here, r * self.channels)
            return []

        emit.loop(rows, kernel.rows, [], some)
        self.weights = emit.at(self.weights, kernel.conditions * self.pair)

    # Step 3

    def _end(self, rows: Value) -> None:
        """Adds to the net's outputs."""
        emit, builder = self.emit, self.builder
        places = [v * self.lanes for v in range(self.kernel.parts)]
        ends = [[emit.load(self.weights, o * self.channels + v) for o in range(2)] for v in places]
        self.weights = emit.at(self.weights, 2 * self.channels)

        def one(row: Value, _: list[Value]) -> list[Value]:
            (column,) = self._columns(row, 1)
            place = emit.at(self.a["end"], builder.mul(column, int64(self.pair)))
            sums = [emit.load(place, o * self.lanes) for o in range(2)]
            g = emit.at(self.scratch["g"], builder.mul(row, int64(self.channels)))
            for v, weights in zip(places, ends, strict=True):
                x = emit.load(g, v)
                sums = [emit.fma(x, w, total) for w, total in zip(weights, sums, strict=True)]
            self._store([sums], place)
            return []

        emit.loop(rows, 1, [], one)

    def _residual(self, rows: Value) -> None:
        """Writes the next layer's row, zeros behind the last column."""
        emit, builder, a, kernel = self.emit, self.builder, self.a, self.kernel
        vectors, outputs = kernel.vectors, kernel.vectors * self.lanes

        def part(j: Value, values: list[Value]) -> list[Value]:
            (weights,) = values
            bias = [emit.load(weights, u * self.lanes) for u in range(vectors)]
            matrix = emit.at(weights, outputs)
            offset = builder.mul(j, int64(outputs))

            def some(first: Value, _: list[Value]) -> list[Value]:
                columns = self._columns(first)
                places = [
                    builder.add(builder.mul(column, int64(self.channels)), offset)
                    for column in columns
                ]
                sums = []
                for place in places:
                    h = [
                        emit.load(emit.at(a["row"], place), u * self.lanes) for u in range(vectors)
                    ]
                    sums.append(_each(builder.fadd, h, bias))
                g = emit.at(self.scratch["g"], builder.mul(first, int64(self.channels)))
                sums = self._sum(sums, self._rows(g), self.channels, matrix)
                for column, place, values in zip(columns, places, sums, strict=True):
                    inside = builder.icmp_signed("<", column, a["width"])
                    for u, value in enumerate(values):
                        value = builder.select(inside, value, emit.constant(0.0))
                        emit.store(value, emit.at(a["next"], place), u * self.lanes)
                return []

            emit.loop(rows, kernel.rows, [], some)
            return [emit.at(matrix, self.channels * outputs)]

        emit.loop(int64(self.channels // outputs), 1, [self.weights], part)

    # Products

    def _sum(self, sums: Sums, inputs: list[Value], count: int, weights: Value) -> Sums:
        """Adds inputs [rows][count] times weights [count, vectors] to sums [rows][vectors]."""
        emit, vectors = self.emit, len(sums[0])
        size, whole = vectors * self.lanes, count - count % UNROLLED

        def steps(k: Value, sums: Sums, many: int, weights: Value) -> Sums:
            for i in range(many):
                w = [emit.load(weights, i * size + u * self.lanes) for u in range(vectors)]
                numbers = [emit.broadcast(emit.at(x, k), i) for x in inputs]
                sums = [
                    [emit.fma(number, weight, total) for weight, total in zip(w, row, strict=True)]
                    for number, row in zip(numbers, sums, strict=True)
                ]
            return sums

        def rows(flat: list[Value]) -> Sums:
            return [flat[i : i + vectors] for i in range(0, len(flat), vectors)]

        def some(k: Value, values: list[Value]) -> list[Value]:
            weights, *flat = values
            flat = _flat(steps(k, rows(flat), UNROLLED, weights))
            return [emit.at(weights, UNROLLED * size), *flat]

        if whole:
            weights, *flat = emit.loop(int64(whole), UNROLLED, [weights, *_flat(sums)], some)
            sums = rows(flat)
        return steps(int64(whole), sums, count - whole, weights)

    def _rows(self, first: Value) -> list[Value]:
        """Returns the places of as many rows [C] as a product takes at once."""
        return [self.emit.at(first, r * self.channels) for r in range(self.kernel.rows)]

    def _store(self, sums: Sums, place: Value) -> None:
        for i, value in enumerate(_flat(sums)):
            self.emit.store(value, place, i * self.lanes)

    # Columns of the tile's rows, group by group

    def _column(self, first: Value, index: int) -> Value:
        place = self.builder.gep(self.scratch["columns"], [first], source_etype=INT64)
        return self.builder.gep(place, [int64(index)], source_etype=INT64)

    def _columns(self, first: Value, count: int | None = None) -> list[Value]:
        places = (self._column(first, r) for r in range(count or self.kernel.rows))
        return [self.builder.load(place, align=8, typ=INT64) for place in places]


def transformed(emit: Emitter, matrix: np.ndarray, values: Sequence[Value]) -> list[Value]:
    """Computes matrix @ values; what two rows share but for signs is computed once."""
    builder, known = emit.builder, {}

    def combined(row: tuple[float, ...]) -> Value:
        if row not in known:
            terms = [(c, value) for c, value in zip(row, values, strict=True) if c]
            (c, value), *others = sorted(terms, key=lambda term: term[0] != 1)
            total = value if c == 1 else builder.fmul(value, emit.constant(c))
            for c, value in others:
                if abs(c) == 1:
                    total = (builder.fadd if c == 1 else builder.fsub)(total, value)
                else:
                    total = emit.fma(value, emit.constant(c), total)
            known[row] = total
        return known[row]

    rows, results = [tuple(map(float, row)) for row in matrix], []
    for row in rows:
        mirror = next((other for other in rows if _mirrored(row, other)), None)
        if mirror is None:
            results.append(combined(row))
            continue
        low, high = sorted([row, mirror])
        pairs = list(zip(low, high, strict=True))
        same = combined(tuple(c if c == d else 0.0 for c, d in pairs))
        other = combined(tuple(d if c != d else 0.0 for c, d in pairs))
        results.append((builder.fadd if row == high else builder.fsub)(same, other))
    return results


def _mirrored(row: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Returns True for rows that differ in the signs of some, not all."""
    pairs = list(zip(row, other, strict=True))
    same = all(abs(c) == abs(d) for c, d in pairs)
    return row != other and same and any(c == d != 0 for c, d in pairs)


def _each(combine: Callable, one: Sequence[Value], other: Sequence[Value]) -> list[Value]:
    return [combine(x, y) for x, y in zip(one, other, strict=True)]


def _flat(sums: Sums) -> list[Value]:
    return [value for row in sums for value in row]
