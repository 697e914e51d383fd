"""Writes the results of a capture run: model.nam, metrics.json and report.html."""

import math
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipeline import captures
from data_pipeline.captures import Capture
from data_pipeline.linear_fit import linear_esr
from experiments.capture.config import CaptureConfig, Data
from experiments.capture.latency_plot import plot_latency
from experiments.capture.models import CaptureModels
from experiments.capture.page import CaptureReport, SizeReport, write_capture_report
from experiments.capture.verdicts import describe_esr
from experiments.run.continuation import longer
from experiments.run.decoration import decorating
from experiments.run.json_files import write_metrics
from experiments.terminal.command_lines import command
from wf_jax.amps.capture_task import CaptureTask
from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_file import read_nam
from wf_jax.amps.nam_models import save_nam
from wf_jax.amps.render import render
from wf_jax.modules import split
from wf_jax.plurals import counted
from wf_jax.training.loop import Result
from wf_jax.training.metrics import duration


def write_results(
    config: CaptureConfig,
    workdir: Path,
    capture: Capture,
    task: CaptureTask,
    initial: CaptureModels,
    result: Result,
    probe: np.ndarray | None,
    show: Callable[[Path, CaptureReport], None],
) -> None:
    """Exports the best models first, then measures them and writes the other files.

    Args:
        config: config of the run.
        workdir: its folder.
        capture: the pair.
        task: that was trained.
        initial: the models it began with.
        result: of the training.
        probe: audio to measure loudness with; None for the built-in one.
        show: called with the folder and the report's content when the page is written.

    Raises:
        UserError: the model is written, and something failed after that.
    """
    models = {size: playing_level(result.models[size], capture.output_gain) for size in task.sizes}
    ordered = sorted(models, key=lambda size: _parameters(models[size]))
    nam = workdir / "model.nam"
    metadata = _metadata(capture, initial, result, ordered[-1])
    save_nam(initial.assemble(models), nam, metadata, loudness_probe=probe)
    with decorating(nam):
        ordered_models = {size: models[size] for size in ordered}
        _describe(config, workdir, capture, task, ordered_models, result, show)


def _describe(
    config: CaptureConfig,
    workdir: Path,
    capture: Capture,
    task: CaptureTask,
    models: dict[str, AmpModel],
    result: Result,
    show: Callable[[Path, CaptureReport], None],
) -> None:
    """Writes metrics.json and report.html, and prints the figures; `models` are smallest first."""
    baseline = linear_esr(
        capture.input_train,
        capture.output_train,
        capture.input_validation,
        capture.output_validation,
        skip=task.lookback,
    )
    nam = workdir / "model.nam"
    esrs = {size: float(result.metrics[f"esr/{size}"][0]) for size in models}
    epochs = {size: float(result.best_epochs[f"esr/{size}"][0]) for size in models}
    metrics = {
        "esr": esrs,
        "best_epoch": epochs,
        "linear_esr": baseline,
        "steps": result.steps,
        "minutes": result.minutes,
        "stopped": result.stopped,
        "finished": result.finished,
        "latency_samples": capture.latency.samples,
        "latency_method": capture.latency.method,
        "warnings": [finding.message for finding in capture.findings if finding.level == "warning"],
    }
    write_metrics(workdir, metrics, reported=False)
    x = capture.input_validation
    predictions = {size: np.concatenate(list(render(model, [x]))) for size, model in models.items()}
    skip = task.lookback
    report = CaptureReport(
        title=read_nam(nam).metadata["name"],
        sample_rate=capture.sample_rate,
        sizes={
            size: SizeReport(
                prediction=predictions[size][skip:],
                best_esr=esrs[size],
                best_epoch=round(epochs[size]),
                parameters=_parameters(models[size]),
            )
            for size in models
        },
        history=result.history,
        steps=result.steps,
        linear_esr=baseline,
        di=x[skip:],
        target=capture.output_validation[skip:] / np.float32(capture.output_gain),
        draw_latency=None
        if capture.lesson
        else partial(plot_latency, latency=capture.latency, sample_rate=capture.sample_rate),
        examined=capture.examined,
        latency_text=capture.latency.describe(capture.sample_rate),
        findings=capture.findings,
        facts=_facts(config, capture, result, nam),
        next_steps=[
            command("render", f"--model={nam}", "--input=di.wav", "--output=wet.wav"),
            longer(config, workdir),
        ],
    )
    write_capture_report(workdir / "report.html", report)
    show(workdir, report)
    write_metrics(workdir, metrics, reported=True)
    _say(workdir, esrs, baseline, result, capture.examined)


def playing_level(stacked: AmpModel, output_gain: float) -> AmpModel:
    """Scales one capture's model from training level back to recording level."""
    model: AmpModel = jax.tree.map(lambda leaf: leaf[0], jax.device_get(stacked))
    return model.scaled(1 / output_gain)


def _parameters(model: AmpModel) -> int:
    return sum(value.size for value in split(model)[1].values())


def _metadata(
    capture: Capture, initial: CaptureModels, result: Result, largest: str
) -> dict[str, Any]:
    # The file's name may hold bytes that are no UTF-8, and JSON may not.
    name = initial.gear["name"] or capture.name.encode(errors="replace").decode()
    esr = float(result.metrics[f"esr/{largest}"][0])
    judged = esr if math.isfinite(esr) else None
    training = {"settings": {"ignore_checks": capture.ignore_checks}, "validation_esr": judged}
    if capture.lesson:
        converted = capture.lesson.metadata(judged)
        return {**initial.gear, "name": name, "training": training, "converted_from": converted}
    training["data"] = captures.metadata(capture)
    return {**initial.gear, "name": name, "training": training}


def _facts(config: CaptureConfig, capture: Capture, result: Result, nam: Path) -> dict[str, str]:
    metadata = read_nam(nam).metadata
    return {
        **_origin(config, capture),
        "trained on": f"{len(capture.input_train) / capture.sample_rate:.1f} s, held out "
        f"{len(capture.input_validation) / capture.sample_rate:.1f} s",
        "training": f"{counted(result.steps, 'step')} in {duration(result.minutes)}; "
        f"{result.stopped}",
        "batch": f"{config.batch_size} windows of {config.train.window} samples",
        "seed": str(config.train.seed),
        "loudness": f"{metadata['loudness']:.1f} dB, gain {metadata['gain']:.2f}",
        "device": f"{jax.device_count()} {jax.devices()[0].device_kind}",
        "versions": f"Python {platform.python_version()}, jax {jax.__version__}",
    }


def _origin(config: CaptureConfig, capture: Capture) -> dict[str, str]:
    """Describes the pair: the teacher, or both files."""
    if lesson := capture.lesson:
        repaired = {"trained away": ", ".join(lesson.repairs)} if lesson.repairs else {}
        return {"teacher": lesson.teacher, "DI": lesson.di, **repaired}
    demo = config.is_demo
    return {
        "DI": "the built-in plucked strings" if demo else config.data.input,
        "recording": "the built-in simulated amp" if demo else config.data.output,
        "part used": _part(config.data, capture.part_seconds),
        "standard file": capture.standard_version or "none: the user's own DI",
    }


def _part(data: Data, seconds: tuple[float, float]) -> str:
    """Describes the used part of both files; `seconds` are its start and end in the DI."""
    is_part = data.start_seconds or data.stop_seconds
    span = f"{'only ' if is_part else 'all, '}from {seconds[0]:.2f} to {seconds[1]:.2f} s"
    return f"{span}; its clock's drift undone" if data.correct_drift else span


def _say(
    workdir: Path, esrs: dict[str, float], baseline: float, result: Result, examined: str
) -> None:
    print(f"\n{result.stopped}: {counted(result.steps, 'step')} in {duration(result.minutes)}")
    for size, esr in esrs.items():
        verdict = describe_esr(esr, baseline, result.steps, examined)
        print(f"  {size:9} ESR {esr:.4f}  {verdict}")
    print(f"  {'no model':9} ESR {baseline:.4f}  the best linear filter, for comparison")
    print("ESR is the error's energy over the signal's: 0.01 is an error 20 dB below the sound.")
    print(f"model:  {workdir / 'model.nam'}  (for players with NAM core 0.5.0 or newer)")
    print(f"report: {workdir / 'report.html'}")
