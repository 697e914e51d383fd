"""Plays, checks and describes files, by the functions of the commands that do."""

import io
from pathlib import Path
from typing import Any, BinaryIO

from experiments.playing.rendering import Rendering, render_file
from wf_jax.training.metrics import Progress
from wf_jax.whole_files import temporary_folder


def built_in_di(path: Path) -> Path:
    """Returns the file of the built-in DI, made at its first use: 48 kHz, 24 bits."""
    from data_pipeline.synthetic_playing import built_in_di as play
    from experiments.vocoder.wav_output import write_clipped

    if not path.exists():
        write_clipped(path, play(9.0, 48_000), 48_000)
    return path


def render(model: Path, source: Path, slim: float) -> BinaryIO:
    """Plays a sound through a model; returns a mono float32 WAV file of its length and rate.

    It has no name any more, and is gone when it is closed.

    Raises:
        UserError: the model or the sound cannot be used.
    """
    with temporary_folder() as place:
        target = place / "wet.wav"
        given = Rendering(str(model), str(source), str(target), slim=slim, resample=True)
        render_file(given, Progress(io.StringIO()))
        return target.open("rb")


def describe(model: Path) -> list[str]:
    """Returns the lines of `experiments.inspect` about a model.

    Raises:
        UserError: it cannot be used.
    """
    from experiments.inspect.description import lines
    from wf_jax.amps.amp_files import model_of, read_amp

    file = read_amp(model)
    return list(lines(file, model_of(file)))


def check(source: Path, recording: Path) -> dict[str, Any]:
    """Checks a recording as `experiments.check_capture` does.

    Returns:
        "findings" in order, each with level, check, message and remedy; "latency" in words, and
        "picture", an SVG for a page; None where it could not be told.
    """
    from data_pipeline.pair_report import check_capture

    report = check_capture(source, recording)
    found: dict[str, Any] = {"latency": None, "picture": None}
    found["findings"] = [
        {"level": f.level, "check": f.check, "message": f.message, "remedy": f.remedy}
        for f in report.findings
    ]
    found["ready"] = not report.errors()
    if report.latency is not None:
        rate = report.input.sample_rate
        found["latency"] = report.latency.describe(rate)
        if report.latency.curves:
            found["picture"] = _latency_picture(report)
    return found


def _latency_picture(report: Any) -> str:
    from functools import partial

    from experiments.capture.figures import latency
    from experiments.capture.latency_plot import plot_latency
    from experiments.report.drawing import plot

    rate = report.input.sample_rate
    draw = partial(plot_latency, latency=report.latency, sample_rate=rate)
    return plot(latency(draw), "Latency")
