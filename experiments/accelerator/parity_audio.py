"""Compares log-mel and multi-resolution STFT loss with float64, including gradients."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.accelerator.parity_checks import (
    Check,
    Errors,
    Jit,
    cast,
    device_jit,
    distance,
    host_jit,
    on_host,
    relative,
)
from wf_jax.audio.mel import MelSettings, mel_spectrogram
from wf_jax.audio.spectral_loss import multi_resolution_stft

TABLE = "Parity: audio"
TOLERANCES = {"value": 2e-6, "gradient": 5e-5}
# RMS of the noise. At 0.1 the faintest bins have nearly all of the gradient of the logarithm, and
# the FFT's rounding reaches them: 4e-4 of the gradient are then lost on any device.
LEVEL = np.float32(0.001)
Value = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]  # what is derived, and shown


def checks(small: bool) -> list[Check]:
    """Returns one row each."""
    jit, samples = device_jit(small), 4096 if small else 16384
    functions: dict[str, Value] = {
        "log-mel spectrogram": _log_mel,
        "multi-resolution STFT loss": _stft_loss,
    }
    return [
        Check(TABLE, {"function": name}, partial(_errors, value, samples, jit), TOLERANCES)
        for name, value in functions.items()
    ]


def _log_mel(x: jax.Array, other: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes the log-mel of x, and a sum of it that weighs every cell differently."""
    mel = mel_spectrogram(x, MelSettings())
    weights = other[:, : mel[0].size].reshape(mel.shape)
    return jnp.sum(weights * mel), mel


def _stft_loss(x: jax.Array, other: jax.Array) -> tuple[jax.Array, jax.Array]:
    loss = multi_resolution_stft(x, other)
    return loss, loss


def _errors(value: Value, samples: int, jit: Jit) -> Errors:
    x, other = LEVEL * np.random.default_rng(1).standard_normal((2, 2, samples), np.float32)
    function = jax.grad(value, has_aux=True)
    gradient, shown = jit(function)(x, other)
    with on_host():
        exact_gradient, exact = host_jit(function)(*cast((x, other), "float64"))
    return {"value": relative(shown, exact), "gradient": distance(gradient, exact_gradient)}
