"""The distances of two spectra, and their gradients as one more spectrum.

The transform of p + i t holds the spectra of both: with Z its bins, P[k] = (Z[k] + Z[-k]*) / 2 and
T[k] = (Z[k] - Z[-k]*) / 2i. In the same way the spectra of two gradients, G of half the energy of
|T| - |P| and H of |ln |P| - ln |T||, go back as G + i H, so that the real part of what the inverse
transform gives is the gradient of the one, and the imaginary part that of the other.
"""

import numpy as np
from llvmlite import ir

from wf_jax.audio.native.fourier import places
from wf_jax.native.emit import INT32, INT64, Emitter, Value, int64, table
from wf_jax.native.target import Target

ERROR, ENERGY, DISTANCE = range(3)  # sums, a vector each: (|T| - |P|)^2, |T|^2, weighted |ln|
SUMS = 3
ROOT_HALF = 0x3F3504F3  # the bits of sqrt(1/2)


def log_polynomial() -> tuple[float, ...]:
    """Coefficients of (ln(1 + f) - f + f^2 / 2) / f^3 for 1 + f from sqrt(1/2) to sqrt(2).

    Least squares at Chebyshev's points, weighted as they add to ln(1 + f) / f.
    """
    nodes = np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    f = np.exp(nodes * np.log(2) / 2) - 1
    values = (np.log1p(f) - f + f * f / 2) / f**3
    powers = f[:, None] ** np.arange(9)
    weight = np.square(f)[:, None]
    return tuple(np.linalg.lstsq(weight * powers, weight[:, 0] * values, rcond=None)[0].tolist())


def compare(
    module: ir.Module, target: Target, size: int, floor: float, weight: float, name: str
) -> ir.Function:
    """Writes a function (work*, sums*, mask*).

    Args:
        module: that the function goes to.
        target: the processor.
        size: of the transform, whose bins are in `work`, see `fourier.py`.
        floor: least power.
        weight: of the distance of one bin, in sum and gradient.
        name: of the function.
    """
    emit = Emitter(module, target, name, ("work*", "sums*", "mask*"))
    return _Comparison(emit, size, floor, weight).written()


class _Comparison:
    def __init__(self, emit: Emitter, size: int, floor: float, weight: float):
        self.emit, self.size, self.floor, self.weight = emit, size, floor, weight
        self.polynomial = log_polynomial()

    def written(self) -> ir.Function:
        emit, half = self.emit, self.size // 2
        bins = np.arange(half + 1)
        stride, where = 2 * emit.lanes, places(self.size)
        pairs = np.stack([where[bins], where[-bins]], 1) * stride
        pairs = table(emit.module, f"pairs_{self.size}", pairs)
        # Bins 0 and size / 2 are their own mirror images.
        shares = np.where(bins % half == 0, 1.0, 0.5).astype(np.float32)
        shares = table(emit.module, f"shares_{self.size}", shares)
        sums, mask = emit.arguments["sums"], emit.load(emit.arguments["mask"])

        def one(k: Value, totals: list[Value]) -> list[Value]:
            pair = emit.builder.gep(pairs, [emit.builder.mul(k, int64(2))], source_etype=INT64)
            numbers = [
                emit.builder.load(
                    emit.builder.gep(pair, [int64(i)], source_etype=INT64), typ=INT64, align=8
                )
                for i in range(2)
            ]
            share = emit.broadcast(emit.at(shares, k))
            return self._bin(numbers, share, mask, totals)

        before = [emit.load(sums, i * emit.lanes) for i in range(SUMS)]
        for i, total in enumerate(emit.loop(int64(half + 1), 1, before, one)):
            emit.store(total, sums, i * emit.lanes)
        emit.builder.ret_void()
        return emit.function

    def _bin(
        self, numbers: list[Value], share: Value, mask: Value, totals: list[Value]
    ) -> list[Value]:
        """Compares a bin, and puts the gradients in its place and that of its mirror image."""
        emit, builder, constant = self.emit, self.emit.builder, self.emit.constant
        add, subtract, multiply = builder.fadd, builder.fsub, builder.fmul
        work = [emit.at(emit.arguments["work"], number) for number in numbers]
        (zr, zi), (mr, mi) = [(emit.load(w), emit.load(w, emit.lanes)) for w in work]
        half = constant(0.5)
        pr, pi = multiply(half, add(zr, mr)), multiply(half, subtract(zi, mi))
        tr, ti = multiply(half, add(zi, mi)), multiply(half, subtract(mr, zr))
        p_power, t_power = (emit.fma(r, r, multiply(i, i)) for r, i in ((pr, pi), (tr, ti)))
        heard = builder.fcmp_ordered(">", p_power, constant(self.floor))
        p_power, t_power = (emit.maximum(constant(self.floor), x) for x in (p_power, t_power))
        inverse = builder.fdiv(constant(1.0), p_power)
        ratio = multiply(t_power, inverse)
        rest = subtract(constant(1.0), emit.intrinsic("sqrt", ratio))  # 1 - |T| / |P|
        distance = self._log(ratio)
        weighted = constant(self.weight)
        totals = [
            emit.fma(multiply(p_power, rest), rest, totals[ERROR]),
            emit.fma(t_power, mask, totals[ENERGY]),
            emit.fma(emit.intrinsic("fabs", distance), constant(self.weight / 2), totals[DISTANCE]),
        ]
        none = constant(0.0)
        equal = builder.fcmp_ordered("==", p_power, t_power)
        slope = emit.intrinsic("copysign", multiply(weighted, inverse), builder.fneg(distance))
        slope = builder.select(equal, none, slope)
        g, h = (multiply(share, builder.select(heard, factor, none)) for factor in (rest, slope))
        gr, gi, hr, hi = multiply(g, pr), multiply(g, pi), multiply(h, pr), multiply(h, pi)
        values = (subtract(gr, hi), add(gi, hr)), (add(gr, hi), subtract(hr, gi))
        for place, (real, imaginary) in zip(work, values, strict=True):
            emit.store(real, place)
            emit.store(imaginary, place, emit.lanes)
        return totals

    def _log(self, x: Value) -> Value:
        """The natural logarithm, of numbers above 0."""
        emit, builder = self.emit, self.emit.builder
        integers = ir.VectorType(INT32, emit.lanes)
        bits = builder.bitcast(x, integers)
        exponent = builder.ashr(builder.sub(bits, emit.integers(ROOT_HALF)), emit.integers(23))
        mantissa = builder.sub(bits, builder.shl(exponent, emit.integers(23)))
        f = builder.fsub(builder.bitcast(mantissa, emit.vector), emit.constant(1.0))
        value = emit.constant(self.polynomial[-1])
        for coefficient in self.polynomial[-2::-1]:
            value = emit.fma(value, f, emit.constant(coefficient))
        square = builder.fmul(f, f)
        value = emit.fma(value, f, emit.constant(-0.5))
        value = emit.fma(value, square, f)
        return emit.fma(builder.sitofp(exponent, emit.vector), emit.constant(np.log(2)), value)
