"""Writes the results of a vocoder run: training samples, then model/, metrics, report.html."""

import dataclasses
import math
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipeline.corpus import Corpus
from data_pipeline.corpus_index import Clip
from data_pipeline.linear_prediction import (
    gaussian_log_likelihood,
    linear_predictor_log_likelihood,
)
from experiments.report import elements
from experiments.report.drawing import picture
from experiments.report.elements import Picture
from experiments.report.running import RunningPage
from experiments.run.board import Board
from experiments.run.continuation import longer
from experiments.run.decoration import decorating, showing
from experiments.run.folder import RunFolder
from experiments.run.json_files import write_metrics
from experiments.terminal.command_lines import command
from experiments.vocoder import figures
from experiments.vocoder.config import VocoderConfig
from experiments.vocoder.evaluation import calm, judge, latent, resynthesize
from experiments.vocoder.judged import MODEL, means
from experiments.vocoder.page import HEARD, VocoderReport, heard, write_vocoder_report
from experiments.vocoder.wav_output import write_clipped
from wf_jax.audio.clips import clip_mel
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.flow import Flow
from wf_jax.flows.model_folder import save_model
from wf_jax.flows.vocoder_task import HeldOut, VocoderTask
from wf_jax.levels import NORMALIZED_PEAK
from wf_jax.likelihood import bits_per_sample, nats_per_sample
from wf_jax.modules import split
from wf_jax.training.loop import Result
from wf_jax.training.metrics import duration, finite, read_records
from wf_jax.whole_files import atomic_path

# Held-out clips that are spoken while training, and those that are measured at its end; how many
# seconds of each. A model that makes a sample at a time has time for few.
SAMPLES, SLOW_SAMPLES = (3, 6.0), (1, 1.5)
JUDGED, SLOW_JUDGED = (8, math.inf), (2, 3.0)
_BASELINE_CLIPS = 1000  # of the training ones, evenly spread: more change no digit


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
        shown = _comparable(self._history, self._config)
        shown = [r for r in shown if finite(r.get("ll/validation")) is not None]
        best = max((record["ll/validation"] for record in shown), default=-math.inf)
        curve = Picture(
            "Likelihood while training",
            figures.likelihood_over_time(shown, {}, best),
            "Higher is better.",
        )
        listen = [elements.section("Listen", "".join(self._heard))] if self._heard else []
        return [elements.pictures([curve]), *listen]


def write_results(
    workdir: Path, task: VocoderTask, result: Result, corpus: Corpus, config: VocoderConfig
) -> None:
    """Saves the best model first, then measures it and writes the other files.

    Raises:
        UserError: the model is saved, and something failed after that.
    """
    model: Flow = jax.device_get(result.models)
    save_model(workdir / "model", task.config, split(model)[1])
    with decorating(workdir / "model"):
        _describe(workdir, task, model, result, corpus, config)


def _describe(
    workdir: Path,
    task: VocoderTask,
    model: Flow,
    result: Result,
    corpus: Corpus,
    config: VocoderConfig,
) -> None:
    """Writes metrics.json and report.html, and prints the figures."""
    value = float(result.metrics["bits/validation"])
    likelihood = nats_per_sample(value)
    baselines = _baselines(corpus)
    amount = SLOW_JUDGED if task.config.is_slow else JUDGED
    clips = some(task.held_out, task.config, amount)
    judged = judge(model, clips)
    best_step = round(float(result.best_epochs["bits/validation"]) * task.steps_per_epoch)
    parameters = sum(value.size for value in split(model)[1].values())
    report = VocoderReport(
        title=f"{task.config.family} voice: {_corpus_name(config, corpus)}",
        sample_rate=corpus.sample_rate,
        hop=task.config.mel.hop_length,
        log_likelihood=likelihood,
        bits=value,
        parameters=parameters,
        best_step=best_step,
        steps=result.steps,
        minutes=result.minutes,
        history=_comparable(result.history, task.config),
        baselines={name: (ll, bits_per_sample(ll)) for name, ll in baselines.items()},
        clips=judged,
        calm=calm(model, clips[:HEARD]),
        latent=latent(model, task.held_out[0]) if task.config.has_latent else None,
        facts=_facts(config, task, corpus, result),
        next_steps=_next_steps(config, workdir, result),
    )
    metrics = _metrics(report, baselines, result)
    write_metrics(workdir, metrics, reported=False)
    write_vocoder_report(workdir / "report.html", report)
    write_metrics(workdir, metrics, reported=True)
    _say(workdir, report, result)


def _best_so_far(history: Sequence[dict[str, Any]]) -> float:
    """Returns the best bits per sample that an interrupted run had reached."""
    reached = (finite(record.get("bits/validation")) for record in history)
    return min((bits for bits in reached if bits is not None), default=np.inf)


def some(
    held_out: Sequence[HeldOut], config: FlowConfig, amount: tuple[int, float]
) -> list[HeldOut]:
    """Returns the given number of clips, and seconds of each."""
    clips, seconds = amount
    samples = round(min(seconds * config.mel.sample_rate, 2**31))
    return [dataclasses.replace(clip, audio=clip.audio[:samples]) for clip in held_out[:clips]]


def _baselines(corpus: Corpus) -> dict[str, float]:
    """Log-likelihoods of models without a mel, nats per sample."""
    clips = corpus.select("train")
    chosen: Sequence[Clip] = clips[:: max(1, len(clips) // _BASELINE_CLIPS)]
    train = [corpus.audio(clip) for clip in chosen]
    validation = [corpus.audio(clip) for clip in corpus.select("validation")]
    return {
        "linear predictor, order 16": linear_predictor_log_likelihood(train, validation),
        "independent Gaussian": gaussian_log_likelihood(train, validation),
    }


def _comparable(history: Sequence[dict[str, Any]], config: FlowConfig) -> list[dict[str, Any]]:
    """Returns what can be compared in records: scaled clips are judged at another level."""
    left_out = "nll/train" if config.mel.peak_normalize else ""
    return [{k: v for k, v in record.items() if k != left_out} for record in history]


def _metrics(report: VocoderReport, baselines: dict[str, float], result: Result) -> dict[str, Any]:
    return {
        "log_likelihood": report.log_likelihood,
        "bits": report.bits,
        "baselines": baselines,
        "parameters": report.parameters,
        "best_step": report.best_step,
        "steps": result.steps,
        "minutes": result.minutes,
        "stopped": result.stopped,
        "finished": result.finished,
        "judged_clips": [clip.name for clip in report.clips],
        "judged": means(report.clips)[MODEL],
    }


def _corpus_name(config: VocoderConfig, corpus: Corpus) -> str:
    return "the built-in audio" if config.is_demo else corpus.folder.resolve().name


def _facts(
    config: VocoderConfig, task: VocoderTask, corpus: Corpus, result: Result
) -> dict[str, str]:
    model, mel, training = task.config, task.config.mel, config.train
    held = sum(len(clip.audio) for clip in task.held_out) / mel.sample_rate
    learned = sum(clip.samples for clip in corpus.select("train")) / mel.sample_rate
    scaled = f", each clip scaled to a peak of {NORMALIZED_PEAK}" if mel.peak_normalize else ""
    return {
        "corpus": f"{_corpus_name(config, corpus)}, {mel.sample_rate} Hz{scaled}",
        "trained on": f"{len(corpus.select('train'))} clips, {duration(learned / 60)}",
        "held out": f"{len(task.held_out)} clips, {duration(held / 60)}",
        "model": model.describe(),
        "mel": f"{mel.n_mels} bands, {mel.f_min:g} to {mel.f_max:g} Hz, {mel.n_fft} samples "
        f"every {mel.hop_length}",
        "training": f"{result.steps:,} steps in {duration(result.minutes)}; {result.stopped}",
        "batch": f"{training.batch_size} windows of {config.data.window} samples",
        "optimizer": f"{training.optimizer}, rate {training.learning_rate:g}, falling from "
        f"{training.hold:g} of the run to {training.end:g} of it",
        "options": f"gradient norm at most {training.clip_norm:g} (0: any), average of the weights "
        f"{training.average_decay:g} (0: none), dequantized: {training.dequantize}",
        "seed": str(training.seed),
        "device": f"{jax.device_count()} {jax.devices()[0].device_kind}",
        "versions": f"Python {platform.python_version()}, jax {jax.__version__}",
    }


def _next_steps(config: VocoderConfig, workdir: Path, result: Result) -> list[str]:
    return [
        _synthesis(workdir),
        command("evaluate", f"--workdir={workdir}"),
        longer(config, workdir, times=3 if result.finished else 1),
    ]


def _synthesis(workdir: Path) -> str:
    options = [f"--model={workdir}", "--input=speech.wav", f"--output={workdir / 'spoken'}"]
    return command("synthesize", *options)


def _say(workdir: Path, report: VocoderReport, result: Result) -> None:
    rows = {"this model": (report.log_likelihood, report.bits), **report.baselines}
    width = max(map(len, rows))
    print(f"\n{result.stopped}: {result.steps:,} steps in {duration(result.minutes)}")
    for name, (likelihood, value) in rows.items():
        print(f"  {name:{width}}  {likelihood:7.3f} nats per sample  {value:6.2f} bits")
    print("Log-likelihood of held-out speech: more nats, fewer bits of each 16-bit sample.")
    print(f"model:  {workdir / 'model'}")
    print(f"report: {workdir / 'report.html'}")
    print(f"speak:  {_synthesis(workdir)}")
