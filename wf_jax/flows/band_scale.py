"""The log-mels of a voice at mean 0 and deviation 1, band by band.

So the nets of a voice see what those of another voice saw, whatever the microphone and the level
(Viikki and Laurila, "Cepstral domain segmental feature vector normalization", 1998, without the
cepstrum). The arrays are measured of a corpus and never trained.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.flows.source_filter_config import LOG_SPREAD, MIDDLE

_LEAST = 0.1  # spread of a band that hardly moves


class BandScale(nnx.Module):
    """Scales log-mels by the mean and the deviation of each band."""

    def __init__(self, n_mels: int):
        """Begins with what speech usually has."""
        self.middle = nnx.Param(np.full(n_mels, MIDDLE, np.float32))
        self.log_spread = nnx.Param(np.full(n_mels, LOG_SPREAD, np.float32))

    def adapt(self, mels: np.ndarray) -> None:
        """Takes mean and deviation from log-mels [N, M]."""
        spread = np.maximum(mels.std(axis=0, dtype=np.float64), _LEAST)
        self.middle = nnx.Param(mels.mean(axis=0, dtype=np.float64).astype(np.float32))
        self.log_spread = nnx.Param(np.log(spread).astype(np.float32))

    def __call__(self, mel: jax.Array) -> jax.Array:
        """Scales log-mels [B, M, F]."""
        middle, log_spread = map(jax.lax.stop_gradient, (self.middle[...], self.log_spread[...]))
        return (mel - middle[:, None]) * jnp.exp(-log_spread)[:, None]
