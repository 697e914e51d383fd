"""The activations of the .nam format on vectors.

Largest errors found among 12 million arguments, in units in the last place of float32: Tanh 1.95,
Sigmoid 2.00, SiLU half more for its product. All are made from exp by Cody and Waite's reduction,
x = n ln 2 + r.
"""

from collections.abc import Callable

from llvmlite import ir

from wf_jax.amps.activations import Activation
from wf_jax.native.emit import INT32, Emitter, Value

# (exp(r) - 1 - r) / r^2 for r of `_exponential`, least squares weighted by |r|.
EXPONENTIAL = (0.5, 0.16666670143604279, 0.04166657477617264, 0.008331838995218277)
EXPONENTIAL += (0.0013916558818891644, 0.0002109950000885874)
SHIFT = 0.1  # r is from -0.28 to 0.42: more arguments of tanh have n = 0, where e is exact to 1 ulp
LN2 = (0.693359375, -2.12194440e-4)  # the first has so few bits that n times it is exact
LOG2_E = 1.4426950408889634
TANH_IS_ONE = 9.1  # from 9.01 on tanh rounds to 1 in float32
EXP_IS_HUGE = 88.0


def activate(emit: Emitter, activation: Activation, z: Value, slope: Value | None = None) -> Value:
    """One vector through an activation; `slope` is the channel's, of a PReLU."""
    if activation.name in _FIXED:
        return _FIXED[activation.name](emit, z)
    if activation.name == "PReLU":
        return _leaky(emit, z, slope)
    if activation.name == "LeakyReLU":
        slope = emit.constant(activation.negative_slope)
        if 0 <= activation.negative_slope <= 1:
            return emit.maximum(emit.builder.fmul(z, slope), z)
        return _leaky(emit, z, slope)
    return _leaky_hardtanh(emit, activation, z)


def _leaky(emit: Emitter, z: Value, slope: Value) -> Value:
    builder = emit.builder
    positive = builder.fcmp_ordered(">", z, emit.constant(0.0))
    return builder.select(positive, z, builder.fmul(z, slope))


def _leaky_hardtanh(emit: Emitter, activation: Activation, z: Value) -> Value:
    builder = emit.builder

    def beyond(limit: float, slope: float) -> Value:
        distance = builder.fsub(z, emit.constant(limit))
        return emit.fma(distance, emit.constant(slope), emit.constant(limit))

    low = beyond(activation.min_val, activation.min_slope)
    high = beyond(activation.max_val, activation.max_slope)
    above = builder.fcmp_ordered(">", z, emit.constant(activation.max_val))
    below = builder.fcmp_ordered("<", z, emit.constant(activation.min_val))
    return builder.select(below, low, builder.select(above, high, z))


def _exponential(emit: Emitter, x: Value) -> tuple[Value, Value]:
    """(2^n, exp(r) - 1) with exp(x) = 2^n exp(r)."""
    builder = emit.builder
    n = emit.intrinsic("rint", emit.fma(x, emit.constant(LOG2_E), emit.constant(-SHIFT)))
    r = emit.fma(n, emit.constant(-LN2[0]), x)
    r = emit.fma(n, emit.constant(-LN2[1]), r)
    p = emit.constant(EXPONENTIAL[-1])
    for coefficient in EXPONENTIAL[-2::-1]:
        p = emit.fma(p, r, emit.constant(coefficient))
    p = emit.fma(p, builder.fmul(r, r), r)
    integers = ir.VectorType(INT32, emit.lanes)
    exponent = builder.add(builder.fptosi(n, integers), emit.integers(127))
    power = builder.bitcast(builder.shl(exponent, emit.integers(23)), emit.vector)
    return power, p


def _tanh(emit: Emitter, z: Value) -> Value:
    """E / (e + 2) with e = exp(2 |z|) - 1, which loses nothing near 0."""
    builder, constant = emit.builder, emit.constant
    magnitude = emit.minimum(constant(TANH_IS_ONE), emit.intrinsic("fabs", z))
    power, p = _exponential(emit, builder.fadd(magnitude, magnitude))
    e = emit.fma(p, power, builder.fsub(power, constant(1.0)))
    bottom = builder.fadd(e, constant(2.0))
    y = builder.fdiv(e, bottom)
    # What was rounded off the bottom, for e below 1 to 0.45 of it: 2.4 ulp become 2.
    lost = builder.fsub(e, builder.fsub(bottom, constant(2.0)))
    small = builder.fcmp_ordered("<", e, constant(1.0))
    share = builder.select(small, builder.fmul(y, constant(-0.45)), constant(0.0))
    return emit.intrinsic("copysign", emit.fma(lost, share, y), z)


def _sigmoid(emit: Emitter, z: Value) -> Value:
    builder = emit.builder
    bounded = emit.minimum(emit.constant(EXP_IS_HUGE), builder.fneg(z))
    bounded = emit.maximum(emit.constant(-EXP_IS_HUGE), bounded)
    power, p = _exponential(emit, bounded)
    one = emit.constant(1.0)
    # 1 + 2^n (1 + p): the larger two are added last.
    return builder.fdiv(one, builder.fadd(one, emit.fma(p, power, power)))


def _fast_tanh(emit: Emitter, z: Value) -> Value:
    builder, constant = emit.builder, emit.constant
    magnitude = emit.intrinsic("fabs", z)
    square = builder.fmul(z, z)
    top = emit.fma(magnitude, constant(2.45550750702956), constant(2.45550750702956))
    cubic = emit.fma(magnitude, constant(0.821226666969744), constant(0.893229853513558))
    top = emit.fma(cubic, square, top)
    bend = builder.fmul(z, magnitude)
    bend = emit.intrinsic("fabs", emit.fma(bend, constant(0.814642734961073), z))
    base = builder.fadd(square, constant(2.44506634652299))
    bottom = emit.fma(base, bend, constant(2.44506634652299))
    return builder.fdiv(builder.fmul(z, top), bottom)


def _clipped(emit: Emitter, z: Value, low: float, high: float) -> Value:
    return emit.maximum(emit.constant(low), emit.minimum(emit.constant(high), z))


def _hardswish(emit: Emitter, z: Value) -> Value:
    builder = emit.builder
    gate = _clipped(emit, builder.fadd(z, emit.constant(3.0)), 0.0, 6.0)
    return builder.fmul(builder.fmul(z, gate), emit.constant(1 / 6))


def _softsign(emit: Emitter, z: Value) -> Value:
    bottom = emit.builder.fadd(emit.constant(1.0), emit.intrinsic("fabs", z))
    return emit.builder.fdiv(z, bottom)


_FIXED: dict[str, Callable[[Emitter, Value], Value]] = {
    "Tanh": _tanh,
    "Hardtanh": lambda emit, z: _clipped(emit, z, -1.0, 1.0),
    "Fasttanh": _fast_tanh,
    "ReLU": lambda emit, z: emit.maximum(emit.constant(0.0), z),
    "Sigmoid": _sigmoid,
    "SiLU": lambda emit, z: emit.builder.fmul(z, _sigmoid(emit, z)),
    "Hardswish": _hardswish,
    "Softsign": _softsign,
}
