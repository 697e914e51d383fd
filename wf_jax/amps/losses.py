"""Losses and metrics of a capture: MSE, multi-resolution STFT loss, ESR.

Every mean and norm runs over the whole batch. Where the batch is split over devices,
`axis_name` names the mesh axis and the sums are taken over it too.
"""

import jax
import jax.numpy as jnp
from jax import lax

from wf_jax.audio.spectral_loss import RESOLUTIONS, multi_resolution_stft
from wf_jax.mesh import AxisNames

__all__ = ["RESOLUTIONS", "esr", "mse", "multi_resolution_stft"]


def mse(prediction: jax.Array, target: jax.Array, axis_name: AxisNames = None) -> jax.Array:
    """Mean squared error of [..., B, T] against [..., B, T], over the last two axes: [...]."""
    mean = jnp.square(prediction - target).mean((-2, -1))
    return mean if axis_name is None else lax.pmean(mean, axis_name)


def esr(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Error-to-signal ratio: per item mean((p - t)^2) / mean(t^2), then the mean over items.

    0 is perfect; predicting silence gives 1. Shapes [..., T].
    """
    error = jnp.mean(jnp.square(prediction - target), axis=-1)
    return jnp.mean(error / jnp.mean(jnp.square(target), axis=-1))
