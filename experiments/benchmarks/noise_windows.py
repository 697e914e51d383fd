"""Windows of noise in place of a corpus, for measurements of speed."""

import numpy as np

from wf_jax.audio.mel import MelSettings
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.vocoder_task import VocoderTask, mel_context


class _NoiseWindows:
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


def noise_task(config: FlowConfig, window: int, batch_size: int) -> VocoderTask:
    """Makes the task of training a flow on windows of noise."""
    noise = _NoiseWindows(config.mel, window, batch_size)
    sizes = {"window": window, "batch_size": batch_size}
    return VocoderTask(config, noise, [], **sizes, steps_per_epoch=1, evaluate_every=1)
