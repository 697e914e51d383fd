"""A small net that guesses voicing and pitch from a mel."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.audio.pitch_rows import pitch_range
from wf_jax.flows.frame_conv import FrameConv
from wf_jax.flows.frames import held
from wf_jax.flows.source_filter_config import SourceFilterConfig

_TAPS = 3  # frames
_CONTEXT = 2  # frames on each side that the first layer sees
_BINS = 96  # of pitch
_BLUR = 1.0  # bins, of the pitch that is to be guessed


class PitchGuess(nnx.Module):
    """Guesses voicing and pitch of frames from their log-mel, as BandScale scales it."""

    def __init__(self, config: SourceFilterConfig, *, rng: np.random.Generator):
        """Draws the weights."""
        self.range = pitch_range(config.mel)
        units = config.pitch_units
        self.first = FrameConv(2 * _CONTEXT + 1, config.mel.n_mels, units, rng=rng)
        self.second = FrameConv(_TAPS, units, units, rng=rng)
        self.last = FrameConv(1, units, 1 + _BINS, rng=rng)

    def __call__(
        self, mel: jax.Array, frames: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Maps scaled log-mels [B, M, F] to logits of voicing [B, F] and pitch bins [B, F, bins].

        Of clip b only the first frames[b] count.
        """
        x = held(mel.swapaxes(1, 2), frames)
        for layer in (self.first, self.second):
            x = held(jax.nn.silu(layer(x)), frames)
        out = self.last(x)
        return out[..., 0], out[..., 1:]

    def loss(self, mel: jax.Array, voicing: jax.Array, log_f0: jax.Array) -> jax.Array:
        """Computes the mean cross-entropy of voicing, and of pitch where it is voiced."""
        logit, bins = self(mel)
        apart = (log_f0[..., None] - jnp.asarray(self._centers, log_f0.dtype)) / self._step
        wanted = jax.nn.softmax(-0.5 * jnp.square(apart / _BLUR))
        pitch = -jnp.sum(wanted * jax.nn.log_softmax(bins), axis=-1)
        voiced = jnp.logaddexp(0.0, logit) - voicing * logit
        return jnp.mean(voiced + voicing * pitch)

    def guess(self, mel: jax.Array, frames: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Returns voicing [B, F] and the log of the pitch in Hz [B, F].

        The pitch is the mean of the likeliest bin and its neighbors, and goes on where a frame is
        not voiced.
        """
        logit, bins = self(mel, frames)
        voicing = jax.nn.sigmoid(2 * logit)
        best = jnp.argmax(bins, axis=-1, keepdims=True)
        near = jnp.abs(np.arange(_BINS) - best) <= 2
        share = jax.nn.softmax(jnp.where(near, bins, -jnp.inf))
        return voicing, share @ jnp.asarray(self._centers, mel.dtype)

    @property
    def _centers(self) -> np.ndarray:
        return np.linspace(*np.log(self.range), _BINS)

    @property
    def _step(self) -> float:
        return float(np.log(self.range[1] / self.range[0]) / (_BINS - 1))
