"""Finds each second of the input in a recording, by correlations window by window.

The spectra are flattened twice: by the linear predictors of the whole file (cross_correlation.py),
and by the square root of each window's own cross-spectrum, halfway to the phase transform (Knapp
and Carter 1976), because the spectrum of a single note is a row of lines, at whose period many lags
look alike. The lags are then read off together, as the path through all windows that explains
them best (Viterbi's algorithm): a window that several lags fit goes with its neighbors.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, rfft

from data_pipeline.cross_correlation import MARGIN, cut, predictor

WINDOW_SECONDS = 1.0
HOP_SECONDS = 0.5
REACH_SECONDS = 0.5
MOST_WINDOWS = 192
FEWEST_WINDOWS = 4
_QUIETEST = 1e-4  # of the loudest window's energy: more than 40 dB below it tells nothing
_BLUR = 0.15  # of its height: how far a peak may be below the highest one and be as likely
_FLOOR = 12.0  # nats that a window which does not fit costs at most
_JUMP = 30.0  # nats that a change of lag costs: three windows must ask for it, for an excursion six
_CLEAR, _HIGH = 0.7, 6.0  # of the highest peak, and in standard deviations: a window that fits
_STEP, _STEP_COST = 8, 0.3  # samples per window that count as drift, and nats per sample
_BEFORE_SECONDS, _AFTER_SECONDS = 0.001, 0.004  # of the response around its strongest lag


@dataclass(frozen=True)
class Windows:
    """Windows that are loud in both files.

    Attributes:
        starts: int [K], first sample of each in the input.
        length: samples of a window.
        reach: largest lag, in samples.
        x_spectra: complex64 [K, F], of the whitened input.
        y_spectra: complex64 [K, F], of the whitened output from over `reach` before to after.
        x_predictor: float64 [P], the filter that whitens the input.
        y_predictor: float64 [P], that of the output.
    """

    starts: np.ndarray
    length: int
    reach: int
    x_spectra: np.ndarray
    y_spectra: np.ndarray
    x_predictor: np.ndarray
    y_predictor: np.ndarray

    @property
    def middles(self) -> np.ndarray:
        """Middle of each window, float64 [K], in samples of the input."""
        return self.starts + 0.5 * self.length


def loud_windows(x: np.ndarray, y: np.ndarray, sample_rate: int) -> Windows | None:
    """Cuts input x [T] and output y [T] into windows; None where fewer than four are loud."""
    length, reach = round(WINDOW_SECONDS * sample_rate), round(REACH_SECONDS * sample_rate)
    total, guard = min(len(x), len(y)), reach + MARGIN
    hop = max(round(HOP_SECONDS * sample_rate), -(-total // MOST_WINDOWS))
    starts = np.arange(0, total - length + 1, hop)
    loud = np.ones(len(starts), bool)
    for signal in (x, y):
        energy = np.array([np.var(signal[s : s + length]) for s in starts])
        loud &= energy > _QUIETEST * np.max(energy, initial=0.0)
    starts = starts[loud]
    if len(starts) < FEWEST_WINDOWS:
        return None
    size = 1 << (length + 2 * guard - 1).bit_length()
    spectra, predictors = [], []
    for signal, before in ((x, 0), (y, guard)):
        parts = [cut(signal, s - before, s + length + before) for s in starts]
        spectrum = rfft(np.asarray(parts, np.float32), size)
        predictors.append(predictor(spectrum))
        spectrum *= rfft(predictors[-1].astype(np.float32), size)
        spectra.append(spectrum)
    return Windows(starts, length, reach, *spectra, *predictors)


def correlation_curves(windows: Windows) -> np.ndarray:
    """Correlates over lags -reach to reach, float32 [K, L]; 1.0 is the noise's deviation."""
    cross = np.conj(windows.x_spectra) * windows.y_spectra
    cross /= np.sqrt(np.abs(cross)) + 1e-12
    curves = irfft(cross)[:, MARGIN : MARGIN + 2 * windows.reach + 1]
    return curves / (np.median(np.abs(curves), axis=1, keepdims=True) / 0.6745 + 1e-12)


def best_path(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lag index of each window on the jointly most likely path.

    A lag costs a window -((top - height) / (_BLUR top + 1))^2 / 2: the lags of a note's period are
    nearly as high as the right one, and which of them is the highest is no noise but the note.

    Args:
        curves: [K, L].

    Returns:
        int [K], and bool [K]: whether the window's correlation is clear and high near there.
    """
    height = np.abs(curves.astype(np.float32))
    top = height.max(axis=1, keepdims=True)
    score = np.maximum(-0.5 * ((top - height) / (_BLUR * top + 1.0)) ** 2, -_FLOOR)
    came_from = np.empty(score.shape, np.int32)
    total, lags = score[0], np.arange(score.shape[1], dtype=np.int32)
    for k in range(1, len(score)):
        best = int(np.argmax(total))
        value = np.full_like(total, total[best] - _JUMP)
        came_from[k] = best
        for step in range(-_STEP, _STEP + 1):
            here = slice(max(step, 0), len(total) + min(step, 0))
            there = slice(max(-step, 0), len(total) + min(-step, 0))
            better = total[there] - _STEP_COST * abs(step) > value[here]
            value[here][better] = (total[there] - _STEP_COST * abs(step))[better]
            came_from[k][here][better] = lags[there][better]
        total = value + score[k]
    path = np.empty(len(score), np.int64)
    path[-1] = np.argmax(total)
    for k in range(len(score) - 1, 0, -1):
        path[k - 1] = came_from[k, path[k]]
    near = np.clip(path[:, None] + np.arange(-_STEP, _STEP + 1), 0, curves.shape[1] - 1)
    reached = np.take_along_axis(height, near, axis=1).max(axis=1)
    return path, (reached >= _CLEAR * top[:, 0]) & (reached >= _HIGH)


def refined_path(curves: np.ndarray, path: np.ndarray, sample_rate: int) -> np.ndarray:
    """Refines lag indices to fractions, by the response common to all windows.

    Args:
        curves: [K, L].
        path: int [K], near the response's strongest lag.
        sample_rate: Hz.

    Returns:
        float64 [K].
    """
    before, after = round(_BEFORE_SECONDS * sample_rate), round(_AFTER_SECONDS * sample_rate)
    offsets = np.arange(-before, after + 1)
    room = 6 * _STEP
    padded = np.pad(curves, ((0, 0), (before + room, after + room))).astype(np.float64)
    path = path.astype(np.int64)
    weights = np.minimum(np.abs(curves[np.arange(len(path)), path]), 50.0)
    for _ in range(3):
        index = path[:, None] + before + room + offsets
        response = np.average(np.take_along_axis(padded, index, axis=1), axis=0, weights=weights)
        matched = np.stack(
            [
                np.correlate(row[p : p + 2 * room + len(offsets)], response, "valid")
                for row, p in zip(padded, path, strict=True)
            ]
        )
        tops = np.argmax(matched, axis=1)
        path = np.clip(path + tops - room, 0, curves.shape[1] - 1)
    return path + np.array([_fraction(m, t) for m, t in zip(matched, tops, strict=True)])


def _fraction(curve: np.ndarray, top: int) -> float:
    """Offset, -0.5 to 0.5, of the top of the parabola through three points."""
    if not 0 < top < len(curve) - 1:
        return 0.0
    left, middle, right = curve[top - 1 : top + 2]
    curvature = left - 2.0 * middle + right
    return float(np.clip(0.5 * (left - right) / curvature, -0.5, 0.5)) if curvature < 0.0 else 0.0
