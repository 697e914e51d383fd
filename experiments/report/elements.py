"""The elements of a report page: one HTML file without external resources."""

import base64
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from experiments.report.style import STYLE
from wf_jax.levels import NORMALIZED_PEAK
from wf_jax.whole_files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAYER_SECONDS = 10
# Markers of a page's contents, by which `experiments.join_reports` recognizes a page.
BEGIN, END = "</style></head><body><main>", "</main></body></html>\n"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture with its heading.

    Attributes:
        title: above it.
        figure: the matplotlib figure.
        kind: "svg", or "png" where there are many points.
        caption: below it.
    """

    title: str
    figure: "Figure"
    kind: str
    caption: str


def document(title: str, sections: Iterable[str]) -> str:
    """Returns a page: its title as a heading, then the sections (HTML)."""
    return page(title, f"<h1>{escape(title)}</h1>\n" + "\n".join(sections))


def page(title: str, contents: str) -> str:
    """Returns a page around any contents (HTML)."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}{BEGIN}{contents}{END}"
    )


def write_page(path: str | Path, html: str) -> None:
    """Writes a page, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def section(title: str, contents: str) -> str:
    """Returns a heading and its contents (HTML)."""
    return f"<section><h2>{escape(title)}</h2>{contents}</section>"


def pictures(drawn: Iterable[Picture]) -> str:
    """Returns a section for each picture."""
    return "".join(
        section(p.title, f"{image(p.figure, p.kind, p.title)}<p>{escape(p.caption)}</p>")
        for p in drawn
    )


def image(figure: "Figure", kind: str, title: str) -> str:
    """Returns a figure as an "svg" or "png" picture."""
    mime = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    from experiments.report.drawing import picture  # matplotlib takes longer than all else

    data = _data_uri(picture(figure, kind), mime)
    return f'<div class="card" tabindex="0"><img src="{data}" alt="{escape(title)}"></div>'


def common_gain(clips: Iterable[np.ndarray]) -> float:
    """Returns one factor for all, so that levels compare; below 1 only against clipping."""
    peak = max(float(np.abs(x).max(initial=0.0)) for x in clips)
    return 1.0 if peak < 1 else NORMALIZED_PEAK / peak


def players(clips: Mapping[str, np.ndarray], sample_rate: int, gain: float) -> str:
    """Returns a player for each clip [T] by name, up to PLAYER_SECONDS of it, times `gain`."""
    count = PLAYER_SECONDS * sample_rate
    sources = {
        name: _data_uri(flac(gain * x[:count], sample_rate), "audio/flac")
        for name, x in clips.items()
    }
    each = "".join(
        f"<figure><figcaption>{escape(name)}</figcaption>"
        f'<audio controls preload="none" src="{source}"></audio></figure>'
        for name, source in sources.items()
    )
    return f'<div class="players">{each}</div>'


def levels(gain: float, source: str = "recording") -> str:
    """Describes the gain from `common_gain`, of clips as loud as their source."""
    if gain < 1:
        return f"All turned down by {-20 * np.log10(gain):.1f} dB, since one would clip"
    return f"At the levels of the {source}"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of plain-text rows."""
    return f"<table>{_rows(rows, 'td')}</table>"


def numbers(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a headed table whose columns, except the first, are numbers."""
    return (
        f'<div class="wide"><table class="numbers"><thead>{_rows([heading], "th")}</thead>'
        f"<tbody>{_rows(rows, 'td')}</tbody></table></div>"
    )


def facts(rows: Mapping[str, str]) -> str:
    """Returns the section of facts: names and values."""
    lines = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items()
    )
    return section("Facts", f"<table>{lines}</table>")


def next_steps(commands: Iterable[str]) -> str:
    """Returns the section of command lines to go on with."""
    lines = "".join(f"<pre><code>{escape(command)}</code></pre>" for command in commands)
    return section("Next", lines)


def _rows(rows: Iterable[Sequence[str]], cell: str) -> str:
    lines = ("".join(f"<{cell}>{escape(text)}</{cell}>" for text in row) for row in rows)
    return "".join(f"<tr>{line}</tr>" for line in lines)


def flac(x: np.ndarray, sample_rate: int) -> bytes:
    """Returns a clip [T] as a FLAC file of 16 bits."""
    buffer = io.BytesIO()
    soundfile.write(buffer, x, sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _data_uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
