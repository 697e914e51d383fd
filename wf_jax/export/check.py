"""Compares the functions of a release with its model."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from wf_jax.amps.jax_form import Playable
from wf_jax.audio.mel import mel_spectrogram, peak_gain
from wf_jax.export.amp import Amp
from wf_jax.export.vocoder import Vocoder
from wf_jax.flows.flow import Flow

FRAMES, FEW = 20, 2  # of the clips that are tried; fewer where each sample is a step of its own
BATCH = 2
MAGNIFIED = 10  # steps of float32 that the many roundings of a program are worth


class Difference(NamedTuple):
    """The greatest difference between a release's function and its model.

    Attributes:
        error: over the scale of the result.
        rounding: the same between the model and itself, with inputs that are one step of float32
            apart; 0 where the model magnifies none.
    """

    error: float
    rounding: float = 0.0


def vocoder_differences(release: Vocoder, model: Flow) -> dict[str, Difference]:
    """Compares each function with the model, on noise; mels as magnitudes."""
    rng, config = np.random.default_rng(0), model.config
    frames = FEW if config.is_slow else FRAMES
    audio = 0.1 * rng.standard_normal((BATCH, frames * config.mel.hop_length - 1)).astype(
        np.float32
    )
    gain = np.asarray(peak_gain(audio, config.mel))
    mel = np.asarray(mel_spectrogram(audio * gain, config.mel))
    apart = np.nextafter(mel, rng.choice([-np.inf, np.inf], mel.shape).astype(np.float32))
    sample = jax.jit(lambda model, key, mel: model.sample(key, mel, 0.7))
    log_prob = jax.jit(lambda model, audio, mel: model.log_prob(audio, mel))
    key, level = jax.random.key(1), np.log(gain[:, 0])
    spoken = np.asarray(sample(model, key, mel))
    nats = np.asarray(log_prob(model, audio * gain, mel)) + level
    return {
        "mel": Difference(_difference(np.exp(release.mel(audio)), np.exp(mel))),
        "synthesize": Difference(
            _difference(release.synthesize(mel, key, 0.7), spoken),
            _difference(sample(model, key, apart), spoken),
        ),
        "log_prob": Difference(
            _difference(release.log_prob(audio, mel), nats),
            _difference(np.asarray(log_prob(model, audio * gain, apart)) + level, nats),
        ),
    }


def amp_differences(release: Amp, model: Playable) -> dict[str, Difference]:
    """Returns the same for an amp: whole signals, and one block after the other."""
    rng, facts = np.random.default_rng(0), release.manifest.amp
    lead = (BATCH,) if facts.input_channels == 1 else (BATCH, facts.input_channels)
    found, most = {}, max(facts.blocks, default=0)
    x = 0.3 * rng.standard_normal((*lead, max(facts.chunk, 3 * most) + 100)).astype(np.float32)
    expected = release.render(x)
    found["render"] = Difference(_difference(expected, played(model, x)))
    for size in facts.blocks:
        state, parts = release.init_state(BATCH), []
        for first in range(0, 3 * size, size):
            state, y = release.step(state, x[..., first : first + size])
            parts.append(y)
        error = _difference(np.concatenate(parts, -1), expected[..., : 3 * size])
        found[f"step_{size}"] = Difference(error)
    return found


def played(model: Playable, x: np.ndarray) -> np.ndarray:
    """Returns the model's own output for x [B, T] or [B, channels, T], with silence before."""

    def one(model: Playable, x: jax.Array) -> jax.Array:
        return model.block(model.silence(), x.reshape(model.input_channels, -1))[1]

    y = np.asarray(jax.jit(jax.vmap(one, in_axes=(None, 0)))(model, x))
    return y[:, 0] if model.output_channels == 1 else y


def fault_of(differences: Mapping[str, Difference], tolerance: float) -> str:
    """Names the first function that differs by more than rounding, or by NaN; "" if none does.

    Args:
        differences: of all functions.
        tolerance: of a function whose model magnifies no rounding.
    """
    for name, (error, rounding) in differences.items():
        if not error <= max(tolerance, MAGNIFIED * rounding):
            return f"{name} differs from the model by {error:.1e}"
    return ""


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    expected = np.asarray(expected, np.float64)
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-9))
