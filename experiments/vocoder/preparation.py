"""Prepares a corpus on a terminal: progress, and a report of what is in it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_pipeline.corpus_index import SPLITS, Clip
from data_pipeline.corpus_preparation import Report, prepare_corpus
from experiments.terminal.command_lines import command
from experiments.terminal.outputs import check_folder
from wf_jax.errors import printable
from wf_jax.plurals import counted
from wf_jax.training.metrics import Progress


def prepare(
    input: str,
    output: str,
    sample_rate: int = 22_050,
    validation: int | None = None,
    skip_bad: bool = False,
) -> None:
    """Prepares a corpus and reports on it; see `prepare_corpus`.

    Raises:
        UserError: nothing was written; all reasons are printed where the line names the first few.
    """
    check_folder(Path(output))
    with contextlib.closing(Progress()) as progress:
        report = prepare_corpus(
            input,
            output,
            sample_rate=sample_rate,
            validation=validation,
            skip_bad=skip_bad,
            progress=progress.update,
        )
    print("\n".join(map(printable, _lines(report))))  # names may be in no encoding at all


def _lines(report: Report) -> Iterator[str]:
    """Formats the report for a person."""
    clips, rate = report.index.clips, report.index.sample_rate
    yield f"corpus      {report.folder}, {rate} Hz, {2 * report.index.samples / 1e6:.1f} MB"
    for split in SPLITS:
        yield f"{split:11s} {_size([c for c in clips if c.split == split], rate)}"
    seconds = np.array([c.samples for c in clips]) / rate
    low, middle, high = seconds.min(), np.median(seconds), seconds.max()
    yield f"duration    {low:.2f} s shortest, {middle:.2f} s median, {high:.2f} s longest"
    levels = np.percentile([max(c.rms_dbfs, -120.0) for c in clips], (5, 50, 95))
    low, middle, high = levels  # dBFS; digital silence counts as -120
    yield f"level       {low:.1f} / {middle:.1f} / {high:.1f} dBFS RMS (5 / 50 / 95 % of clips)"
    yield f"peak        {max(c.peak for c in clips):.3f} of full scale"
    if report.passed_over:
        yield f"passed over {report.passed_over}: no audio"
    yield from (f"left out    {reason}" for reason in report.index.skipped)
    yield from (f"WARNING     {finding}" for finding in report.findings)
    config = ("--config=voice", f"--config.data.corpus={report.folder}")
    yield f"next        {command('train', *config, '--workdir=runs/voice')}"


def _size(clips: list[Clip], rate: int) -> str:
    seconds = sum(clip.samples for clip in clips) / rate
    hours = f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
    return f"{counted(len(clips), 'clip')}, {hours}"
