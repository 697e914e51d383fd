"""Distances of spectra by machine code that is compiled for the length of a signal."""

import dataclasses
import hashlib
import math
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero

from wf_jax.audio.native.program import DISTANCES, Plan, Resolution, module_of
from wf_jax.audio.native.spectra import DISTANCE, ENERGY, ERROR, SUMS
from wf_jax.audio.stft import hann
from wf_jax.native.calls import PREFIX, Calls
from wf_jax.native.machine_code import compiled, host, source_of
from wf_jax.platforms import available_cores

Distances = tuple[jax.Array, jax.Array, jax.Array]

_lock = threading.Lock()
_loaded: dict[Plan, "_Code"] = {}  # XLA never forgets a name, so the code behind it stays


@dataclasses.dataclass(frozen=True, eq=False)
class _Code:
    plan: Plan
    name: str  # that XLA knows
    calls: Calls


def spectral_distances(
    p: jax.Array, t: jax.Array, resolutions: Sequence[Resolution], floor: float
) -> Distances:
    """Compares the magnitudes |P| and |T| of spectra, see `stft.stft_magnitude`.

    Differentiable with respect to p.

    Args:
        p: float32 [N, B, T], T above half of every window.
        t: float32 [N, B, T].
        resolutions: (FFT size, a power of two; hop; even length of the window, at most that size)
            of each.
        floor: least power.

    Returns:
        The sums of (|T| - |P|)^2 and of |T|^2 of every row and resolution, [N, B, R] each, and the
        mean of |ln |P| - ln |T|| over resolutions, frames and bins, [N, B].

    Raises:
        ValueError: p and t are not [N, B, T] alike, or a resolution is none.
        TypeError: something is not float32, or a derivative with respect to t is asked for.
    """
    if p.ndim != 3 or p.shape != t.shape:
        raise ValueError(f"p {p.shape} and t {t.shape} are not [N, B, T] alike")
    if wrong := {str(array.dtype) for array in (p, t)} - {"float32"}:
        raise TypeError(f"the machine code is of float32, here is {', '.join(wrong)}")
    code = _code_of(p.shape[-1], tuple(resolutions), floor)
    edges = [*[(0, 0)] * (p.ndim - 1), (code.plan.edge, code.plan.edge)]
    return _distances(code, *(jnp.pad(x, edges, mode="reflect") for x in (p, t)))


def _code_of(samples: int, resolutions: tuple[Resolution, ...], floor: float) -> _Code:
    target = host()
    plan = Plan(samples, resolutions, floor, target.lanes)
    with _lock:
        if plan not in _loaded:
            source = source_of(Path(__file__).parent)
            # The windows are part of the code, and their source is not of this package.
            windows = [hann(window).tobytes() for _, _, window in resolutions]
            key = "spectra", plan, hashlib.sha256(b"".join(windows)).hexdigest()
            engine = compiled(key, target, source, lambda: module_of(plan, target))
            calls = Calls(engine, plan.arena, available_cores())
            # XLA keeps programs with this name in them from one process to the next.
            digest = hashlib.sha256(repr(plan).encode()).hexdigest()[:16]
            code = _Code(plan, f"{PREFIX}_{digest}_distances", calls)
            calls.register(DISTANCES, code.name)
            _loaded[plan] = code
        return _loaded[plan]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _distances(code: _Code, p: jax.Array, t: jax.Array) -> Distances:
    return _called(code, p, t)[0]


def _forward(
    code: _Code, p: CustomVJPPrimal, t: CustomVJPPrimal
) -> tuple[Distances, tuple[jax.Array, jax.Array]]:
    if t.perturbed:
        raise TypeError("spectral_distances has no derivative with respect to t")
    return _called(code, p.value, t.value)


def _backward(
    code: _Code,
    gradients: tuple[jax.Array, jax.Array],
    cotangents: tuple[jax.Array | SymbolicZero, ...],
) -> tuple[jax.Array, None]:
    del code
    errors, logarithms = gradients
    of_errors, _, of_logarithms = cotangents
    dp = jnp.zeros_like(logarithms)
    if not isinstance(of_errors, SymbolicZero):
        dp += 2 * jnp.einsum("nbr,nbrt->nbt", of_errors, errors, precision=lax.Precision.HIGHEST)
    if not isinstance(of_logarithms, SymbolicZero):
        dp += of_logarithms[..., None] * logarithms
    return dp, None


_distances.defvjp(_forward, _backward, symbolic_zeros=True)


def _called(
    code: _Code, p: jax.Array, t: jax.Array
) -> tuple[Distances, tuple[jax.Array, jax.Array]]:
    """The distances, and the gradients of half the errors and of the logarithms."""
    plan, rows = code.plan, p.shape[:-1]
    flops = math.prod(rows) * sum(
        10 * size * math.log2(size) * plan.frames(hop) for size, hop, _ in plan.resolutions
    )
    # An array of the result's shape that varies over the devices as the result does.
    like = jnp.broadcast_to(p[..., :1] + t[..., :1], (*rows, plan.written))
    out = jax.ffi.ffi_call(code.name, like)(p, t, flops=np.int64(flops))
    count = len(plan.resolutions)
    signals = out[..., : plan.sums].reshape(*rows, count + 1, plan.length)
    sums = out[..., plan.sums :].reshape(*rows, count, SUMS, plan.lanes).sum(-1)
    distances = sums[..., ERROR], sums[..., ENERGY], sums[..., DISTANCE].sum(-1)
    return distances, (signals[..., :-1, :], signals[..., -1, :])
