"""The training task of a vocoder: random windows in, likelihood of whole held-out clips out.

The mel is computed inside the step from the same audio and by the same function as in evaluation
and synthesis. (In the last frame of a clip they may differ: a window's context is the clip
reflected at its last sample, a whole clip is first filled up to whole hops.)
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from wf_jax.audio.clips import bucket, fill
from wf_jax.audio.mel import MelSettings, mel_of_clips, mel_of_context
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.families import new_flow
from wf_jax.flows.flow import Flow
from wf_jax.levels import FULL_SCALE
from wf_jax.likelihood import bits_per_sample
from wf_jax.mesh import DATA_AXIS, AxisNames, gather_processes, local_mesh
from wf_jax.platforms import choices
from wf_jax.random_streams import random_stream
from wf_jax.training.matrices import Axes
from wf_jax.training.task import Task

MEASURED = 1 << 21  # samples whose mels the model is adapted to: a minute and a half


class Windows(Protocol):
    """A source of batches, each a pure function of the step."""

    def batch(self, step: int, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Returns audio [B, before + window + after] at full scale 1, lengths and gains [B]."""

    def names(self, step: int) -> list[str]:
        """Names each of the B windows."""


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """A held-out clip for evaluation: audio float32 [T], already times `gain`."""

    name: str
    audio: np.ndarray
    gain: float = 1.0


def mel_context(settings: MelSettings, window: int) -> tuple[int, int]:
    """Samples before and after a window that its mel frames need."""
    frames = settings.frames(window)
    needed = (frames - 1) * settings.hop_length + settings.n_fft
    return settings.padding, max(needed - settings.padding - window, 0)


class VocoderTask(Task):
    """Trains a flow on windows of a corpus, judged by the likelihood of whole clips."""

    best_metrics = {"": "bits/validation"}  # noqa: RUF012
    measured = ("band_scale/",)

    def __init__(
        self,
        config: FlowConfig,
        windows: Windows,
        held_out: Sequence[HeldOut],
        *,
        window: int,
        batch_size: int,
        steps_per_epoch: int,
        evaluate_every: int,
        masked: bool = False,
        dequantize: bool = False,
        seed: int = 0,
    ):
        """Sets up the task.

        Args:
            config: of the model.
            windows: batches of `window` samples with the context that `mel_context` returns.
            held_out: clips that are evaluated whole.
            window: samples.
            batch_size: windows per step.
            steps_per_epoch: what counts as an epoch.
            evaluate_every: steps between evaluations.
            masked: True if any window may be longer than its clip.
            dequantize: add noise of one int16 step, which bounds the density of silence.
            seed: of the first weights and of that noise.
        """
        self.config, self.windows, self.held_out = config, windows, held_out
        self.window, self.batch_size, self.seed = window, batch_size, seed
        self.steps_per_epoch, self.evaluate_every = steps_per_epoch, evaluate_every
        self.masked, self.dequantize = masked, dequantize
        self.one_by_one = choices().sequences == 1
        self.batch_axes = dict.fromkeys(("audio", "length", "gain", "noise_seed"), 0)
        self.batch_seconds = batch_size * window / config.mel.sample_rate

    def init(self) -> Flow:
        """Makes a fresh model, adapted to the corpus."""
        flow = new_flow(self.config, random_stream(self.seed))
        flow.adapt(self._mels)
        return flow

    def _mels(self) -> np.ndarray:
        """Returns log-mels [N, M] of the windows of the first steps, the same in every process."""
        settings, rows = self.config.mel, np.arange(self.batch_size)
        steps = range(-(-MEASURED // (self.batch_size * self.window)))
        batches = [self.windows.batch(step, rows) for step in steps]
        audio = np.concatenate([batch["audio"] for batch in batches])
        needed = (settings.frames(self.window) - 1) * settings.hop_length + settings.n_fft
        mel = np.asarray(jax.jit(mel_of_context, static_argnums=1)(audio[:, :needed], settings))
        starts = settings.hop_length * np.arange(mel.shape[2])
        there = starts < np.concatenate([batch["length"] for batch in batches])[:, None]
        return gather_processes(mel.swapaxes(1, 2)[there])[0]

    def batch(self, step: int, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Returns the rows of a step's windows (all if None), each with a seed for its noise."""
        rows = np.arange(self.batch_size) if rows is None else rows
        noise = random_stream(self.seed, step, 1).integers(2**32, size=self.batch_size)
        return {**self.windows.batch(step, rows), "noise_seed": noise[rows].astype(np.uint32)}

    @staticmethod
    def axes_of(name: str, shape: tuple[int, ...]) -> Axes:
        """Sees stacked flows as copies, a kernel as one matrix of taps and inputs by outputs."""
        copies = (0,) if name.startswith(("flows/", "stages/")) else ()
        rest = tuple(range(len(copies), len(shape)))
        return Axes(copies, rest, ()) if len(rest) < 2 else Axes(copies, rest[:-1], rest[-1:])

    def describe(self, step: int) -> str:
        """Describes the windows of a step in words."""
        return "windows " + ", ".join(self.windows.names(step))

    def loss(
        self, model: Flow, batch: dict[str, jax.Array], axis_name: AxisNames = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Computes the negative log-likelihood in nats per sample, over the windows of all devices.

        At the scale that the model sees: `gain` times full scale 1.
        """
        settings, audio = model.config.mel, batch["audio"]
        if self.dequantize:
            noise = dequantization_noise(batch["noise_seed"], audio.shape[1])
            audio = audio + noise * batch["gain"][:, None]
        frames = settings.frames(self.window)
        needed = (frames - 1) * settings.hop_length + settings.n_fft
        mel = model.analyze(audio[:, :needed])
        x = lax.slice_in_dim(audio, settings.padding, settings.padding + self.window, axis=1)
        lengths = batch["length"] if self.masked else None
        nats = jnp.sum(self._log_likelihood(model, x, mel, lengths))
        samples = jnp.sum(batch["length"].astype(jnp.float32))
        if axis_name is not None:
            nats, samples = lax.psum((nats, samples), axis_name)
        side = model.side_loss(mel)
        if axis_name is not None:
            side = lax.pmean(side, axis_name)
        loss = -nats / samples
        return loss + side, {"nll/train": loss}

    def _log_likelihood(
        self, model: Flow, x: jax.Array, mel: jax.Array, lengths: jax.Array | None
    ) -> jax.Array:
        """Computes the log-likelihood [B] of x [B, T] in nats."""

        def one(window: tuple) -> jax.Array:
            return model.log_likelihood(*jax.tree.map(lambda a: a[None], window))[0]

        if self.one_by_one:
            return lax.map(one, (x, mel, lengths))
        return model.log_likelihood(x, mel, lengths)

    def evaluate(self, model: Flow) -> dict[str, float]:
        """Computes the log-likelihood of whole held-out clips: "ll/validation", "bits/validation".

        The mean over all their samples, in nats per sample of audio at full scale 1 (int16 /
        32768), and the same in bits per int16 sample.
        """
        processes, here = jax.process_count(), jax.process_index()
        values = np.zeros(len(self.held_out))
        values[here::processes] = clip_log_likelihoods(model, self.held_out[here::processes])
        values = gather_processes(values.astype(np.float32)).sum(axis=0)  # each has its share
        weights = [len(clip.audio) for clip in self.held_out]
        mean = float(np.average(values.astype(np.float64), weights=weights))
        return {"ll/validation": mean, "bits/validation": np.float32(bits_per_sample(mean))}


def clip_log_likelihoods(model: Flow, clips: Sequence[HeldOut]) -> list[float]:
    """Returns every clip's nats per sample at the file's level (the gain's share is added back).

    Clips of similar length share a compiled program and are split over the devices of this process.
    """
    settings, values = model.config.mel, np.zeros(len(clips))
    groups: dict[int, list[int]] = {}
    for i, clip in enumerate(clips):
        groups.setdefault(bucket(settings.frames(len(clip.audio))), []).append(i)
    for frames, members in groups.items():
        devices, count = jax.local_device_count(), len(members)
        if count > devices:
            count = devices * min(choices().clips, -(-count // devices))
        spec = NamedSharding(local_mesh(count), PartitionSpec(DATA_AXIS))
        here = jax.device_put(model, NamedSharding(spec.mesh, PartitionSpec()))
        for first in range(0, len(members), count):
            chosen = members[first : first + count]
            batch = fill([clips[i].audio for i in chosen], frames * settings.hop_length, count)
            lengths = np.zeros(count, np.int32)
            lengths[: len(chosen)] = [len(clips[i].audio) for i in chosen]
            found = _log_prob(here, *jax.device_put((batch, lengths), spec))
            gains = np.log([clips[i].gain for i in chosen])
            values[chosen] = np.asarray(found, np.float64)[: len(chosen)] + gains
    return values.tolist()


@jax.jit
def _log_prob(model: Flow, audio: jax.Array, lengths: jax.Array) -> jax.Array:
    """Computes nats per sample [B] of clips [B, F * hop] with zeros after their ends."""
    return model.log_prob(audio, mel_of_clips(audio, lengths, model.config.mel), lengths)


def dequantization_noise(seeds: jax.Array, samples: int) -> jax.Array:
    """Draws noise [B, samples] from seeds [B], uniform over one int16 step."""
    half = 0.5 / FULL_SCALE
    draw = partial(jax.random.uniform, shape=(samples,), minval=-half, maxval=half)
    return jax.vmap(lambda seed: draw(jax.random.key(seed)))(seeds)
