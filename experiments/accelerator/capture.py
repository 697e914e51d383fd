"""Part `capture`: trains 1 to 256 captures together, and shows where the time goes."""

import functools
from pathlib import Path

import numpy as np

from data_pipeline.synthetic_pair import demo_pair
from experiments.accelerator.amps import new_a2
from experiments.accelerator.report import Options, Report, Row
from experiments.accelerator.trace import top_operations
from experiments.benchmarks.steps import time_steps
from experiments.benchmarks.timing import time_calls
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask
from wf_jax.platforms import chosen
from wf_jax.training.flops import matrix_rate

# After so many two CPU cores had ESR 0.050 and 0.023, in ten minutes (docs/benchmarks.md).
STEPS = 2300
# Optimizer, captures, steps per dispatch, sequences at once (None: what is decided by platform),
# whether the compiler tunes products by timing them.
CASES = (
    ("soap", 1, 8, None, "yes"),
    ("soap", 1, 8, None, "no"),
    ("soap", 64, 8, None, "no"),
    ("soap", 16, 8, None, "no"),
    ("soap", 256, 8, None, "no"),
    ("soap", 64, 8, 512, "no"),
    ("soap", 64, 8, 32, "no"),
    ("adam", 1, 8, None, "no"),
    ("soap", 64, 8, None, "yes"),
    ("soap", 1, 1, None, "no"),
    ("soap", 4, 8, None, "no"),
    ("soap", 1, 8, 4, "no"),
    ("soap", 1, 8, 1, "no"),
)
COLUMNS = ("optimizer", "captures", "steps per dispatch", "sequences at once", "autotuning")
SMALL = (("adam", 1, 1, None, "yes"), ("soap", 2, 2, 2, "yes"))


def measure(report: Report, options: Options) -> None:
    """Times steps of nano and standard together, batch 16 x 8192 for every capture."""
    peak = matrix_rate(precision="highest")
    cases = [dict(zip(COLUMNS, case, strict=True)) for case in (SMALL if options.small else CASES)]
    for number, case in enumerate(report.in_time("Training steps", cases)):
        trace = options.folder / "trace" if number == 0 else None
        tuned = case["autotuning"] == "yes"
        with report.attempt("Training steps", **case) as row, chosen(autotuning=tuned):
            _steps(row, options, peak, trace)
        if trace:
            _operations(report, trace)
    for captures in (1,) if options.small else (1, 16):
        with report.attempt("Validation of 9 s", captures=captures) as row:
            task = _task(captures, options)
            models = task.init()
            timing = time_calls(lambda task=task, models=models: task.evaluate(models))
            row |= {"first call, s": timing.first, "ms": 1e3 * timing.median}
    report.note(
        f"Captures per hour: of {STEPS:,} steps each, without validation. Host: its own work in "
        "sending a step. Share: of a large float32 product at full precision."
    )


def _steps(row: Row, options: Options, peak: float, trace: Path | None) -> None:
    captures, at_once = row["captures"], row["sequences at once"]
    task = _task(captures, options, at_once)
    row["sequences at once"] = min(task.sequences_at_once, captures * task.batch_size)
    steps = time_steps(
        task, row["steps per dispatch"], trace=str(trace or ""), optimizer=row["optimizer"]
    )
    row["captures per hour"] = round(3600 * captures / (STEPS * steps.seconds))
    row |= steps.cells(task.batch_seconds, peak)


def _operations(report: Report, trace: Path) -> None:
    table = "Longest operations, one capture, four dispatches"
    with report.attempt(table) as row:
        operations, (name, whole, often) = top_operations(trace)
        row |= {"operation": name, "ms": whole, "calls": often, "share, %": 100}
    if "error" in row:
        return
    for name, spent, often in operations:
        share = 100 * spent / whole
        report.row(table, operation=name[:60], ms=spent, calls=often, **{"share, %": share})


def _task(captures: int, options: Options, at_once: int | None = None) -> CaptureTask:
    """Makes a task of `captures` copies of one amp, with 9 s of validation audio."""
    judged = 1.0 if options.small else 9.0
    di, amp = _pair(4.0 + judged)
    split = round(judged * 48000)
    parts = (di[:-split], amp[:-split], di[-split:], amp[-split:])
    audio = CaptureAudio(*(np.tile(part, (captures, 1)) for part in parts))
    if options.small:
        models = {"two layers": new_a2("nano", layers=2)}
        return CaptureTask(
            audio, models=models, batch_size=2, window=2048, sequences_at_once=at_once
        )
    return CaptureTask(audio, sequences_at_once=at_once)


@functools.cache
def _pair(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    di, amp = demo_pair(seconds)
    return di.astype(np.float32), amp.astype(np.float32)
