"""`WaveNet.valid` of many windows, and its gradient, by code that is compiled for the shape."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero

from wf_jax.amps.native.training.passes import Passes, passes_of
from wf_jax.amps.wavenet import WaveNet
from wf_jax.modules import split


def valid_windows(models: WaveNet, x: jax.Array) -> jax.Array:
    """Plays windows through models, as `WaveNet.valid` does.

    Differentiable with respect to the models' parameters.

    Args:
        models: of N captures, stacked: each parameter has a leading axis; see `shapes.why_not`.
        x: float32 [N, B, lookback + window].

    Returns:
        Float32 [N, B, window].

    Raises:
        ValueError: shapes do not fit, or there is no window.
        TypeError: x or a parameter is not float32, or a derivative with respect to x is asked for.
    """
    _, params = split(models)
    window = x.shape[-1] - models.lookback
    captures = {len(leaf) for leaf in params.values()}
    if x.ndim != 3 or captures != {len(x)} or window < 1:
        raise ValueError(
            f"x {x.shape} is not [captures, windows, {models.lookback} samples and more] for "
            f"models of {', '.join(map(str, captures))} captures"
        )
    if wrong := {str(array.dtype) for array in (x, *params.values())} - {"float32"}:
        raise TypeError(f"the passes are of float32, here is {', '.join(wrong)}")
    passes = passes_of(models, window)
    # The passes count parameters from 1; the number 0 is 0.
    leaves = [leaf.reshape(len(leaf), -1) for leaf in params.values()]
    flat = jnp.concatenate([jnp.zeros_like(leaves[0][:, :1]), *leaves], axis=1)
    return models.head_scale * _play(passes, flat, x)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _play(passes: Passes, flat: jax.Array, x: jax.Array) -> jax.Array:
    plan = passes.plan
    return _call(passes.forward, plan.window, plan.flops, flat[:, plan.weights], x)


def _forward(
    passes: Passes, flat: CustomVJPPrimal, x: CustomVJPPrimal
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    if x.perturbed:
        raise TypeError("valid_windows has no derivative with respect to x; use WaveNet.valid")
    return _play(passes, flat.value, x.value), (flat.value, x.value)


def _backward(
    passes: Passes, kept: tuple[jax.Array, jax.Array], dy: jax.Array | SymbolicZero
) -> tuple[jax.Array, None]:
    (flat, x), plan = kept, passes.plan
    if isinstance(dy, SymbolicZero):
        return jnp.zeros_like(flat), None
    weights, flops = flat[:, plan.weights], 3 * plan.flops
    dw = _call(passes.backward, plan.written, flops, weights, x, dy).sum(axis=1)
    zero = jnp.zeros_like(dw[:, :1])
    gradients = jnp.concatenate([zero, dw], axis=1)[:, plan.gradients]
    return jnp.concatenate([zero, gradients], axis=1), None


_play.defvjp(_forward, _backward, symbolic_zeros=True)


def _call(name: str, size: int, flops: int, weights: jax.Array, *arrays: jax.Array) -> jax.Array:
    """Calls a function for every window: weights [N, .] and arrays [N, B, .] -> [N, B, size]."""
    # An array of the result's shape that varies over the devices as the result does.
    like = jnp.broadcast_to(arrays[0][..., :1] + weights[:, None, :1], (*arrays[0].shape[:2], size))
    flops *= like.shape[0] * like.shape[1]
    return jax.ffi.ffi_call(name, like)(weights, *arrays, flops=np.int64(flops))
