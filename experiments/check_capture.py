"""Checks recordings of an amp before training on them.

    python -m experiments.check_capture --input=di.wav --output=amp.wav

One line per check, then the latency, which is also drawn. `--output` may be a folder: every audio
file in it is checked, and latencies that differ are set beside each other. Exit code: 0 fine, 1 an
error was found, or a flag is wrong.
"""

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from data_pipeline.audio_files import SUFFIXES, AudioFile
from experiments.terminal.outputs import check_file, check_folder
from experiments.terminal.start import no_arguments, parse_flags
from experiments.terminal.streams import prepare_terminal
from wf_jax.errors import UserError
from wf_jax.whole_files import atomic_path

if TYPE_CHECKING:
    from data_pipeline.pair_report import PairReport

PICTURES = (".png", ".svg", ".pdf")
_MARKS = {"ok": "ok", "note": "note", "warning": "WARNING", "error": "ERROR"}


def main(argv: list[str]) -> int:
    """Checks one output, or a folder of them; returns the exit code."""
    options = _define_flags()
    if {"--help", "-help", "-h"} & set(argv):
        print(f"{__doc__}\n{options.module_help(__name__)}")
        return 0
    no_arguments(parse_flags(argv, options), "--input=di.wav")
    try:
        _check_files(options)
    except UserError as error:
        sys.exit(str(error))
    output = Path(options.output)
    if os.path.isdir(output):  # which takes a name that is too long for a missing one
        return _check_folder(output, options)
    return 1 if _first_error(_check_one(output, options), options) else 0


def _check_files(options: flags.FlagValues) -> None:
    """Refuses files that cannot be read or written, before slow imports.

    Raises:
        UserError: with the file and the remedy.
    """
    output = Path(options.output)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said when the files are read
        for path in (options.input, *(() if os.path.isdir(output) else (output,))):
            AudioFile(path)
    if not options.plot:
        return
    plot = Path(options.plot)
    if os.path.isdir(plot) or not plot.suffix:
        check_folder(plot)
    elif os.path.isdir(output):
        raise UserError(f"--plot={plot}: one picture, but --output is a folder; name a folder")
    elif plot.suffix.lower() not in PICTURES:
        raise UserError(f"--plot={plot}: end its name with {', '.join(PICTURES)}")
    else:
        check_file(plot)


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


def _check_folder(folder: Path, options: flags.FlagValues) -> int:
    played = Path(options.input).resolve()
    files = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.resolve() != played]
    if not files:
        print(f"ERROR    {folder}: no recordings ({', '.join(SUFFIXES)}); name another folder")
        return 1
    reports = {path.name: _check_one(path, options) for path in sorted(files)}
    errors = {name: _first_error(report, options) for name, report in reports.items()}
    _compare_latencies(reports)
    failed = sum(bool(error) for error in errors.values())
    print(f"{len(files)} recordings checked, {failed} with errors")
    for name, error in errors.items():
        print(f"{'ERROR' if error else 'ok':8s} {error or name}")
    return 1 if failed else 0


def _compare_latencies(reports: dict[str, "PairReport"]) -> None:
    """Prints latencies over one DI where they differ by more than a sample."""
    found = {name: report.latency for name, report in reports.items()}
    samples = {name: latency.samples for name, latency in found.items() if latency is not None}
    if not samples or max(samples.values()) - min(samples.values()) <= 1:
        return
    each = ", ".join(f"{name} {count}" for name, count in samples.items())
    print(
        f"WARNING  the latencies differ by {max(samples.values()) - min(samples.values())} samples:"
        f" {each}; record all with one buffer size, or give each its own latency"
    )


def _first_error(report: "PairReport", options: flags.FlagValues) -> str:
    return next((error.line() for error in report.errors(options.ignore_checks)), "")


def _check_one(output: Path, options: flags.FlagValues) -> "PairReport":
    """Prints the findings about a recording and draws its latency."""
    from data_pipeline.pair_report import Used, check_capture  # with scipy: a second

    report = check_capture(
        options.input,
        output,
        input_channel=options.input_channel,
        output_channel=options.output_channel,
        latency=options.latency,
        used=Used(options.start_seconds, options.stop_seconds, options.correct_drift),
        validation_seconds=options.validation_seconds,
        receptive_field=options.receptive_field,
    )
    print(output)
    for finding in report.findings:
        print(f"{_MARKS[finding.level]:8s} {finding.line()}")
    if report.latency is not None:
        print(f"latency  {report.latency.describe(report.input.sample_rate)}")
        print(_draw(report, _picture(output, options.plot)), end="\n\n")
    return report


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


def _define_flags() -> flags.FlagValues:
    values = flags.FlagValues()  # not the global ones: several commands may live in one process
    text, number, real = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_float
    text("input", None, "The DI that was played: WAV, FLAC, AIFF.", values, required=True)
    text("output", None, "What came back, or a folder of such files.", values, required=True)
    text("plot", None, "Picture or folder; default: beside OUTPUT.", values)
    number("latency", None, "Samples the output lags; default: measured.", flag_values=values)
    number("input_channel", None, "Of a file with several, from 1.", 1, flag_values=values)
    number("output_channel", None, "Of files with several, from 1.", 1, flag_values=values)
    real("start_seconds", 0.0, "First second of both that is used.", 0.0, flag_values=values)
    real("stop_seconds", 0.0, "Where that ends; 0: at their end.", 0.0, flag_values=values)
    real("validation_seconds", 9.0, "Held out at the end, own DI.", 0.0, flag_values=values)
    number("receptive_field", 6347, "Of the model to train; A2's.", 1, flag_values=values)
    flags.DEFINE_boolean("correct_drift", False, "Resample the output to one clock.", values)
    flags.DEFINE_boolean("ignore_checks", False, "Fail only if training is impossible.", values)
    return values


if __name__ == "__main__":
    prepare_terminal()
    sys.exit(main(sys.argv))
