"""Counts the floating-point operations of a program, and measures those per second of a device.

Utilization is FLOP/s over `matrix_rate` times devices. Counted on the jaxpr: XLA's own count (jax
0.10.2, 0.12.0.1) takes a loop's body once, and of a program for many devices the share of one.
"""

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, Var, jaxprs_in_params
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike

SMALLEST, LARGEST = 256, 8192  # matrices that `matrix_rate` multiplies
SECONDS = 0.03  # that one of its products should take


def program_flops(function: Callable[..., Any], *args: Any, unknown_trips: int = 1) -> float:
    """Counts the FLOP of one call, on all devices together; traces, but compiles and runs nothing.

    Two per multiply-add of a product or convolution; one per element of other arithmetic
    (transcendentals, comparisons and selections too) and of what a reduction reads; 5 N log2 N for
    a complex FFT and half of that for a real one, as FFTW counts; of foreign functions what their
    attribute "flops" says. Moves, conversions and integers
    are free, and so is what no result needs; what rematerialization computes again counts again.
    Matrix decompositions and sorts count one per element, which is far too little.

    Args:
        function: what `jax.make_jaxpr` takes. The trace of a jitted one serves later calls.
        *args: arrays, or `jax.ShapeDtypeStruct`s in their place.
        unknown_trips: how often a loop runs whose length depends on data. Scans, maps and
            `fori_loop`s of constant length know their own.
    """
    return jaxpr_flops(jax.make_jaxpr(function)(*args).jaxpr, unknown_trips)


def jaxpr_flops(jaxpr: Jaxpr, unknown_trips: int = 1) -> float:
    """Counts the same for a traced program: `jitted.trace(*args).jaxpr.jaxpr`."""
    total, needed = 0.0, {v for v in jaxpr.outvars if isinstance(v, Var)}
    for equation in reversed(jaxpr.eqns):
        if equation.effects or not needed.isdisjoint(equation.outvars):
            needed.update(v for v in equation.invars if isinstance(v, Var))
            total += _equation_flops(equation, unknown_trips)
    return total


def matrix_rate(
    dtype: DTypeLike = jnp.float32,
    precision: str | None = None,
    devices: tuple[jax.Device, ...] | None = None,
) -> float:
    """Measures the FLOP/s of one device in a large matrix product, while all devices compute one.

    All, because CPU devices share their cores: one alone is as fast as two together. The product
    grows until it takes about `SECONDS`; the whole takes less than a second on a CPU.

    Args:
        dtype: of the matrices.
        precision: of the product, as `jnp.matmul` takes it; None for JAX's default.
        devices: of this process; None for all of them.
    """
    mesh = Mesh(np.array(devices or jax.local_devices()), ("device",))
    multiply = jax.jit(functools.partial(jnp.matmul, precision=precision))

    def seconds(size: int) -> float:
        shape, rows = (mesh.size, size, size), NamedSharding(mesh, PartitionSpec("device"))
        # Not all the same: a GPU's clocks stay higher on constants, and flatter it.
        waves = jax.jit(
            lambda: jnp.sin(jnp.arange(math.prod(shape), dtype=jnp.float32)).reshape(shape),
            out_shardings=rows,
        )
        a, ends = waves().astype(dtype), []
        for _ in range(6):
            jax.block_until_ready(multiply(a, a))  # the first time it compiles
            ends.append(time.perf_counter())
        return float(np.median(np.diff(ends)))

    size, elapsed = SMALLEST, seconds(SMALLEST)
    while elapsed < SECONDS / 2 and size < LARGEST:
        growth = min(4.0, (SECONDS / elapsed) ** (1 / 3))
        size = min(LARGEST, 128 * math.ceil(size * growth / 128))
        elapsed = seconds(size)
    return 2.0 * size**3 / elapsed


def _equation_flops(equation: JaxprEqn, unknown_trips: int) -> float:
    name, params = equation.primitive.name, equation.params
    if name not in _COUNTS:  # where it is, a jaxpr inside is what a reduction does to two numbers
        bodies = [jaxpr_flops(body, unknown_trips) for body in jaxprs_in_params(params)]
        if bodies:
            return max(bodies) if name == "cond" else sum(bodies) * _trips(equation, unknown_trips)
    dtypes = [getattr(v.aval, "dtype", bool) for v in equation.invars]
    floating = any(jnp.issubdtype(dtype, jnp.inexact) for dtype in dtypes)
    return float(_COUNTS.get(name, _elementwise)(equation)) if floating else 0.0


def _trips(equation: JaxprEqn, unknown: int) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "shard_map":
        return math.prod(params["mesh"].shape[axis] for axis in params["newly_manual_axes"])
    return {"scan": params.get("length"), "while": unknown}.get(name, 1)


def _elementwise(equation: JaxprEqn) -> int:
    return sum(v.aval.size for v in equation.outvars)


def _dot(equation: JaxprEqn) -> int:
    ((axes, _), _), lhs = equation.params["dimension_numbers"], equation.invars[0].aval.shape
    return 2 * _elementwise(equation) * math.prod(lhs[axis] for axis in axes)


def _convolution(equation: JaxprEqn) -> int:
    """Counts a convolution without taps on padding or holes of a dilated input, as XLA does."""
    params, names = equation.params, ("padding", "window_strides", "lhs_dilation", "rhs_dilation")
    arrays = zip((*equation.invars, *equation.outvars), params["dimension_numbers"], strict=True)
    x, kernel, y = ([v.aval.shape[axis] for axis in axes] for v, axes in arrays)
    pairs = y[0] * y[1] * kernel[1]  # feature and batch groups show in the shapes
    sizes = zip(x[2:], kernel[2:], y[2:], *(params[name] for name in names), strict=True)
    for inputs, taps, outputs, (low, _), stride, hole, dilation in sizes:
        starts, offsets = stride * np.arange(outputs) - low, dilation * np.arange(taps)
        few, many = sorted((starts, offsets), key=len)
        pairs *= sum(int(np.isin(n + many, hole * np.arange(inputs)).sum()) for n in few)
    return 2 * pairs


def _fft(equation: JaxprEqn) -> float:
    sides = equation.invars[0].aval, equation.outvars[0].aval
    factor = 5.0 if all(side.dtype.kind == "c" for side in sides) else 2.5
    points = max(side.size for side in sides)  # the real side is the longer one
    return factor * points * math.log2(math.prod(equation.params["fft_lengths"]))


_FREE = """all_gather all_gather_invariant all_to_all bitcast_convert_type broadcast_in_dim complex
concatenate convert_element_type copy device_put dynamic_slice dynamic_update_slice gather imag name
optimization_barrier pad ppermute pvary real reshape reshard rev scatter sharding_constraint slice
split squeeze stack stop_gradient tile transpose unstack"""
_REDUCTIONS = "argmax argmin reduce reduce_max reduce_min reduce_prod reduce_sum"
_SCATTERS = "scatter-add scatter-max scatter-min scatter-mul scatter-sub"

# By name of the primitive; any other without a jaxpr inside is taken to be elementwise.
_COUNTS: dict[str, Callable[[JaxprEqn], float]] = {
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
    "fft": _fft,
    "ffi_call": lambda equation: dict(equation.params["attributes"]).get("flops", 0),
    **dict.fromkeys(_FREE.split(), lambda equation: 0),
    **dict.fromkeys(_REDUCTIONS.split(), lambda equation: equation.invars[0].aval.size),
    **dict.fromkeys(_SCATTERS.split(), lambda equation: equation.invars[2].aval.size),
}
