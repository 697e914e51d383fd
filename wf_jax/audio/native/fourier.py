"""Fourier transforms of a power of two, of as many signals at once as a vector has lanes.

Number n of all signals stands at `2 * lanes * n`: a vector of real parts, then one of imaginary
parts. The forward transform works in place by decimation in frequency, four parts at a time, and
leaves bin k at number `places(size)[k]`. The inverse takes the bins from there, by the same steps
the other way round, and gives the signals `size` times as large.
"""

import numpy as np
from llvmlite import ir

from wf_jax.native.emit import Emitter, Value, int64, table
from wf_jax.native.target import Target

Complex = tuple[Value, Value]


def stages(size: int) -> list[tuple[int, int]]:
    """The steps of a transform: (length of the pieces, parts that each is divided into)."""
    steps = []
    while size > 1:
        parts = 4 if size % 4 == 0 else 2
        steps.append((size, parts))
        size //= parts
    return steps


def places(size: int) -> np.ndarray:
    """Returns the number at which each bin stands after the forward transform, int64 [size]."""
    bins, found = np.arange(size), np.zeros(size, np.int64)
    for length, parts in stages(size):
        found += bins % parts * (length // parts)
        bins = bins // parts
    return found


def transform(
    module: ir.Module, target: Target, size: int, name: str, *, inverse: bool
) -> ir.Function:
    """Writes a transform as a function (work*)."""
    emit = Emitter(module, target, name, ("work*",))
    steps = stages(size)
    for length, parts in reversed(steps) if inverse else steps:
        _stage(emit, size, length, parts, inverse)
    emit.builder.ret_void()
    return emit.function


def _stage(emit: Emitter, size: int, length: int, parts: int, inverse: bool) -> None:
    """Transforms the `parts` numbers that are length / parts apart, in every piece."""
    step = length // parts
    butterfly = _four if parts == 4 else _two
    turns = _turns(emit, length, parts)

    def piece(start: Value, _: list[Value]) -> list[Value]:
        emit.loop(int64(step), 1, [], lambda k, _: column(start, k))
        return []

    def column(start: Value, k: Value) -> list[Value]:
        first = emit.builder.add(start, k)
        numbers = [
            _place(emit, emit.builder.add(first, int64(part * step))) for part in range(parts)
        ]
        values = [(emit.load(number), emit.load(number, emit.lanes)) for number in numbers]
        if inverse:
            values = butterfly(emit, turned(values, k), -1)
        else:
            values = turned(butterfly(emit, values, 1), k)
        for number, (real, imaginary) in zip(numbers, values, strict=True):
            emit.store(real, number)
            emit.store(imaginary, number, emit.lanes)
        return []

    def turned(values: list[Complex], k: Value) -> list[Complex]:
        if step == 1:  # by nothing
            return values
        turn = emit.at(turns, emit.builder.mul(k, int64(2 * (parts - 1))))
        return [values[0]] + [
            _product(
                emit, value, (emit.broadcast(turn, 2 * i), emit.broadcast(turn, 2 * i + 1)), inverse
            )
            for i, value in enumerate(values[1:])
        ]

    emit.loop(int64(size), length, [], piece)


def _turns(emit: Emitter, length: int, parts: int) -> Value:
    """Table of exp(-2 pi i j k / length), [length / parts, parts - 1, 2]."""
    k, j = np.arange(length // parts)[:, None], np.arange(1, parts)
    angles = -2 * np.pi * j * k / length
    values = np.stack([np.cos(angles), np.sin(angles)], -1)
    return table(emit.module, f"turns_{length}_{parts}", values.astype(np.float32))


def _place(emit: Emitter, number: Value) -> Value:
    place = emit.builder.mul(number, int64(2 * emit.lanes))
    return emit.at(emit.arguments["work"], place)


def _product(emit: Emitter, a: Complex, b: Complex, conjugate: bool) -> Complex:
    """The product a b, or a times the conjugate of b."""
    builder, ((ar, ai), (br, bi)) = emit.builder, (a, b)
    if conjugate:
        bi = builder.fneg(bi)
    real = emit.fma(ar, br, builder.fneg(builder.fmul(ai, bi)))
    return real, emit.fma(ar, bi, builder.fmul(ai, br))


def _sum(emit: Emitter, a: Complex, b: Complex) -> Complex:
    return tuple(emit.builder.fadd(x, y) for x, y in zip(a, b, strict=True))


def _difference(emit: Emitter, a: Complex, b: Complex) -> Complex:
    return tuple(emit.builder.fsub(x, y) for x, y in zip(a, b, strict=True))


def _two(emit: Emitter, values: list[Complex], sign: int) -> list[Complex]:
    del sign
    return [_sum(emit, *values), _difference(emit, *values)]


def _four(emit: Emitter, values: list[Complex], sign: int) -> list[Complex]:
    """The transform of four numbers, by exp(-i sign pi / 2)."""
    a, b, c, d = values
    even, odd = _sum(emit, a, c), _sum(emit, b, d)
    rest, (real, imaginary) = _difference(emit, a, c), _difference(emit, b, d)
    turned = (imaginary, emit.builder.fneg(real))  # times -i
    second, fourth = _sum(emit, rest, turned), _difference(emit, rest, turned)
    if sign < 0:
        second, fourth = fourth, second
    return [_sum(emit, even, odd), second, _difference(emit, even, odd), fourth]
