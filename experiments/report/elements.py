"""The elements of a report page: one HTML file that asks for nothing outside."""

import base64
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.report import listening
from experiments.report.style import STYLE
from wf_jax.levels import NORMALIZED_PEAK
from wf_jax.whole_files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Markers of a page's contents, by which `experiments.join_reports` recognizes a page.
BEGIN, END = "</style></head><body><main>", "</main></body></html>\n"
_REFRESH = '<noscript><meta http-equiv="refresh" content="{}"></noscript>'
# Nothing is loaded from elsewhere, and no scripts run but the page's own, by their digests.
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; img-src {files}; media-src {files}; "
    "style-src 'unsafe-inline'; script-src {scripts}"
)
_BESIDE = "'self' file:"  # a page that is a file has no origin of its own in every browser


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture with its heading.

    Attributes:
        title: above it.
        figure: the matplotlib figure.
        caption: below it.
    """

    title: str
    figure: "Figure"
    caption: str


def document(title: str, sections: Iterable[str], refresh: int = 0) -> str:
    """Returns a page: its title as a heading, then the sections (HTML); see `page`."""
    return page(title, f"<h1>{escape(title)}</h1>\n" + "\n".join(sections), refresh)


def page(
    title: str, contents: str, refresh: int = 0, *, script: str = "", beside: bool = False
) -> str:
    """Returns a page around any contents (HTML).

    Args:
        title: text.
        contents: HTML between the frame.
        refresh: seconds after which it is loaded again, unless something plays; 0 for never.
        script: JavaScript that runs after the contents; "" for none.
        beside: whether pictures and sounds may be files beside the page.
    """
    again = (f' data-refresh="{refresh}"', _REFRESH.format(refresh)) if refresh else ("", "")
    scripts = filter(None, (listening.SCRIPT, script))
    policy = _POLICY.format(
        files=_BESIDE if beside else "data:", scripts=" ".join(map(_digest, scripts))
    )
    last = f"<script>{script}</script>" if script else ""
    return (
        f'<!doctype html>\n<html lang="en"{again[0]}><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">{again[1]}'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<script>{listening.SCRIPT}</script><style>{STYLE}{BEGIN}{contents}{last}{END}"
    )


def is_running(html: str) -> bool:
    """Returns whether a page loads itself again, as those of running trainings do."""
    return html.startswith('<!doctype html>\n<html lang="en" data-refresh=')


def write_page(path: str | Path, html: str) -> None:
    """Writes a page, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def section(title: str, contents: str) -> str:
    """Returns a heading and its contents (HTML)."""
    return f"<section><h2>{escape(title)}</h2>{contents}</section>"


def pictures(drawn: Iterable[Picture]) -> str:
    """Returns the pictures in as many columns as there is room for."""
    sections = "".join(
        section(p.title, f'{image(p.figure, p.title)}<p class="caption">{escape(p.caption)}</p>')
        for p in drawn
    )
    return f'<div class="plots">{sections}</div>'


def image(figure: "Figure", title: str) -> str:
    """Returns a figure as a part of the page."""
    from experiments.report.drawing import plot  # matplotlib takes longer than all else

    return f'<div class="plot">{plot(figure, escape(title))}</div>'


def common_gain(clips: Iterable[np.ndarray]) -> float:
    """Returns one factor for all, so that levels compare; below 1 only against clipping."""
    peak = max(float(np.abs(x).max(initial=0.0)) for x in clips)
    return 1.0 if peak < 1 else NORMALIZED_PEAK / peak


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
        '<div class="wide" tabindex="0" role="group" aria-label="Table of numbers">'
        f'<table class="numbers"><thead>{_rows([heading], "th")}</thead>'
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


def _digest(script: str) -> str:
    """Returns the source of a policy that allows one script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _rows(rows: Iterable[Sequence[str]], cell: str) -> str:
    lines = ("".join(f"<{cell}>{escape(text)}</{cell}>" for text in row) for row in rows)
    return "".join(f"<tr>{line}</tr>" for line in lines)
