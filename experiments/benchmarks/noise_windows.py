"""Windows of noise in place of a corpus, for measurements of speed."""

import numpy as np

from wf_jax.audio.mel import MelSettings
from wf_jax.flows.vocoder import mel_context


class NoiseWindows:
    """The same batch at every step."""

    def __init__(self, settings: MelSettings, window: int, batch_size: int):
        """Draws `batch_size` windows."""
        width = sum(mel_context(settings, window)) + window
        noise = np.random.default_rng(1).standard_normal((batch_size, width), np.float32)
        self._arrays = {
            "audio": np.float32(0.1) * noise,
            "length": np.full(batch_size, window, np.int32),
            "gain": np.ones(batch_size, np.float32),
        }

    def batch(self, step: int, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Rows of it."""
        return {name: array[rows] for name, array in self._arrays.items()}
