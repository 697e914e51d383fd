"""The small pictures and clips of one capture, for the overview of many."""

from pathlib import Path

from matplotlib.figure import Figure

from experiments.capture import figures
from experiments.capture.page import CaptureReport
from experiments.report import elements
from experiments.report.drawing import picture
from wf_jax.whole_files import write_whole

FOLDER = "preview"  # in that of the run
PICTURES = {"error over time": "error.png", "average spectrum": "spectrum.png"}
CLIPS = {"target": "target.flac", "model": "model.flac"}
_SIZE = (2.6, 1.0)  # inches


def write_preview(workdir: Path, report: CaptureReport) -> None:
    """Writes the pictures and clips of a capture's largest model."""
    folder, rate = workdir / FOLDER, report.sample_rate
    folder.mkdir(exist_ok=True)
    largest = list(report.sizes)[-1]
    predictions = {largest: report.sizes[largest].prediction}
    drawn = {
        "error.png": figures.error_over_time(report.target, predictions, rate),
        "spectrum.png": figures.spectra(report.target, predictions, rate),
    }
    for name, figure in drawn.items():
        _write(folder / name, picture(_thumbnail(figure), "png"))
    clips = {"target.flac": report.target, "model.flac": predictions[largest]}
    gain = elements.common_gain(clips.values())
    for name, clip in clips.items():
        clip = gain * clip[: elements.PLAYER_SECONDS * rate]
        _write(folder / name, elements.flac(clip, rate))


def _thumbnail(figure: Figure) -> Figure:
    """Makes a figure small: its lines alone."""
    figure.set_size_inches(*_SIZE)
    figure.legends.clear()
    for axes in figure.axes:
        axes.set_axis_off()
        if axes.get_legend():
            axes.get_legend().remove()
    return figure


def _write(path: Path, content: bytes) -> None:
    write_whole(path, lambda file: file.write(content))
