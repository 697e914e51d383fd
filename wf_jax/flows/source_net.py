"""The source of a voice: harmonics, conditions and a filter, by a small net from mel and pitch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.flows.frame_conv import FrameConv
from wf_jax.flows.frames import between, center_of, held
from wf_jax.flows.harmonic_source import at_samples
from wf_jax.flows.mel_filter import Filter, interpolated
from wf_jax.flows.source_filter_config import SourceFilterConfig

_USUAL = 5.2  # of the log of a pitch in Hz
_TAPS = 3  # frames
_STEEPEST = 0.8  # log-area ratio, halved, and log scale of the filter that the net gives


class Source(NamedTuple):
    """The source of a clip, which is known before its samples are.

    Attributes:
        conditions: [B, F * hop, D], of the nets.
        harmonics: [B, F * hop], their sum.
        residual: the filter of what is left.
    """

    conditions: jax.Array
    harmonics: jax.Array
    residual: Filter


class SourceNet(nnx.Module):
    """Log-mel, as BandScale scales it, and pitch rows, [B, M + 3, F] -> Source."""

    def __init__(self, config: SourceFilterConfig, *, rng: np.random.Generator):
        """Draws the weights; no harmonic sounds at first, and the filter does nothing."""
        self.config = config
        units, bands = config.features, config.mel.n_mels
        self.hidden = FrameConv(_TAPS, bands + 1, units, rng=rng)
        self.features = FrameConv(_TAPS, units, units, rng=rng)
        self.amplitudes = FrameConv(_TAPS, units, 2 * config.harmonics)
        self.residual = FrameConv(_TAPS, units, config.residual_order + 1)

    def __call__(self, rows: jax.Array, frames: jax.Array | None = None) -> jax.Array:
        """Returns the conditions alone; of clip b only the first frames[b] count."""
        return self.source(rows, frames).conditions

    def source(self, rows: jax.Array, frames: jax.Array | None = None) -> Source:
        """Computes all of it."""
        config, mel = self.config, self.config.mel
        rows = held(rows.swapaxes(1, 2), frames)
        hidden = held(jnp.tanh(self.hidden(rows[..., : mel.n_mels + 1])), frames)
        features, amplitudes, filters = (
            held(part(hidden), frames) for part in (self.features, self.amplitudes, self.residual)
        )
        # A mel that is no speech must not give a filter near the edge of stability.
        filters = _STEEPEST * jnp.tanh(filters / _STEEPEST)
        residual = interpolated(filters[..., 1:], filters[..., 0], mel, config.order)
        features, amplitudes = (between(v, mel) for v in (features, amplitudes))
        pitch = _ended(rows[..., mel.n_mels :], frames)
        voicing, log_f0, phase = at_samples(pitch, mel.hop_length, center_of(mel), mel.sample_rate)
        numbers = jnp.asarray(np.arange(1, config.harmonics + 1), rows.dtype)
        angle = 2 * np.pi * phase[..., None] * numbers
        below_half = jnp.exp(log_f0)[..., None] * numbers < mel.sample_rate / 2
        sounding = voicing[..., None] * below_half
        waves = jnp.concatenate([jnp.cos(angle) * sounding, jnp.sin(angle) * sounding], axis=-1)
        total = jnp.sum(waves * amplitudes, axis=-1)
        first = waves[..., :: config.harmonics]
        more = [voicing, log_f0 - _USUAL, total]
        conditions = [features, first, *(v[..., None] for v in more)]
        return Source(jnp.concatenate(conditions, axis=-1), total, residual)


def _ended(pitch: jax.Array, frames: jax.Array | None) -> jax.Array:
    """Ends the voicing of pitch rows [B, F, 3] with each clip."""
    if frames is None:
        return pitch
    there = jnp.arange(pitch.shape[1]) < frames[:, None]
    return pitch.at[..., 0].multiply(there)
