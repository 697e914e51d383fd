"""Files, colors and short-time spectra for the pictures of both reports."""

import io

import numpy as np
from matplotlib.figure import Figure

GRAY, BLUE, ORANGE, VIOLET = "#555555", "#2a78b5", "#d9762b", "#7a5ea8"
FFT = 2048


def picture(figure: Figure, kind: str) -> bytes:
    """Returns the figure as an "svg" or "png" file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=110)
    return buffer.getvalue()


def mean_level(x: np.ndarray) -> np.ndarray:
    """Average spectrum of x [T] in dB re full scale, without 0 Hz: [FFT / 2]."""
    power = np.mean(np.square(frames(x, 1024)), axis=0)
    return 10 * np.log10(np.maximum(power, 1e-18))[1:]


def frames(x: np.ndarray, hop: int) -> np.ndarray:
    """Magnitudes of x [T] in frames of FFT samples: [frames, FFT / 2 + 1]."""
    x = np.pad(x.astype(np.float64), (0, max(0, FFT - len(x))))
    framed = np.lib.stride_tricks.sliding_window_view(x, FFT)[::hop]
    return np.abs(np.fft.rfft(framed * np.hanning(FFT), axis=1)) / (FFT / 4)
