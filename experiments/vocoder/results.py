"""Writes the results of a vocoder run: model/, metrics, report.html."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from data_pipeline.corpus import Corpus
from data_pipeline.corpus_index import Clip
from data_pipeline.linear_prediction import (
    gaussian_log_likelihood,
    linear_predictor_log_likelihood,
)
from experiments.run.continuation import longer
from experiments.run.decoration import decorating
from experiments.run.json_files import write_metrics
from experiments.terminal.command_lines import command
from experiments.vocoder.config import VocoderConfig
from experiments.vocoder.evaluation import calm, judge, latent
from experiments.vocoder.judged import MODEL, means
from experiments.vocoder.page import HEARD, VocoderReport, write_vocoder_report
from experiments.vocoder.samples import JUDGED, SLOW_JUDGED, comparable, some
from wf_jax.flows.flow import Flow
from wf_jax.flows.model_folder import save_model
from wf_jax.flows.vocoder_task import VocoderTask
from wf_jax.levels import NORMALIZED_PEAK
from wf_jax.likelihood import bits_per_sample, nats_per_sample
from wf_jax.modules import split
from wf_jax.plurals import counted
from wf_jax.training.loop import Result
from wf_jax.training.metrics import duration

_BASELINE_CLIPS = 1000  # of the training ones, evenly spread: more change no digit


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
        history=comparable(result.history, task.config),
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
        "trained on": f"{counted(len(corpus.select('train')), 'clip')}, {duration(learned / 60)}",
        "held out": f"{counted(len(task.held_out), 'clip')}, {duration(held / 60)}",
        "model": model.describe(),
        "mel": f"{mel.n_mels} bands, {mel.f_min:g} to {mel.f_max:g} Hz, {mel.n_fft} samples "
        f"every {mel.hop_length}",
        "training": f"{counted(result.steps, 'step')} in {duration(result.minutes)}; "
        f"{result.stopped}",
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
    print(f"\n{result.stopped}: {counted(result.steps, 'step')} in {duration(result.minutes)}")
    for name, (likelihood, value) in rows.items():
        print(f"  {name:{width}}  {likelihood:7.3f} nats per sample  {value:6.2f} bits")
    print("Log-likelihood of held-out speech: more nats, fewer bits of each 16-bit sample.")
    print(f"model:  {workdir / 'model'}")
    print(f"report: {workdir / 'report.html'}")
    print(f"speak:  {_synthesis(workdir)}")
