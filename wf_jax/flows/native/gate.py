"""The gate tanh(a) sigmoid(b) on vectors, by powers of two and one division.

With e = exp(2 |a|) - 1 and v = exp(-b) it is sign(a) e / ((e + 2) (1 + v)), which loses nothing
near 0. The weights before it are multiplied by FILTER and GATE, so that the powers are of two.
"""

import math

from llvmlite import ir

from wf_jax.native.emit import INT32, Emitter, Value

LOG2_E = math.log2(math.e)
FILTER, GATE = 2 * LOG2_E, -LOG2_E  # times a, times b
# (2^r - 1) / r on [-1/2, 1/2], at most 2.1e-8 of it off: least squares, reweighted until even.
POWER = (0.6931471824645996, 0.24022649228572845, 0.05550357326865196, 0.009618237614631653)
POWER += (0.0013390735257416964, 0.00015403475845232606)
TANH_IS_ONE = 26.25  # from 2 log2(e) 9.01 on tanh rounds to 1 in float32
LARGEST = 60.0  # exponents of gates, in either direction: all products stay finite
MAGIC = 1.5 * 2**23  # a number of this size has no places behind the point


def gated(emit: Emitter, filtered: Value, gate: Value) -> Value:
    """Computes tanh(a) sigmoid(b) of FILTER a and GATE b."""
    builder, constant = emit.builder, emit.constant
    one, magnitude = constant(1.0), emit.intrinsic("fabs", filtered)
    power, p = power_of_two(emit, emit.minimum(constant(TANH_IS_ONE), magnitude))
    e = emit.fma(p, power, builder.fsub(power, one))
    gate = emit.minimum(constant(LARGEST), emit.maximum(constant(-LARGEST), gate))
    power, p = power_of_two(emit, gate)
    below = builder.fadd(emit.fma(p, power, power), one)
    below = builder.fmul(builder.fadd(e, constant(2.0)), below)
    return emit.intrinsic("copysign", builder.fdiv(e, below), filtered)


def power_of_two(emit: Emitter, y: Value) -> tuple[Value, Value]:
    """Computes (2^n, 2^r - 1) with 2^y = 2^n 2^r; y from -126 to 127."""
    builder = emit.builder
    shifted = builder.fadd(y, emit.constant(MAGIC + 127))
    r = builder.fsub(y, builder.fsub(shifted, emit.constant(MAGIC + 127)))
    p = emit.constant(POWER[-1])
    for coefficient in POWER[-2::-1]:
        p = emit.fma(p, r, emit.constant(coefficient))
    bits = builder.bitcast(shifted, ir.VectorType(INT32, emit.lanes))
    power = builder.bitcast(builder.shl(bits, emit.integers(23)), emit.vector)
    return power, builder.fmul(p, r)
