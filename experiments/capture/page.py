"""The report page of a capture: accuracy, sound and origin."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.capture import figures
from experiments.capture.verdicts import band_rows, describe_esr
from experiments.report import elements
from experiments.report.drawing import ON_PAGES
from experiments.report.elements import Picture
from experiments.report.listening import SECONDS, embedded, listening


@dataclasses.dataclass(frozen=True)
class SizeReport:
    """One size of the model.

    Attributes:
        prediction: [T] over the held-out audio, at recording level.
        best_esr: ESR of the kept parameters.
        best_epoch: when they were reached.
        parameters: number of parameters.
    """

    prediction: np.ndarray
    best_esr: float
    best_epoch: int
    parameters: int


@dataclasses.dataclass(frozen=True)
class CaptureReport:
    """The content of the page.

    Attributes:
        title: the capture's name.
        sample_rate: Hz.
        sizes: sizes by name, smallest first.
        history: a record per evaluation, with "minutes" and "esr/SIZE".
        steps: training steps.
        linear_esr: ESR of the best linear filter, or None.
        di: [T] held-out input.
        target: [T] held-out recording.
        draw_latency: draws the latency on given axes, or None.
        latency_text: the latency in words.
        findings: findings of the data checks (check, level, message, remedy).
        facts: rows of the table of facts.
        next_steps: command lines.
        examined: "recording", or "teacher" of a model that was copied.
    """

    title: str
    sample_rate: int
    sizes: dict[str, SizeReport]
    history: Sequence[dict[str, Any]]
    steps: int
    linear_esr: float | None
    di: np.ndarray
    target: np.ndarray
    draw_latency: Callable[[Axes], None] | None
    latency_text: str
    findings: Sequence[Any]
    facts: dict[str, str]
    next_steps: Sequence[str]
    examined: str = "recording"


def write_capture_report(path: str | Path, report: CaptureReport) -> None:
    """Writes the page, whole or not at all."""
    sections = [
        _result(report),
        _listen(report),
        elements.pictures(_pictures(report)),
        _latency(report),
        _checks(report),
        elements.facts(report.facts),
        elements.next_steps(report.next_steps),
    ]
    elements.write_page(path, elements.document(report.title, sections))


def _result(report: CaptureReport) -> str:
    def verdict(size: SizeReport) -> str:
        return describe_esr(size.best_esr, report.linear_esr, report.steps, report.examined)

    cards = "".join(
        f'<div class="result" style="border-color:{ON_PAGES[figures.color(name)]}">'
        f"<h2>{escape(name)}</h2>"
        f"<p><strong>ESR {size.best_esr:.4f}</strong><br>{escape(verdict(size))}</p>"
        f"<p>{size.parameters:,} parameters, best at epoch {size.best_epoch}</p></div>"
        for name, size in report.sizes.items()
    )
    linear = ""
    if report.linear_esr is not None:
        linear = (
            f"<p>For comparison, the best linear filter, which is what an equalizer could do, "
            f"reaches {report.linear_esr:.4f}.</p>"
        )
    return (
        f'<section><div class="results">{cards}</div>'
        "<p>ESR, the error-to-signal ratio, is the energy of the difference between model and amp "
        "divided by the energy of the amp's sound, on audio that was not trained on. 0.01 means "
        f"that the error lies 20 dB below the sound.</p>{linear}"
        f"<details><summary>What an ESR sounds like</summary>{elements.table(band_rows())}"
        "</details></section>"
    )


def _listen(report: CaptureReport) -> str:
    clips = {"DI": report.di, "target": report.target}
    clips |= {name: size.prediction for name, size in report.sizes.items()}
    extent = f"at most {SECONDS} seconds of it"
    return listen(clips, report.sample_rate, extent, report.examined)


def listen(
    clips: Mapping[str, np.ndarray], sample_rate: int, extent: str, source: str = "recording"
) -> str:
    """Returns the section with the listening element of clips [T]; one is named "target".

    All have one gain, so that their levels and differences are those of the recording.
    """
    gain = elements.common_gain(clips.values())
    sources = embedded({name: gain * x for name, x in clips.items()}, sample_rate)
    return elements.section(
        "Listen",
        f"{listening(sources, sample_rate, 'target', 'the held-out audio')}"
        f"<p>{elements.levels(gain, source)}; the held-out audio, {extent}.</p>",
    )


def _pictures(report: CaptureReport) -> list[Picture]:
    predictions = {name: size.prediction for name, size in report.sizes.items()}
    best = {name: size.best_esr for name, size in report.sizes.items()}
    largest = list(predictions)[-1]
    rate = report.sample_rate
    drawn = [
        Picture(
            "ESR while training",
            figures.esr_over_time(report.history, best, report.linear_esr),
            "Lower is better. The marked models are the ones in the .nam file.",
        ),
        Picture(
            "Prediction against target",
            figures.waveforms(report.target, predictions, rate),
            "30 ms around the sharpest attack; the errors below are on the same scale.",
        ),
        Picture(
            "Error over time",
            figures.error_over_time(report.target, predictions, rate),
            "Level of every 50 ms. Where an error comes close to the target, listen there.",
        ),
        Picture(
            "Average spectrum",
            figures.spectra(report.target, predictions, rate),
            "A dotted line far below its solid one is an error that the sound covers.",
        ),
        Picture(
            "Spectrograms",
            figures.spectrograms(report.target, largest, predictions[largest], rate),
            f"Target, {largest}, and what is left between them.",
        ),
    ]
    if report.draw_latency is not None:
        drawn.append(Picture("Latency", figures.latency(report.draw_latency), report.latency_text))
    return drawn


def _latency(report: CaptureReport) -> str:
    if report.draw_latency is not None:  # its picture says it
        return ""
    return elements.section("Latency", f"<p>{escape(report.latency_text)}</p>")


def _checks(report: CaptureReport) -> str:
    rows = "".join(
        f'<tr><td><span class="mark {escape(f.level)}">{escape(f.level)}</span></td>'
        f"<td>{escape(f.check)}</td><td>{escape(f.message)}"
        f"{f'<br><em>{escape(f.remedy)}</em>' if f.remedy else ''}</td></tr>"
        for f in report.findings
    )
    return elements.section(f"Checks of the {report.examined}", f"<table>{rows}</table>")
