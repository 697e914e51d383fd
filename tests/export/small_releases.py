"""Releases of models small enough to test, with the models' own results."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from tests.amps.nam_examples import EXAMPLES
from tests.flows import small
from tests.quick_jit import quick_jit
from wf_jax.amps import a2, save_nam
from wf_jax.audio.clips import fill
from wf_jax.audio.draws import clip_keys, draw
from wf_jax.audio.mel import mel_spectrogram
from wf_jax.export.write import About, write_amp, write_vocoder
from wf_jax.flows.flow import Flow

FLOWS = {
    "WaveFlow": small.config(channels=3),
    "SourceFilter": small.source_filter_config(),
    "WaveGlow": small.waveglow_config(upsample_hops=3),
    "WaveNet": small.wavenet_config(head="logistic_mixture"),
}
NAMS = ("A2", "legacy", "lstm")  # legacy: two arrays with the keys of A1
PLATFORMS = ("cpu", "cuda", "tpu")
silent = partial(str)  # a `say` that says nothing


def flow(family: str) -> Flow:
    return small.random_model(FLOWS[family])


def vocoder_release(folder: Path, family: str = "WaveFlow", **options) -> Path:
    return written(folder, flow(family), **options)


def written(folder: Path, model: Flow, platforms=PLATFORMS, **options) -> Path:
    """Writes the release of any vocoder."""
    folder.mkdir(parents=True)
    about = About("voice", metrics={"log_likelihood": 4.5, "lost": float("nan")})
    write_vocoder(folder, model, about, platforms, say=silent, **options)
    return folder


def nam(folder: Path, name: str) -> Path:
    """Writes a .nam file."""
    path = folder / f"{name}.nam"
    if name == "A2":
        model = a2.create("nano", np.random.default_rng(0)).scaled(50.0)
        save_nam(model, path, {"name": "small amp"})
    else:
        path.write_text(json.dumps(EXAMPLES[name]()))
    return path


def amp_release(folder: Path, name: str = "A2", platforms=PLATFORMS, **options) -> Path:
    folder.mkdir(parents=True)
    path = nam(folder.parent, name)
    write_amp(folder, path, About("amp"), platforms, say=silent, **{"blocks": (64,), **options})
    return folder


def clip(batch: int, samples: int, seed: int = 5) -> np.ndarray:
    """Returns audio [B, T]."""
    return np.random.default_rng(seed).normal(0, 0.3, (batch, samples)).astype(np.float32)


def mels(batch: int, frames: int, seed: int = 6) -> np.ndarray:
    """Returns mels [B, M, F]."""
    return np.random.default_rng(seed).standard_normal((batch, 4, frames)).astype(np.float32)


def sampled(model: Flow, mel: np.ndarray, seed: int, temperature: float) -> np.ndarray:
    sample = quick_jit(lambda model, mel: model.sample(jax.random.key(seed), mel, temperature))
    return np.asarray(sample(model, mel))


@quick_jit
def _says(model, keys, audio, mel, lengths, temperature):
    noise, seeds = draw(keys, jnp.zeros_like(lengths), mel, small.MEL.hop_length)
    new = model.generate(noise, seeds, mel, lengths, temperature)
    return new, model.log_prob(audio, mel, lengths)


def model_says(model: Flow, audio: np.ndarray, mel: np.ndarray, seed: int, temperature: float):
    """Returns sampled audio [B, F * hop] and nats [B] in one array length for all requests."""
    batch, frames = len(mel), mel.shape[2]
    keys = clip_keys(jax.random.key(seed), 2)
    samples = [np.array([n] * batch + [0] * (2 - batch)) for n in (frames * 16, audio.shape[1])]
    filled = fill(audio, 80 * 16, 2), fill(mel, 80, 2)
    new, _ = _says(model, keys, *filled, samples[0].astype(np.int32), temperature)
    _, nats = _says(model, keys, *filled, samples[1].astype(np.int32), temperature)
    return np.asarray(new)[:batch, : frames * 16], np.asarray(nats)[:batch]


def mel_of(audio: np.ndarray) -> np.ndarray:
    return np.asarray(mel_spectrogram(audio, small.MEL))
