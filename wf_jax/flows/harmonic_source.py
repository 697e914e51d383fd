"""The pitch of frames as the voicing, fundamental and phase of every sample.

Between two frames the phase follows the fundamental, and what is then missing to the phase of the
later frame is spread over the time between. An unvoiced frame has no say in this.
"""

import jax
import jax.numpy as jnp
import numpy as np

_LITTLE = 1e-6  # the weight of an unvoiced frame


def at_samples(
    rows: jax.Array, hop: int, center: int, sample_rate: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Interpolates pitch rows [B, F, 3] (see audio/pitch_rows.py).

    Args:
        rows: voicing, log of the fundamental in Hz, phase in cycles.
        hop: samples of a frame.
        center: sample that frame 0 is centered on, 0 to hop - 1.
        sample_rate: Hz.

    Returns:
        Voicing, log of the fundamental in Hz, phase in cycles: [B, F * hop] each.
    """
    voicing = jnp.pad(rows[..., 0], ((0, 0), (1, 1)))
    log_f0, phase = (jnp.pad(rows[..., i], ((0, 0), (1, 1)), mode="edge") for i in (1, 2))
    t = jnp.asarray(np.arange(hop) / hop, rows.dtype)
    earlier, later = (v[:, :, None] + _LITTLE for v in (voicing[:, :-1], voicing[:, 1:]))
    share = t * later / ((1 - t) * earlier + t * later)  # of the later frame
    pitch = log_f0[:, :-1, None] * (1 - share) + log_f0[:, 1:, None] * share
    cycles = jnp.exp(pitch) / sample_rate
    passed = jnp.cumsum(cycles, axis=2) - cycles
    missing = phase[:, 1:] - phase[:, :-1] - passed[:, :, -1] - cycles[:, :, -1]
    missing = missing - jnp.round(missing)
    turned = phase[:, :-1, None] + passed + share * missing[:, :, None]
    sounding = voicing[:, :-1, None] * (1 - t) + voicing[:, 1:, None] * t

    def cut(values: jax.Array) -> jax.Array:
        first, frames = hop - center, rows.shape[1]
        return values.reshape(values.shape[0], -1)[:, first : first + frames * hop]

    return cut(sounding), cut(pitch), cut(turned)


def phases(log_f0: jax.Array, hop: int, sample_rate: int) -> jax.Array:
    """Integrates the log of the fundamental in Hz, [B, F], to phases [B, F] in cycles.

    From 0 at the first frame, as `at_samples` would between voiced frames.
    """
    t = jnp.asarray(np.arange(hop) / hop, log_f0.dtype)
    pitch = log_f0[:, :-1, None] * (1 - t) + log_f0[:, 1:, None] * t
    passed = jnp.cumsum(jnp.sum(jnp.exp(pitch), axis=2) / sample_rate, axis=1)
    passed = jnp.pad(passed, ((0, 0), (1, 0)))
    return passed - jnp.round(passed)
