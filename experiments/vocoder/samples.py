"""Shows a vocoder run while it trains: clips spoken so far, a page, and the best model."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from experiments.report import elements
from experiments.report.drawing import picture
from experiments.report.elements import Picture
from experiments.report.running import RunningPage
from experiments.run.board import Board
from experiments.run.decoration import showing
from experiments.run.folder import RunFolder
from experiments.vocoder import figures
from experiments.vocoder.evaluation import resynthesize
from experiments.vocoder.page import heard
from experiments.vocoder.wav_output import write_clipped
from wf_jax.audio.clips import clip_mel
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.flow import Flow
from wf_jax.flows.model_folder import save_model
from wf_jax.flows.vocoder_task import HeldOut, VocoderTask
from wf_jax.modules import split
from wf_jax.training.metrics import finite, read_records
from wf_jax.whole_files import atomic_path

# Held-out clips that are spoken while training, and those that are measured at its end; how many
# seconds of each. A model that makes a sample at a time has time for few.
SAMPLES, SLOW_SAMPLES = (3, 6.0), (1, 1.5)
JUDGED, SLOW_JUDGED = (8, math.inf), (2, 3.0)


class TrainingSamples:
    """Shows a run while it trains: resynthesized held-out clips, and TensorBoard data.

    `workdir`/samples/step-000500/NAME.wav and .png; scalars, audio and pictures for TensorBoard in
    `workdir`/tensorboard, if tensorboardX is installed; a page in `workdir`/report.html. Also keeps
    the best model so far in `workdir`/model, so that it can be used while the run goes on.
    """

    def __init__(self, workdir: RunFolder, task: VocoderTask, every: int):
        """Writes samples at each `every`-th evaluation of `task`."""
        self._workdir, self._board = workdir, Board(workdir)
        self._folder, self._model = workdir.local / "samples", workdir.local / "model"
        self._config, self._history = task.config, read_records(workdir.shared / "metrics.jsonl")
        self._best = _best_so_far(self._history)
        self._page = RunningPage(workdir.local / "report.html", f"{task.config.family} voice")
        self._heard: list[str] = []
        self._period = every * task.evaluate_every
        self._clips = some(
            task.held_out, task.config, SLOW_SAMPLES if task.config.is_slow else SAMPLES
        )

    def __call__(self, step: int, module: Flow, record: dict[str, Any]) -> None:
        """Runs after each evaluation; see wf_jax.training.loop.train."""
        with showing(self._folder):
            self._show(step, module, record)
        with showing(self._folder.parent / "report.html"):
            self._history = [r for r in self._history if r["step"] < step] + [record]
            if self._page.due():
                self._page.write(step, record["minutes"], self._sections())

    def _show(self, step: int, module: Flow, record: dict[str, Any]) -> None:
        if record["bits/validation"] <= self._best:  # it may be counted already, but not saved
            save_model(self._model, self._config, jax.device_get(split(module)[1]))
            self._best = record["bits/validation"]
        if step % self._period == 0:
            self._speak(step, jax.device_get(module))
        self._board(step, module, record)

    def _speak(self, step: int, model: Flow) -> None:
        folder, settings = self._folder / f"step-{step:06d}", model.config.mel
        folder.mkdir(parents=True, exist_ok=True)
        self._heard = []
        for number, mel, new in resynthesize(model, self._clips):
            clip = self._clips[number]
            name, mels = clip.name.replace("/", "_"), (mel, clip_mel(new, settings))
            levels = tuple(x / np.float32(clip.gain) for x in (clip.audio, new))
            title = f"{clip.name}, step {step:,}"
            drawn = picture(figures.sample(mels, levels, settings.sample_rate, title))
            write_clipped(folder / f"{name}.wav", levels[1], settings.sample_rate)
            with atomic_path(folder / f"{name}.png") as path:
                path.write_bytes(drawn)
            self._board.add_audio(name, step, levels[1], settings.sample_rate)
            self._board.add_picture(name, step, drawn)
            spoken = {f"step {step:,}": levels[1]}
            self._heard.append(heard(clip.name, levels[0], spoken, settings.sample_rate))

    def _sections(self) -> list[str]:
        shown = comparable(self._history, self._config)
        shown = [r for r in shown if finite(r.get("ll/validation")) is not None]
        best = max((record["ll/validation"] for record in shown), default=-math.inf)
        curve = Picture(
            "Likelihood while training",
            figures.likelihood_over_time(shown, {}, best),
            "Higher is better.",
        )
        listen = [elements.section("Listen", "".join(self._heard))] if self._heard else []
        return [elements.pictures([curve]), *listen]


def some(
    held_out: Sequence[HeldOut], config: FlowConfig, amount: tuple[int, float]
) -> list[HeldOut]:
    """Returns the given number of clips, and seconds of each."""
    clips, seconds = amount
    samples = round(min(seconds * config.mel.sample_rate, 2**31))
    return [dataclasses.replace(clip, audio=clip.audio[:samples]) for clip in held_out[:clips]]


def comparable(history: Sequence[dict[str, Any]], config: FlowConfig) -> list[dict[str, Any]]:
    """Returns what can be compared in records: scaled clips are judged at another level."""
    left_out = "nll/train" if config.mel.peak_normalize else ""
    return [{k: v for k, v in record.items() if k != left_out} for record in history]


def _best_so_far(history: Sequence[dict[str, Any]]) -> float:
    """Returns the best bits per sample that an interrupted run had reached."""
    reached = (finite(record.get("bits/validation")) for record in history)
    return min((bits for bits in reached if bits is not None), default=np.inf)
