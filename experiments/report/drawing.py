"""Colors, files and short-time spectra for the pictures of both reports."""

import io
import re
import warnings
from functools import cache

import numpy as np
from matplotlib import ft2font, rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont

# Each has a light and a dark value on a page; see style.py.
GRAY, BLUE, ORANGE, VIOLET = "#555555", "#236ba5", "#b3560f", "#7a5ea8"
ON_PAGES = {
    "#000000": "currentColor",
    "#ffffff": "var(--card)",
    GRAY: "var(--gray)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    VIOLET: "var(--violet)",
}
FFT = 2048
LEGEND = {"fontsize": "small", "frameon": False}
_WIDTH = 4.2  # inches: its text can be read on a telephone, and in one of two columns
_DOTS = 220  # per inch, of parts that are made of dots


def sheet(height: float) -> Figure:
    """Returns an empty figure for a page, `height` inches high."""
    return Figure(figsize=(_WIDTH, height), layout="constrained")


def picture(figure: Figure) -> bytes:
    """Returns the figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def plot(figure: Figure, title: str) -> str:
    """Returns the figure as an element of a page: text is text, colors are the page's."""
    buffer = io.StringIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": title}
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the page's fonts have it
        figure.savefig(buffer, format="svg", dpi=_DOTS, transparent=True)
    return _inlined(buffer.getvalue(), title)


def drawable(text: str) -> str:
    """Returns a text for a picture: escapes what its font lacks, and dollars (no formulas)."""
    glyphs = _glyphs()
    shown = (c if ord(c) in glyphs else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown).replace("$", r"\$")


def mean_level(x: np.ndarray) -> np.ndarray:
    """Average spectrum of x [T] in dB re full scale, without 0 Hz: [FFT / 2]."""
    power = np.mean(np.square(frame_magnitudes(x, 1024)), axis=0)
    return 10 * np.log10(np.maximum(power, 1e-18))[1:]


def frame_magnitudes(x: np.ndarray, hop: int) -> np.ndarray:
    """Magnitudes of x [T] in frames of FFT samples: [frames, FFT / 2 + 1]."""
    x = np.pad(x.astype(np.float64), (0, max(0, FFT - len(x))))
    framed = np.lib.stride_tricks.sliding_window_view(x, FFT)[::hop]
    return np.abs(np.fft.rfft(framed * np.hanning(FFT), axis=1)) / (FFT / 4)


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(ft2font.FT2Font(findfont("DejaVu Sans")).get_charmap())


def _inlined(svg: str, title: str) -> str:
    """Makes an SVG file a part of a page: without frame, styles and names that collide there."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font: ([^;\"']*)'DejaVu Sans'[^;\"]*", r"font: \1system-ui, sans-serif", svg)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| (width|height)="[\d.]+pt"', "", svg)
    svg = re.sub(r"#[0-9a-f]{6}(?=[;\"])", lambda match: ON_PAGES.get(match[0], match[0]), svg)
    return re.sub(r"\n\s*", "\n", svg).replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
