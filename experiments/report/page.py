"""The page itself: words, tables, pictures and players, with nothing outside it."""

import base64
import dataclasses
import io
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from matplotlib.axes import Axes

from data_pipeline.atomic import atomic_path
from experiments.report import figures
from experiments.report.style import STYLE
from experiments.report.words import band_rows, esr_words

PLAYER_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class SizeReport:
    """One size of the model.

    Attributes:
        prediction: [T] over the held-out audio, at recording level.
        best_esr: of the parameters that were kept.
        best_epoch: when they were reached.
        parameters: how many there are.
    """

    prediction: np.ndarray
    best_esr: float
    best_epoch: int
    parameters: int


@dataclasses.dataclass(frozen=True)
class CaptureReport:
    """All that the page shows.

    Attributes:
        title: the capture's name.
        sample_rate: Hz.
        sizes: by name, smallest first.
        history: a record per evaluation, with "minutes" and "esr/SIZE".
        linear_esr: ESR of the best linear filter, or None.
        di: [T] held-out input.
        target: [T] held-out recording.
        draw_latency: draws the latency on given axes, or None.
        latency_words: the latency in words.
        findings: what the data checks said (check, level, message, remedy).
        facts: rows of the table of facts.
        next_steps: command lines.
    """

    title: str
    sample_rate: int
    sizes: dict[str, SizeReport]
    history: Sequence[dict[str, Any]]
    linear_esr: float | None
    di: np.ndarray
    target: np.ndarray
    draw_latency: Callable[[Axes], None] | None
    latency_words: str
    findings: Sequence[Any]
    facts: dict[str, str]
    next_steps: Sequence[str]


def write_capture_report(path: str | Path, report: CaptureReport) -> None:
    """Writes the page, whole or not at all."""
    sections = [
        _result(report),
        _players(report),
        _pictures(report),
        _latency(report),
        _checks(report),
        _facts(report),
        _next_steps(report),
    ]
    title = escape(report.title)
    html = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><h1>{title}</h1>\n"
        + "\n".join(sections)
        + "</main></body></html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _result(report: CaptureReport) -> str:
    cards = "".join(
        f'<div class="result" style="border-color:{figures.colour(name)}"><h3>{escape(name)}</h3>'
        f"<p><strong>ESR {size.best_esr:.4f}</strong><br>{escape(esr_words(size.best_esr))}</p>"
        f"<p>{size.parameters:,} parameters, best at epoch {size.best_epoch}</p></div>"
        for name, size in report.sizes.items()
    )
    rows = "".join(f"<tr><td>{escape(a)}</td><td>{escape(b)}</td></tr>" for a, b in band_rows())
    linear = ""
    if report.linear_esr is not None:
        linear = (
            f"<p>For comparison, the best linear filter, which is what an equaliser could do, "
            f"reaches {report.linear_esr:.4f}.</p>"
        )
    return (
        f'<section><div class="results">{cards}</div>'
        "<p>ESR, the error-to-signal ratio, is the energy of the difference between model and amp "
        "divided by the energy of the amp's sound, on audio that was not trained on. 0.01 means "
        f"that the error lies 20 dB below the sound.</p>{linear}"
        f"<details><summary>What an ESR sounds like</summary><table>{rows}</table></details>"
        "</section>"
    )


def _players(report: CaptureReport) -> str:
    clips = {"DI": report.di, "target": report.target}
    clips |= {name: size.prediction for name, size in report.sizes.items()}
    count = PLAYER_SECONDS * report.sample_rate
    # One factor for all, so that levels compare; below 1 only where a clip would be cut off.
    peak = max(float(np.abs(x).max(initial=0.0)) for x in clips.values())
    gain = 1.0 if peak < 1 else 0.999 / peak
    players = "".join(
        f"<figure><figcaption>{escape(name)}</figcaption>"
        f'<audio controls preload="none" src="{_flac(gain * x[:count], report.sample_rate)}">'
        "</audio></figure>"
        for name, x in clips.items()
    )
    levels = "At the levels of the recording"
    if gain < 1:
        levels = f"All turned down by {-20 * np.log10(gain):.1f} dB, since one would clip"
    return (
        f'<section><h2>Listen</h2><div class="players">{players}</div>'
        f"<p>{levels}; the held-out audio, at most {PLAYER_SECONDS} seconds of it.</p></section>"
    )


def _pictures(report: CaptureReport) -> str:
    predictions = {name: size.prediction for name, size in report.sizes.items()}
    best = {name: size.best_esr for name, size in report.sizes.items()}
    largest = list(predictions)[-1]
    rate = report.sample_rate
    drawn = (
        (
            "ESR while training",
            figures.esr_over_time(report.history, best, report.linear_esr),
            "svg",
            "Lower is better. The marked models are the ones in the .nam file.",
        ),
        (
            "Prediction against target",
            figures.waveforms(report.target, predictions, rate),
            "svg",
            "30 ms around the sharpest attack; the errors below are on the same scale.",
        ),
        (
            "Error over time",
            figures.error_over_time(report.target, predictions, rate),
            "svg",
            "Level of every 50 ms. Where an error comes close to the target, listen there.",
        ),
        (
            "Spectrograms",
            figures.spectrograms(report.target, largest, predictions[largest], rate),
            "png",
            f"Target, {largest}, and what is left between them.",
        ),
        (
            "Average spectrum",
            figures.spectra(report.target, predictions, rate),
            "svg",
            "A dotted line far below its solid one is an error that the sound covers.",
        ),
    )
    return "".join(
        f"<section><h2>{title}</h2>{_image(figure, kind, title)}<p>{escape(words)}</p></section>"
        for title, figure, kind, words in drawn
    )


def _latency(report: CaptureReport) -> str:
    image = ""
    if report.draw_latency is not None:
        image = _image(figures.latency(report.draw_latency), "svg", "Latency")
    words = escape(report.latency_words)
    return f"<section><h2>Latency</h2>{image}<p>{words}</p></section>"


def _checks(report: CaptureReport) -> str:
    rows = "".join(
        f'<tr><td><span class="mark {escape(f.level)}">{escape(f.level)}</span></td>'
        f"<td>{escape(f.check)}</td><td>{escape(f.message)}"
        f"{f'<br><em>{escape(f.remedy)}</em>' if f.remedy else ''}</td></tr>"
        for f in report.findings
    )
    return f"<section><h2>Checks of the recording</h2><table>{rows}</table></section>"


def _facts(report: CaptureReport) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in report.facts.items()
    )
    return f"<section><h2>Facts</h2><table>{rows}</table></section>"


def _next_steps(report: CaptureReport) -> str:
    lines = "".join(f"<pre><code>{escape(line)}</code></pre>" for line in report.next_steps)
    return f"<section><h2>Next</h2>{lines}</section>"


def _image(figure: Any, kind: str, title: str) -> str:
    mime = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    data = _data_uri(figures.picture(figure, kind), mime)
    return f'<div class="card" tabindex="0"><img src="{data}" alt="{escape(title)}"></div>'


def _flac(x: np.ndarray, sample_rate: int) -> str:
    buffer = io.BytesIO()
    soundfile.write(buffer, x, sample_rate, format="FLAC", subtype="PCM_16")
    return _data_uri(buffer.getvalue(), "audio/flac")


def _data_uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
