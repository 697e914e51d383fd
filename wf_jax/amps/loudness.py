"""Measures the `loudness` and `gain` that players read from the metadata of a .nam file."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@jax.jit
def _rms_at_gains(model: Any, probe: jax.Array, gains: jax.Array) -> jax.Array:
    y = model(gains[:, None] * probe)
    return jnp.sqrt(jnp.mean(jnp.square(y), axis=1))


def loudness_and_gain(model: Any, probe: np.ndarray) -> tuple[float, float]:
    """Measures the loudness of a model on a probe signal, and its gain: how much it compresses.

    R(g) is the RMS of model(g * probe). Loudness is 20 log10 R(1); gain compares the mean of
    R(0), R(0.1), ..., R(1) with a model that is linear in g (0) and one that is not at all (1).
    The rule of the NAM trainer.

    Args:
        model: x [B, T] -> y [B, T].
        probe: [T], about 1 s of guitar, used as it is whatever the model's rate.

    Returns:
        Loudness in dB and gain in [0, 1].
    """
    gains = jnp.arange(11, dtype=jnp.float32) / 10
    rms = np.asarray(_rms_at_gains(model, jnp.asarray(probe, jnp.float32), gains), np.float64)
    largest = 11 * rms[-1]
    smallest = largest / 2
    gain = np.clip((rms.sum() - smallest) / max(largest - smallest, 1e-30), 0.0, 1.0)
    return float(20 * np.log10(max(rms[-1], 1e-30))), float(gain)
