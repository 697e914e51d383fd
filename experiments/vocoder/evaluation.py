"""Evaluates a vocoder on held-out clips: likelihood, and how good the resynthesis is.

The resynthesis is made from the clip's own mel, and so are those of Griffin-Lim and of noise that
is pulled to the mel, which need no training; WORLD's is made from the recording. All are compared
with the original at the level of the recording.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.vocoder.judged import Judged, Version
from experiments.vocoder.scores import Scores
from wf_jax.audio.clips import bucket, clip_mel, fill
from wf_jax.audio.griffin_lim import griffin_lim
from wf_jax.audio.judge_packages import package
from wf_jax.audio.mel_matching import pulled_noise
from wf_jax.audio.perceptual import perceptual_scores
from wf_jax.audio.quality import log_spectral_distance, mel_cepstral_distortion, pitch_scores
from wf_jax.audio.world import harvest_pitch, world_resynthesis
from wf_jax.audio.yin import pitch_track
from wf_jax.flows.flow import Flow
from wf_jax.flows.synthesis import synthesize
from wf_jax.flows.vocoder_task import HeldOut, clip_log_likelihoods
from wf_jax.likelihood import bits_per_sample
from wf_jax.training.metrics import Progress, duration

# Temperature of what a page lets one hear: the deviation at which WaveGlow's authors speak. What is
# measured is drawn at 1, as it was learned.
CALM = 0.6


def judge(model: Flow, clips: Sequence[HeldOut]) -> list[Judged]:
    """Judges every clip, with progress on the terminal.

    The scores are those of experiments.vocoder.scores; what takes a package of the extra `judge`
    is absent without it.
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
    likelihoods, settings = clip_log_likelihoods(model, clips), model.config.mel
    rate = settings.sample_rate
    for number, mel, synthesis in resynthesize(model, clips):
        clip, likelihood = clips[number], likelihoods[number]
        rough = griffin_lim(mel, settings, len(clip.audio))
        pulled = pulled_noise(mel, settings, len(clip.audio))
        original, new, rough, pulled = (
            x / np.float32(clip.gain) for x in (clip.audio, synthesis, rough, pulled)
        )
        untrained = {"Griffin-Lim": rough, "pulled noise": pulled}
        reference = _Reference(original, rate)
        scores = {"log_likelihood": likelihood, "bits": bits_per_sample(likelihood)}
        yield Judged(
            number,
            clip.name,
            len(original) / rate,
            original,
            new,
            mel,
            clip_mel(synthesis, settings),
            scores | reference.scores(new),
            {
                name: Version(audio, reference.scores(audio))
                for name, audio in (untrained | reference.copies()).items()
            },
        )


class _Reference:
    """An original [T] with its pitch, and what is compared with it."""

    def __init__(self, audio: np.ndarray, sample_rate: int):
        self._audio, self._rate = audio, sample_rate
        self._has_world = package("pyworld") is not None
        self._tracker, self._track = (
            ("harvest", harvest_pitch) if self._has_world else ("yin", pitch_track)
        )
        self._pitch = self._track(audio, sample_rate)

    def scores(self, synthesis: np.ndarray) -> Scores:
        """Returns the scores of audio [T]."""
        pair = self._audio, synthesis, self._rate
        pitch = pitch_scores(self._pitch, self._track(synthesis, self._rate))
        return {
            **perceptual_scores(*pair),
            "log_spectral_distance": log_spectral_distance(*pair),
            "mel_cepstral_distortion": mel_cepstral_distortion(*pair),
            **{f"{name}_{self._tracker}": value for name, value in pitch.items()},
        }

    def copies(self) -> dict[str, np.ndarray]:
        """Returns the audio [T] of WORLD, if it is installed."""
        if not self._has_world:
            return {}
        return {"WORLD": world_resynthesis(self._audio, self._pitch, self._rate)}


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
