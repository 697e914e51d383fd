"""Measures how fast a flow synthesizes."""

import statistics
import time

import jax
import numpy as np

from wf_jax.flows.flow import Flow


def real_time(model: Flow) -> float:
    """Seconds of audio made per second: one clip, median of three."""
    mel, count = model.config.mel, 3
    frames = 16 if model.config.is_slow else round(4 * mel.sample_rate / mel.hop_length / 16) * 16
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((1, frames * mel.hop_length), np.float32)
    condition = np.full((1, mel.n_mels, frames), np.log(mel.floor), np.float32)
    seeds, times = np.zeros(1, np.uint32), []
    for _ in range(count + 1):
        start = time.perf_counter()
        jax.block_until_ready(_generate(model, noise, seeds, condition))
        times.append(time.perf_counter() - start)
    return frames * mel.hop_length / mel.sample_rate / statistics.median(times[1:])


@jax.jit
def _generate(model: Flow, noise: jax.Array, seeds: jax.Array, mel: jax.Array) -> jax.Array:
    return model.generate(noise, seeds, mel)
