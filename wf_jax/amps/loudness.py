"""Measures the `loudness` and `gain` that players read from the metadata of a .nam file."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.amps.engines import plays_natively
from wf_jax.amps.render import render


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
    signals = np.arange(11, dtype=np.float32)[:, None] / 10 * np.asarray(probe, np.float32)
    if plays_natively(model):  # which compiles nothing
        rms = np.array([_rms(np.concatenate(list(render(model, [x])))) for x in signals])
    else:
        rms = np.asarray(_rms_of_all(model, jnp.asarray(signals)), np.float64)
    largest = 11 * rms[-1]
    smallest = largest / 2
    gain = np.clip((rms.sum() - smallest) / max(largest - smallest, 1e-30), 0.0, 1.0)
    return float(20 * np.log10(max(rms[-1], 1e-30))), float(gain)


@jax.jit
def _rms_of_all(model: Any, x: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(jnp.square(model(x)), axis=1))


def _rms(y: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(y, dtype=np.float64))))
