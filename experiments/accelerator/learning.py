"""Part `train`: trains a WaveFlow of C = 64 for the remaining time and synthesizes clips.

This process leaves the accelerator alone: the commands that it runs need it, one after the other.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from data_pipeline.corpus import Corpus
from data_pipeline.corpus_preparation import prepare_corpus
from data_pipeline.synthetic_speech import write_demo_corpus
from experiments.accelerator.commands import Command, CommandError, run_command
from experiments.accelerator.report import Options, Report
from wf_jax.training.metrics import read_records

CURVE, SPOKEN, EXACT = "Learning a voice", "Held-out clips spoken", "The same at full precision"
LONG = 240.0  # seconds from which on a run is timed first and judged at full precision afterwards
# Seconds that these may take: a command's start, compiling, a run's report, ...
START, COMPILE, REPORT, SPEAK, JUDGE = 10.0, 30.0, 20.0, 25.0, 40.0
INTERVAL, USUAL = 30.0, 100  # seconds between rows, and steps where their speed is not known
CLIPS = 3
SETTINGS = {
    "model.matmul_precision": "default",
    "train.learning_rate": 1e-3,
    "train.warmup": 0.03,
    "train.hold": 0.3,
    "train.end": 0.05,
    "train.clip_norm": 5.0,
    "train.average_decay": 0.999,
    "train.samples_every": 1_000_000,
}
SMALL = {
    "model.height": 8,
    "model.flows": 1,
    "model.layers": 1,
    "model.channels": 8,
    "data.window": 2048,
    "train.batch_size": 2,
}
NOTE = (
    "Its float32 products are of the device's default precision, TF32 on a GPU and bfloat16 on a "
    "TPU, in training, likelihood and synthesis alike (--config.model.matmul_precision=default)."
)


def measure(report: Report, options: Options) -> None:
    """Adds rows of a learning curve, then of three clips; files stay in the part's folder."""
    corpus, run = corpus_of(options), options.folder / "run"
    report.note(NOTE)
    try:
        every = _steps_between_evaluations(report, options, corpus)
        for cells in _learn(report, options, corpus, run, every):
            report.row(CURVE, **cells)
    except CommandError as error:
        report.row(CURVE, error=str(error))
    try:
        _speak(report, options, corpus, run)
    except (CommandError, OSError) as error:
        report.row(SPOKEN, error=str(error))
    if _is_long(options):
        with report.attempt(EXACT) as row:
            row["nats per sample"] = _exact_likelihood(report, options, corpus, run)


def corpus_of(options: Options) -> Path:
    """Returns the requested corpus, or one of built-in speech made in the part's folder."""
    if options.corpus:
        return Path(options.corpus)
    clips, seconds, held_out = (6, 0.5, CLIPS) if options.small else (120, 4.0, 8)
    write_demo_corpus(options.folder / "clips", clips, seconds)
    prepare_corpus(options.folder / "clips", options.folder / "corpus", validation=held_out)
    return options.folder / "corpus"


def _arguments(options: Options, corpus: Path, run: Path, **others: float) -> list[str]:
    """Returns the options of experiments.train; `others` are options of `train`."""
    settings: dict[str, Any] = {**SETTINGS, **(SMALL if options.small else {})}
    settings |= {"data.corpus": corpus, **{f"train.{k}": v for k, v in others.items()}}
    return [
        "--config=waveflow:64",
        f"--workdir={run}",
        *(f"--config.{name}={value}" for name, value in settings.items()),
    ]


def _steps_between_evaluations(report: Report, options: Options, corpus: Path) -> int:
    """Returns the steps that take INTERVAL, from the speed of a few; USUAL if time is short.

    The run itself reuses the programs compiled for them.
    """
    if not _is_long(options):
        return 5 if options.small else USUAL
    trial = options.folder / "trial"
    arguments = _arguments(options, corpus, trial, steps=1000, evaluate_every=20)
    try:
        with Command("train", arguments, options.folder / "trial.txt") as command:
            command.wait(report.seconds_left / 2, lambda: bool(read_records(_curve(trial))))
    except CommandError as error:
        report.row(CURVE, error=f"trial: {error}")
    speeds = [record.get("speed/steps") for record in read_records(_curve(trial))]
    return max(1, round(INTERVAL * speeds[0])) if speeds and speeds[0] else USUAL


def _learn(
    report: Report, options: Options, corpus: Path, run: Path, every: int
) -> Iterator[dict[str, float]]:
    """Trains for the remaining time; yields cells about every half minute and at the end.

    Training ends when the rest of the part needs the time; if that is short, as soon as the run
    begins to measure its model for a report.
    """
    rest = SPEAK + JUDGE if _is_long(options) else min(SPEAK, options.seconds / 4)
    before = START + (REPORT if _is_long(options) else COMPILE)
    minutes = max(report.seconds_left - before - rest, 1.0) / 60
    budget = {"steps": 10} if options.small else {"minutes": minutes}
    arguments = _arguments(options, corpus, run, evaluate_every=every, **budget)
    path, log, shown, going = _curve(run), options.folder / "train.txt", 0, True

    def is_over() -> bool:
        short = not _is_long(options)
        measures = short and "judging" in log.read_text(errors="replace")
        return measures or report.seconds_left < rest

    with Command("train", arguments, log) as command:
        while going:
            size, limit = _size(path), max(report.seconds_left, START)
            going = command.wait(limit, lambda size=size: _size(path) != size or is_over())
            going = going and not is_over()
            records = read_records(path)
            if len(records) > shown and (not going or _is_due(records, shown)):
                yield _cells(records[-1])
                shown = len(records)
    if not shown:
        raise CommandError("train: no evaluation before the time was over")


def _is_long(options: Options) -> bool:
    return options.seconds >= LONG and not options.small


def _curve(run: Path) -> Path:
    return run / "metrics.jsonl"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_due(records: list[dict[str, Any]], shown: int) -> bool:
    """Returns whether the last record is about INTERVAL after the last one shown."""
    before = records[shown - 1]["minutes"] if shown else 0.0
    return 60 * (records[-1]["minutes"] - before) > 0.9 * INTERVAL


def _cells(record: dict[str, Any]) -> dict[str, float]:
    memory = record.get("memory/device_gb", record["memory/host_gb"])
    return {
        "minutes": record["minutes"],
        "step": record["step"],
        "nats per sample, held out": record["ll/validation"],
        "steps/s": record.get("speed/steps"),
        "x real time": record.get("speed/audio"),
        "peak memory, GB": memory,
    }


def _speak(report: Report, options: Options, corpus: Path, run: Path) -> None:
    """Adds a row for each held-out clip that the model resynthesizes."""
    originals, spoken = options.folder / "originals", options.folder / "spoken"
    originals.mkdir()
    opened = Corpus.open(corpus)
    for clip in opened.select("validation")[:CLIPS]:
        path = originals / f"{clip.name.replace('/', '_')}.wav"
        soundfile.write(path, opened.audio(clip), opened.sample_rate, subtype="PCM_16")
    arguments = [f"--model={run}", f"--input={originals}", f"--output={spoken}"]
    run_command(
        "synthesize", arguments, options.folder / "speak.txt", max(report.seconds_left, SPEAK)
    )
    for path in sorted(originals.iterdir()):
        original, _ = soundfile.read(path)
        audio, rate = soundfile.read(spoken / path.name)
        report.row(
            SPOKEN,
            clip=path.stem,
            seconds=len(audio) / rate,
            RMS=float(np.sqrt(np.mean(audio**2))),
            **{"RMS of the original": float(np.sqrt(np.mean(original**2)))},
            peak=float(np.abs(audio).max()),
            file=str((spoken / path.name).relative_to(options.folder)),
        )


def _exact_likelihood(report: Report, options: Options, corpus: Path, run: Path) -> float:
    """Nats per sample of the held-out clips, same parameters and exact products."""
    exact = options.folder / "exact"
    shutil.copytree(run / "model", exact)
    content = json.loads((exact / "config.json").read_text())
    content["model"]["matmul_precision"] = "highest"
    (exact / "config.json").write_text(json.dumps(content))
    arguments = [f"--workdir={exact}", f"--corpus={corpus}"]
    run_command(
        "evaluate", arguments, options.folder / "exact.txt", max(report.seconds_left, JUDGE)
    )
    judged = json.loads((exact / "evaluation.json").read_text())
    return judged["mean"]["log_likelihood"]
