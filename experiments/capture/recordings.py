"""Checks recordings of an amp against their DI: prints the findings and draws the latency."""

import dataclasses
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.audio_files import SUFFIXES, AudioFile
from experiments.terminal.outputs import check_file, check_folder
from wf_jax.errors import UserError
from wf_jax.whole_files import atomic_path

if TYPE_CHECKING:
    from data_pipeline.pair_report import PairReport

PICTURES = (".png", ".svg", ".pdf")
_MARKS = {"ok": "ok", "note": "note", "warning": "WARNING", "error": "ERROR"}


@dataclasses.dataclass(frozen=True)
class Recordings:
    """A DI and its recordings, and how they are meant: the flags of experiments.check_capture."""

    input: str
    output: str
    plot: str | None = None
    latency: int | None = None
    input_channel: int | None = None
    output_channel: int | None = None
    start_seconds: float = 0.0
    stop_seconds: float = 0.0
    validation_seconds: float = 9.0
    receptive_field: int = 6347
    correct_drift: bool = False
    ignore_checks: bool = False


def check_recordings(given: Recordings) -> int:
    """Checks one recording, or a folder of them; the exit code is 1 where an error was found.

    Raises:
        UserError: a file cannot be read or written.
    """
    _check_files(given)
    if os.path.isdir(given.output):  # which takes a name that is too long for a missing one
        return _check_folder(given)
    return 1 if _first_error(_check_one(Path(given.output), given), given) else 0


def _check_files(given: Recordings) -> None:
    """Refuses files that cannot be read or written, before slow imports."""
    several = os.path.isdir(given.output)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said when the files are read
        for path in (given.input, *(() if several else (given.output,))):
            AudioFile(path)
    if not given.plot:
        return
    plot = Path(given.plot)
    if os.path.isdir(plot) or not plot.suffix:
        check_folder(plot)
    elif several:
        raise UserError(f"--plot={plot}: one picture, but --output is a folder; name a folder")
    elif plot.suffix.lower() not in PICTURES:
        raise UserError(f"--plot={plot}: end its name with {', '.join(PICTURES)}")
    else:
        check_file(plot)


def _check_folder(given: Recordings) -> int:
    folder, played = Path(given.output), Path(given.input).resolve()
    files = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.resolve() != played]
    if not files:
        print(f"ERROR    {folder}: no recordings ({', '.join(SUFFIXES)}); name another folder")
        return 1
    reports = {path.name: _check_one(path, given) for path in sorted(files)}
    errors = {name: _first_error(report, given) for name, report in reports.items()}
    _compare_latencies(reports)
    failed = sum(bool(error) for error in errors.values())
    print(f"{len(files)} recordings checked, {failed} with errors")
    for name, error in errors.items():
        print(f"{'ERROR' if error else 'ok':8s} {error or name}")
    return 1 if failed else 0


def _compare_latencies(reports: dict[str, "PairReport"]) -> None:
    """Prints latencies over one DI where they differ by more than a sample."""
    found = {name: report.latency.samples for name, report in reports.items() if report.latency}
    spread = max(found.values(), default=0) - min(found.values(), default=0)
    if spread > 1:
        each = ", ".join(f"{name} {count}" for name, count in found.items())
        print(
            f"WARNING  the latencies differ by {spread} samples: {each}; record all with one "
            "buffer size, or give each its own latency"
        )


def _first_error(report: "PairReport", given: Recordings) -> str:
    return next((error.line() for error in report.errors(given.ignore_checks)), "")


def _check_one(output: Path, given: Recordings) -> "PairReport":
    """Prints the findings about a recording and draws its latency."""
    from data_pipeline.pair_report import Used, check_capture  # with scipy: a second

    report = check_capture(
        given.input,
        output,
        input_channel=given.input_channel,
        output_channel=given.output_channel,
        latency=given.latency,
        used=Used(given.start_seconds, given.stop_seconds, given.correct_drift),
        validation_seconds=given.validation_seconds,
        receptive_field=given.receptive_field,
    )
    print(output)
    for finding in report.findings:
        print(f"{_MARKS[finding.level]:8s} {finding.line()}")
    if report.latency is not None:
        print(f"latency  {report.latency.describe(report.input.sample_rate)}")
        print(_draw(report, _picture(output, given.plot)), end="\n\n")
    return report


def _picture(output: Path, plot: str | None) -> Path:
    """Returns the path of the latency plot: beside the recording, in a folder, or as named."""
    usual = output.with_name(f"{output.stem}_latency.png")
    if not plot:
        return usual
    named = Path(plot)
    if named.suffix and not os.path.isdir(named):
        return named
    named.mkdir(parents=True, exist_ok=True)
    return named / usual.name


def _draw(report: "PairReport", path: Path) -> str:
    """Writes the latency plot; returns a line with its path, or the reason it is missing."""
    if not report.latency.curves:
        return "plot     none: nothing was measured"
    from matplotlib.figure import Figure  # here, so that --help and wrong flags answer at once

    from experiments.capture.latency_plot import plot_latency

    figure = Figure(figsize=(10, 5), layout="constrained")
    rate, name = report.input.sample_rate, report.output.path.name
    plot_latency(figure.subplots(), report.latency, rate, name)
    try:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=120)
    except (OSError, ValueError) as error:
        return f"WARNING  {path}: plot not written ({error}); name another file with --plot"
    return f"plot     {path}"
