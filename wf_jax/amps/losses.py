"""What a capture is trained on and judged by: MSE, multi-resolution STFT loss, ESR.

Every mean and norm runs over the whole batch. Where the batch is split over devices,
`axis_name` names the mesh axis and the sums are taken over it too.
"""

import jax
import jax.numpy as jnp
from jax import lax

from wf_jax.audio.stft import stft_magnitude

# (fft_size, hop, window_length), from auraloss, which the NAM trainer uses.
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
POWER_FLOOR = 1e-8


def _sum(x: jax.Array, axis_name: str | None) -> jax.Array:
    total = jnp.sum(x)
    return total if axis_name is None else lax.psum(total, axis_name)


def _mean(x: jax.Array, axis_name: str | None) -> jax.Array:
    mean = jnp.mean(x)
    return mean if axis_name is None else lax.pmean(mean, axis_name)


def mse(prediction: jax.Array, target: jax.Array, axis_name: str | None = None) -> jax.Array:
    """Mean squared error of [B, T] against [B, T]."""
    return _mean(jnp.square(prediction - target), axis_name)


def esr(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Error-to-signal ratio: per item mean((p - t)^2) / mean(t^2), then the mean over items.

    0 is perfect; predicting silence gives 1. Shapes [..., T].
    """
    error = jnp.mean(jnp.square(prediction - target), axis=-1)
    return jnp.mean(error / jnp.mean(jnp.square(target), axis=-1))


def multi_resolution_stft(
    prediction: jax.Array, target: jax.Array, axis_name: str | None = None
) -> jax.Array:
    """Mean over RESOLUTIONS of spectral convergence and log-magnitude distance.

    With P and T the magnitudes: ||T - P|| / ||T||, norms over the whole batch, plus
    mean |ln P - ln T|. Shapes [B, T].
    """
    losses = [
        _stft_loss(
            stft_magnitude(prediction, *resolution, POWER_FLOOR),
            stft_magnitude(target, *resolution, POWER_FLOOR),
            axis_name,
        )
        for resolution in RESOLUTIONS
    ]
    return sum(losses) / len(losses)


def _stft_loss(p: jax.Array, t: jax.Array, axis_name: str | None) -> jax.Array:
    error = _sum(jnp.square(t - p), axis_name)
    convergence = jnp.sqrt(error / _sum(jnp.square(t), axis_name))
    return convergence + _mean(jnp.abs(jnp.log(p) - jnp.log(t)), axis_name)
