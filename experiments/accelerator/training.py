"""Part `training`: WaveFlow steps at the paper's sizes, and the largest batch that fits."""

import jax

from experiments.accelerator.flows import BFLOAT16, DEFAULT, HIGHEST, PRECISIONS
from experiments.accelerator.report import Options, Report, Row
from experiments.benchmarks.noise_windows import noise_task
from experiments.benchmarks.steps import time_steps
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.training.flops import matrix_rate

WINDOW = 16000
# Channels, windows per batch, precision, steps per dispatch.
CASES = (
    (64, 8, DEFAULT, 1),
    (64, 64, DEFAULT, 1),
    (64, 8, HIGHEST, 1),
    (64, 8, BFLOAT16, 1),
    (64, 8, DEFAULT, 8),
    (128, 8, DEFAULT, 1),
    (128, 8, DEFAULT, 8),
    (128, 8, HIGHEST, 1),
    (128, 8, BFLOAT16, 1),
)
SMALL = ((8, 2, HIGHEST, 1), (8, 4, HIGHEST, 1))
TABLE = "Training steps"


def measure(report: Report, options: Options) -> None:
    """Times WaveFlow steps, h = 16, in windows of 16,000 samples (2,048 if small)."""
    peak = matrix_rate(precision="highest")
    cases = [
        {"channels": c, "windows": b, "precision": precision, "steps per dispatch": substeps}
        for c, b, precision, substeps in (SMALL if options.small else CASES)
    ]
    rows: list[Row] = []
    for case in report.in_time(TABLE, cases):
        with report.attempt(TABLE, **case) as row:
            _steps(row, options, peak)
        rows.append(row)
    _largest_batch(report, options, rows, peak)
    report.note("Share: of a large float32 product at full precision.")


def _steps(row: Row, options: Options, peak: float) -> None:
    precision = PRECISIONS[row["precision"]]
    config = WaveFlowConfig(channels=row["channels"], **precision)
    if options.small:
        config = WaveFlowConfig(channels=8, height=8, flows=2, layers=2, **precision)
    window = 2048 if options.small else WINDOW
    task = noise_task(config, window, row["windows"])
    row |= time_steps(task, row["steps per dispatch"]).cells(task.batch_seconds, peak)


def _largest_batch(report: Report, options: Options, rows: list[Row], peak: float) -> None:
    """Estimates the largest batch from the memory of two, and takes steps near that."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 0) / 2**30
    sizes = {row["windows"]: row for row in rows if _alike(row, rows[0]) and "error" not in row}
    if len(sizes) < 2 or not limit:
        report.note("The largest batch was not looked for: two sizes and a limit are needed.")
        return
    (few, first), *_, (many, last) = sorted(sizes.items())
    each = (last["memory, GiB"] - first["memory, GiB"]) / (many - few)
    if each <= 0:
        report.note("The largest batch was not looked for: memory does not grow with it.")
        return
    largest = int(few + (limit - first["memory, GiB"]) / each)
    report.note(
        f"A window takes {each:.3g} GiB at {first['channels']} channels, so about {largest} fit "
        f"into {limit:.1f} GiB."
    )
    same = {k: first[k] for k in ("channels", "precision", "steps per dispatch")}
    for case in report.in_time(TABLE, [{"windows": int(0.9 * largest) // 8 * 8, **same}]):
        with report.attempt(TABLE, **case) as row:
            _steps(row, options, peak)


def _alike(row: Row, other: Row) -> bool:
    """Returns whether two rows differ at most in the number of windows."""
    return all(row[k] == other[k] for k in ("channels", "precision", "steps per dispatch"))
