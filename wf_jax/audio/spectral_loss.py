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


def multi_resolution_stft(
    prediction: jax.Array,
    target: jax.Array,
    axis_name: AxisNames = None,
    *,
    native: bool = False,
) -> jax.Array:
    """Mean over RESOLUTIONS of spectral convergence and log-magnitude distance.

    With P and T the magnitudes: ||T - P|| / ||T||, norms over the whole batch, plus
    mean |ln P - ln T|.

    Args:
        prediction: [..., B, T]; natively [N, B, T].
        target: the same shape.
        axis_name: of the mesh axis that B is split over.
        native: whether machine code computes it, of float32 on a CPU.

    Returns:
        [...].
    """
    if native:
        # Here, since LLVM is needed where machine code is.
        from wf_jax.audio.native.distances import spectral_distances

        distances = spectral_distances(prediction, target, RESOLUTIONS, POWER_FLOOR)
    else:
        distances = _distances(prediction, target)
    errors, energies = (_sum(x, axis_name) for x in distances[:2])
    convergence = jnp.sqrt(errors / energies).mean(-1)
    logarithms = distances[2].mean(-1)
    return convergence + (logarithms if axis_name is None else lax.pmean(logarithms, axis_name))


def _distances(p: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The same as `spectral_distances` in native/distances.py."""
    spectra = [
        [stft_magnitude(x, *resolution, POWER_FLOOR) for x in (p, t)] for resolution in RESOLUTIONS
    ]
    errors = [jnp.square(t - p).sum((-2, -1)) for p, t in spectra]
    energies = [jnp.square(t).sum((-2, -1)) for _, t in spectra]
    logarithms = [jnp.abs(jnp.log(p) - jnp.log(t)).mean((-2, -1)) for p, t in spectra]
    return jnp.stack(errors, -1), jnp.stack(energies, -1), sum(logarithms) / len(logarithms)


def _sum(x: jax.Array, axis_name: AxisNames) -> jax.Array:
    """Sums [..., B, R] over the batch."""
    total = x.sum(-2)
    return total if axis_name is None else lax.psum(total, axis_name)
