"""Evaluates a vocoder on held-out clips: likelihood, and the error of the resynthesis.

The resynthesis is made from the clip's own mel. Original and resynthesis are compared at the level
of the recording.
"""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.audio.clips import bucket, clip_mel, fill
from wf_jax.audio.quality import (
    mel_cepstral_distortion,
    multi_resolution_stft_distance,
    voicing_scores,
)
from wf_jax.flows.flow import Flow
from wf_jax.flows.synthesis import synthesize
from wf_jax.flows.vocoder_task import HeldOut, clip_log_likelihoods
from wf_jax.levels import bits_per_sample
from wf_jax.training.metrics import Progress, duration

# Key of a score, what it is called in a table, and decimals.
SCORES = (
    ("log_likelihood", "nats", 3),
    ("bits", "bits", 2),
    ("multi_resolution_stft", "MR-STFT", 3),
    ("mel_cepstral_distortion", "MCD dB", 2),
    ("vuv_f1", "V/UV F1", 3),
    ("periodicity_rmse", "periodicity", 3),
    ("f0_rmse_cents", "f0 cents", 1),
)
# Temperature of what a page lets one hear: the deviation at which WaveGlow's authors speak. What is
# measured is drawn at 1, as it was learned.
CALM = 0.6
Scores = dict[str, float | None]
LIKELIHOODS = ("log_likelihood", "bits")  # their mean is over samples, that of others over clips


@dataclasses.dataclass(frozen=True)
class Judged:
    """A held-out clip, its resynthesis and its scores.

    Attributes:
        number: index of the clip in the given list.
        name: name of the clip.
        seconds: its length.
        original: float32 [T], at recording level.
        resynthesis: float32 [T], at recording level.
        mel: [M, F], of what the model was given.
        resynthesis_mel: [M, F], of what it made of that.
        scores: scores by name; see `judge`.
    """

    number: int
    name: str
    seconds: float
    original: np.ndarray
    resynthesis: np.ndarray
    mel: np.ndarray
    resynthesis_mel: np.ndarray
    scores: Scores


def judge(model: Flow, clips: Sequence[HeldOut]) -> list[Judged]:
    """Judges every clip, with progress on the terminal.

    The scores are those of SCORES: log_likelihood (nats per sample at full scale 1), bits (per
    int16 sample) and the measures of wf_jax.audio.quality; f0_rmse_cents is None where no frame
    is voiced in both.
    """
    progress, judged, start = Progress(), [], time.monotonic()
    progress.update(f"judging {len(clips)} held-out clips; each new length compiles")
    for clip in _judged(jax.device_get(model), clips):
        judged.append(clip)
        spent = (time.monotonic() - start) / 60
        left = duration(spent / len(judged) * (len(clips) - len(judged)))
        progress.update(f"judged {len(judged)} of {len(clips)} held-out clips  ETA {left}")
    progress.close()
    return sorted(judged, key=lambda clip: clip.number)


def _judged(model: Flow, clips: Sequence[HeldOut]) -> Iterator[Judged]:
    """Yields each clip as soon as it is done, in order of length."""
    likelihoods, rate = clip_log_likelihoods(model, clips), model.config.mel.sample_rate
    for number, mel, synthesis in resynthesize(model, clips):
        clip = clips[number]
        original, new = (x / np.float32(clip.gain) for x in (clip.audio, synthesis))
        likelihood = likelihoods[number]
        scores = {"log_likelihood": likelihood, "bits": bits_per_sample(likelihood)}
        scores |= _compare(original, new, rate)
        new_mel = clip_mel(synthesis, model.config.mel)
        yield Judged(number, clip.name, len(original) / rate, original, new, mel, new_mel, scores)


def _compare(original: np.ndarray, synthesis: np.ndarray, sample_rate: int) -> Scores:
    """Returns the scores that compare audio [T] with audio [T]."""
    scores: Scores = {
        "multi_resolution_stft": multi_resolution_stft_distance(original, synthesis),
        "mel_cepstral_distortion": mel_cepstral_distortion(original, synthesis, sample_rate),
        **voicing_scores(original, synthesis, sample_rate),
    }
    return scores


def resynthesize(
    model: Flow, clips: Sequence[HeldOut], temperature: float = 1.0
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields number, mel [M, F] and new audio [T] of every clip, at the scale of the model."""
    mels = [clip_mel(clip.audio, model.config.mel) for clip in clips]
    for number, audio in synthesize(model, mels, temperature=temperature):
        # A model that has hardly begun to learn may overflow; that part is shown as silence.
        audio = np.nan_to_num(audio[: len(clips[number].audio)], posinf=0.0, neginf=0.0)
        yield number, mels[number], audio


def calm(model: Flow, clips: Sequence[HeldOut]) -> list[np.ndarray]:
    """Speaks every clip at the temperature CALM; [T] each, at recording level."""
    spoken = resynthesize(model, clips, CALM)
    audio = {number: new / np.float32(clips[number].gain) for number, _, new in spoken}
    return [audio[number] for number in range(len(clips))]


def mean_scores(judged: Sequence[Judged]) -> Scores:
    """Averages likelihoods over all samples, other scores over the clips that have them."""
    return {name: _mean(name, judged) for name, _, _ in SCORES}


def formatted(scores: Scores) -> list[str]:
    """Formats scores in the order of SCORES; a dash for missing ones."""
    texts = []
    for name, _, decimals in SCORES:
        value = scores[name]
        texts.append("–" if value is None else f"{value:.{decimals}f}")
    return texts


def contents(judged: Sequence[Judged]) -> dict:
    """Returns the content of evaluation.json."""
    clips = {clip.name: {"seconds": clip.seconds, **clip.scores} for clip in judged}
    return {"mean": mean_scores(judged), "clips": clips}


def lines(judged: Sequence[Judged]) -> list[str]:
    """Formats the same content as a table."""
    rows = [(clip.name, clip.scores) for clip in judged] + [("mean", mean_scores(judged))]
    width = max(len(name) for name, _ in rows)
    head = [" " * width + "".join(f"{name:>12}" for _, name, _ in SCORES)]
    return head + [
        f"{name:{width}}" + "".join(f"{text:>12}" for text in formatted(scores))
        for name, scores in rows
    ]


def _mean(name: str, judged: Sequence[Judged]) -> float | None:
    values = [(clip.scores[name], len(clip.original)) for clip in judged]
    values = [(value, samples) for value, samples in values if value is not None]
    if not values:
        return None
    numbers, samples = zip(*values, strict=True)
    return float(np.average(numbers, weights=samples if name in LIKELIHOODS else None))


def latent(model: Flow, clip: HeldOut) -> np.ndarray:
    """Returns z of a clip, [T]: standard normal noise, for a perfect model."""
    settings, samples = model.config.mel, len(clip.audio)
    mel = clip_mel(clip.audio, settings)
    frames = bucket(mel.shape[1])
    audio = fill([clip.audio], frames * settings.hop_length, 1)
    z = _forward(jax.device_get(model), audio, fill([mel], frames, 1), np.array([samples]))
    return np.asarray(z)[0, :samples]


@jax.jit
def _forward(model: Any, audio: jax.Array, mel: jax.Array, lengths: jax.Array) -> jax.Array:
    return model.forward(audio, mel, jnp.asarray(lengths, jnp.int32))[0]
