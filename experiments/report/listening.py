"""The listening element: versions of one sound, switched while they play, at one position.

Its HTML is a plain player for each version. `listening.js` makes one instrument of them: waveform,
loop, levels matched, difference from the reference, keys. Page and script ask for nothing outside.
"""

import base64
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path

import numpy as np
import soundfile

SECONDS = 10  # of each version in a report
STYLE, SCRIPT = (
    Path(__file__).with_name(f"listening.{kind}").read_text(encoding="utf-8")
    for kind in ("css", "js")
)


def listening(sources: Mapping[str, str], sample_rate: int, reference: str, label: str) -> str:
    """Returns the element (HTML) for audio files of one length.

    Args:
        sources: URL of each version by its name; data URIs in a page that is a file.
        sample_rate: Hz of all of them.
        reference: name of the version whose level others are matched to, and from which they
            differ.
        label: name of the sound, for screen readers.
    """
    figures = "".join(
        f"<figure{' data-reference' if name == reference else ''}>"
        f"<figcaption>{escape(name)}</figcaption>"
        f'<audio controls preload="none" src="{escape(source)}"></audio></figure>'
        for name, source in sources.items()
    )
    return (
        f'<wf-listening data-rate="{sample_rate}" label="{escape(label)}">{figures}</wf-listening>'
    )


def embedded(clips: Mapping[str, np.ndarray], sample_rate: int) -> dict[str, str]:
    """Returns the first SECONDS of each clip [T], full scale 1, as a data URI by name."""
    return {name: _flac(x[: SECONDS * sample_rate], sample_rate) for name, x in clips.items()}


def _flac(x: np.ndarray, sample_rate: int) -> str:
    buffer = io.BytesIO()
    soundfile.write(buffer, x, sample_rate, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(buffer.getvalue()).decode()}"
