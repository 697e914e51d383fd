"""The gradient of a convolution's kernel and bias: sums of products over a block of time.

    dK[k, p, q] = sum over t of g[p, t] x[q, t - (taps - 1 - k) dilation],    db[p] = sum g[p, t]

A tile of p and q is added up in registers. Then the lanes of its vectors are added, as many vectors
at a time as a vector has lanes, and the totals to those of other blocks.
"""

import dataclasses
import itertools

import numpy as np
from llvmlite import ir

from wf_jax.native.emit import INT32, Emitter, Value, int64
from wf_jax.native.target import Target

ARGUMENTS = (
    *("gradient*", "gradient_stride", "source*", "source_stride", "dilation"),
    *("out*", "count"),
)


@dataclasses.dataclass(frozen=True)
class ProductsKind:
    """The shape of a kernel, and whether it has a bias."""

    outputs: int
    inputs: int
    taps: int
    bias: bool


def products_order(
    kind: ProductsKind, target: Target, kernel: np.ndarray, bias: np.ndarray | None
) -> np.ndarray:
    """Puts the numbers of a kernel [O, I, K] and bias [O] into the order of what comes out.

    Zeros stand where nothing comes out.
    """
    tiles = [
        kernel[rows.start : rows.stop, columns.start : columns.stop, k]
        for k in range(kind.taps)
        for rows, columns in itertools.product(*_tiles(kind, target))
    ]
    if kind.bias:
        tiles += [bias[rows.start : rows.stop] for rows in _tiles(kind, target)[0]]
    lanes = target.lanes
    return np.concatenate([np.pad(np.ravel(t), (0, -t.size % lanes)) for t in tiles])


def products_function(
    module: ir.Module, target: Target, kind: ProductsKind, name: str
) -> ir.Function:
    """Writes the function of a kind; its arguments are ARGUMENTS."""
    return _Products(module, target, kind, name).write()


def _tiles(kind: ProductsKind, target: Target) -> tuple[list[range], list[range]]:
    """The outputs and the inputs of all tiles.

    The sums of one, a vector of each of its outputs, and one of an input fit into registers.
    """
    most = 4 if target.registers >= 32 else 3
    return _even(kind.outputs, most), _even(kind.inputs, 4)


def _even(rows: int, most: int) -> list[range]:
    """Divides rows into ranges of at most so many, as even as can be."""
    count = -(-rows // most)
    ends = [rows * i // count for i in range(count + 1)]
    return [range(*pair) for pair in itertools.pairwise(ends)]


class _Products:
    def __init__(self, module: ir.Module, target: Target, kind: ProductsKind, name: str):
        self.kind, self.emit = kind, Emitter(module, target, name, ARGUMENTS)
        self.outputs, self.inputs = _tiles(kind, target)
        self.out = self.emit.arguments["out"]  # where the next totals go

    def write(self) -> ir.Function:
        emit, kind, a = self.emit, self.kind, self.emit.arguments

        def tap(k: Value, values: list[Value]) -> list[Value]:
            (self.out,) = values
            back = emit.builder.mul(emit.builder.sub(int64(kind.taps - 1), k), a["dilation"])
            source = emit.at(a["source"], emit.builder.neg(back))
            for rows, columns in itertools.product(self.outputs, self.inputs):
                self._products(source, rows, columns)
            return [self.out]

        (self.out,) = emit.loop(int64(kind.taps), 1, [self.out], tap)
        if kind.bias:
            for rows in self.outputs:
                self._sums(rows)
        emit.builder.ret_void()
        return emit.function

    def _products(self, source: Value, rows: range, columns: range) -> None:
        """Adds the products of some outputs and inputs."""
        emit, a = self.emit, self.emit.arguments
        gs = [self._row(a["gradient"], a["gradient_stride"], p) for p in rows]
        xs = [self._row(source, a["source_stride"], q) for q in columns]

        def add(t: Value, sums: list[Value]) -> list[Value]:
            g, x = ([emit.load(row, t) for row in each] for each in (gs, xs))
            pairs = itertools.product(g, x)
            return [emit.fma(*pair, each) for pair, each in zip(pairs, sums, strict=True)]

        zeros = [emit.constant(0.0)] * (len(gs) * len(xs))
        self._keep(emit.loop(a["count"], emit.lanes, zeros, add))

    def _sums(self, rows: range) -> None:
        """Adds up some outputs."""
        emit, a = self.emit, self.emit.arguments
        gs = [self._row(a["gradient"], a["gradient_stride"], p) for p in rows]

        def add(t: Value, sums: list[Value]) -> list[Value]:
            pairs = zip(gs, sums, strict=True)
            return [emit.builder.fadd(each, emit.load(row, t)) for row, each in pairs]

        self._keep(emit.loop(a["count"], emit.lanes, [emit.constant(0.0)] * len(gs), add))

    def _row(self, pointer: Value, stride: Value, index: int) -> Value:
        return self.emit.at(pointer, self.emit.builder.mul(stride, int64(index)))

    def _keep(self, sums: list[Value]) -> None:
        """Adds the totals of vectors to what is there."""
        emit = self.emit
        for start in range(0, len(sums), emit.lanes):
            total = self._totals(sums[start : start + emit.lanes])
            emit.store(emit.builder.fadd(emit.load(self.out), total), self.out)
            self.out = emit.at(self.out, emit.lanes)

    def _totals(self, vectors: list[Value]) -> Value:
        """One vector: in lane i the sum of all lanes of vector i.

        In each round pairs of vectors become one, whose lower half of each group of lanes is of the
        first of them.
        """
        emit, lanes = self.emit, self.emit.lanes
        vectors = vectors + [emit.constant(0.0)] * (lanes - len(vectors))
        index = ir.VectorType(INT32, lanes)
        width = lanes
        while width > 1:
            half = width // 2
            groups = [range(start, start + width) for start in range(0, lanes, width)]
            lower = [i + n for g in groups for i in (g[0], lanes + g[0]) for n in range(half)]
            upper = [i + half for i in lower]
            one, other = ir.Constant(index, lower), ir.Constant(index, upper)
            pairs = zip(vectors[: len(vectors) // 2], vectors[len(vectors) // 2 :], strict=True)
            vectors = [
                emit.builder.fadd(
                    emit.builder.shuffle_vector(a, b, one), emit.builder.shuffle_vector(a, b, other)
                )
                for a, b in pairs
            ]
            width = half
        return vectors[0]
