"""Multi-resolution STFT distance: Parallel WaveGAN's loss (Yamamoto 2019) as auraloss has it.

Every mean and norm runs over the whole batch. Where the batch is split over devices,
`axis_name` names the mesh axis and the sums are taken over it too.
"""

import jax
import jax.numpy as jnp
from jax import lax

from wf_jax.audio.stft import stft_magnitude
from wf_jax.mesh import AxisNames

# (fft_size, hop, window_length), from auraloss, which the NAM trainer uses.
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
POWER_FLOOR = 1e-8


def batch_mean(x: jax.Array, axis_name: AxisNames) -> jax.Array:
    """Mean over everything, and over the devices of `axis_name` where one is given."""
    mean = jnp.mean(x)
    return mean if axis_name is None else lax.pmean(mean, axis_name)


def multi_resolution_stft(
    prediction: jax.Array, target: jax.Array, axis_name: AxisNames = None
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


def _stft_loss(p: jax.Array, t: jax.Array, axis_name: AxisNames) -> jax.Array:
    error = _sum(jnp.square(t - p), axis_name)
    convergence = jnp.sqrt(error / _sum(jnp.square(t), axis_name))
    return convergence + batch_mean(jnp.abs(jnp.log(p) - jnp.log(t)), axis_name)


def _sum(x: jax.Array, axis_name: AxisNames) -> jax.Array:
    total = jnp.sum(x)
    return total if axis_name is None else lax.psum(total, axis_name)
