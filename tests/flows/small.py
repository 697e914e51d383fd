"""Flows small enough to test, and WaveFlow in slow loops, written from the paper alone."""

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.audio.mel import MelSettings
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.families import new_flow
from wf_jax.flows.flow import Flow
from wf_jax.flows.source_filter_config import SourceFilterConfig
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.flows.waveglow_config import WaveGlowConfig
from wf_jax.flows.wavenet_config import WaveNetConfig
from wf_jax.modules import split

MEL = MelSettings(
    sample_rate=8000, n_fft=64, hop_length=16, win_length=64, n_mels=4, f_max=4000.0, center=False
)


def config(**changes) -> WaveFlowConfig:
    values = {"height": 8, "flows": 2, "layers": 2, "channels": 4, "upsample_factors": (4, 4)}
    return WaveFlowConfig(**{**values, "mel": MEL, **changes})


def waveglow_config(**changes) -> WaveGlowConfig:
    values = {"groups": 4, "flows": 3, "early_every": 2, "layers": 2, "channels": 4}
    return WaveGlowConfig(**{**values, "mel": MEL, **changes})


def wavenet_config(**changes) -> WaveNetConfig:
    values = {"layers": 2, "cycle": 2, "channels": 4, "mixtures": 3, "companded_classes": 16}
    return WaveNetConfig(**{**values, "upsample_factors": (4, 4), "mel": MEL, **changes})


def source_filter_config(**changes) -> SourceFilterConfig:
    values = {"height": 8, "flows": 2, "layers": 2, "channels": 4, "order": 4, "harmonics": 3}
    values |= {"residual_order": 3, "features": 3, "pitch_units": 4, "matches": 0}
    return SourceFilterConfig(**{**values, "mel": MEL, **changes})


def random_model(settings: FlowConfig, seed: int = 0, amount: float = 0.1) -> Flow:
    """Adds noise to every array of a fresh model, whose flows would otherwise copy.

    The arrays are float64 inside `jax.enable_x64` and float32 outside.
    """
    rng = np.random.default_rng(seed)
    model = new_flow(settings, rng)
    return jax.tree.map(
        lambda v: jnp.asarray(
            v + amount * rng.standard_normal(np.shape(v)), jnp.result_type(float)
        ),
        model,
    )


def random_inputs(settings: FlowConfig, batch: int, samples: int, seed: int = 1):
    """Draws audio [B, T] and mel [B, M, F] of numpy's float64."""
    rng = np.random.default_rng(seed)
    mel = rng.standard_normal((batch, settings.bands, settings.mel.frames(samples)))
    return rng.standard_normal((batch, samples)), mel


def plain_params(model: Flow) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float64) for name, value in split(model)[1].items()}


def normed(params: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Normalizes weights: w = g v / |v|, the norm over all but the output channel."""
    kernel, gain = params[f"{name}/kernel"], params[f"{name}/gain"]
    weight = np.zeros_like(kernel)
    for o in range(kernel.shape[-1]):
        weight[..., o] = gain[o] * kernel[..., o] / np.sqrt(np.sum(kernel[..., o] ** 2))
    return weight


def slow_flow(params, x, c, dilations):
    """Computes one flow: x [h, W] and c [h, W, M] -> z [h, W], log scales [h - 1, W].

    `params` are those of one flow. Zeros around are in hidden space, after the start product.
    """
    height, width = x.shape
    inputs, c = x[:-1], c[1:]
    hidden = inputs[:, :, None] * normed(params, "start")[0] + params["start/bias"]
    channels, skips = hidden.shape[-1], 0.0
    for number, (down, across) in enumerate(dilations):
        name = f"layers/{number}"
        kernel, matrix = normed(params, f"{name}/conv"), normed(params, f"{name}/condition")
        a = np.zeros((height - 1, width, 2 * channels))
        for r in range(height - 1):
            for w in range(width):
                a[r, w] = params[f"{name}/conv/bias"] + params[f"{name}/condition/bias"]
                a[r, w] += c[r, w] @ matrix
                for i in range(3):  # tap 2 is the current row: causal
                    for j in range(3):  # tap 1 is the current column: centered
                        row, column = r + (i - 2) * down, w + (j - 1) * across
                        if row >= 0 and 0 <= column < width:
                            a[r, w] += hidden[row, column] @ kernel[i, j]
        gated = np.tanh(a[..., :channels]) / (1 + np.exp(-a[..., channels:]))
        out = gated @ normed(params, f"{name}/out") + params[f"{name}/out/bias"]
        skips = skips + out[..., -channels:]
        if number < len(dilations) - 1:
            hidden = hidden + out[..., :channels]
    end = skips @ params["end/kernel"] + params["end/bias"]
    z = x.copy()
    z[1:] = np.exp(end[..., 0]) * x[1:] + end[..., 1]
    return z, end[..., 0]


def slow_upsample(params, mel, factors):
    """Upsamples mel [M, F] -> [M, F * hop] in scatter form; an odd factor's last column is cut."""
    for number, s in enumerate(factors):
        name = f"upsampler/layers/{number}"
        kernel = params[f"{name}/kernel"]
        kernel = params[f"{name}/gain"] * kernel / np.sqrt(np.sum(kernel**2))
        bands, frames = mel.shape
        out = np.zeros((bands, frames * s))
        for m in range(bands):
            for t in range(frames):
                for a in range(3):
                    for k in range(2 * s):
                        band, time = m - 1 + a, t * s - s // 2 + k
                        if 0 <= band < bands and 0 <= time < frames * s:
                            out[band, time] += mel[m, t] * kernel[a, k]
        out += params[f"{name}/bias"]
        mel = np.where(out > 0, out, 0.4 * out)
    return mel
