"""Pitch by YIN (de Cheveigné and Kawahara, JASA 2002), in numpy.

The tracker of an install without the extra `judge`, which has a published one (`world.py`): its
numbers compare runs of this project with one another.
"""

import numpy as np

LOWEST, HIGHEST = 60.0, 400.0  # Hz
LOWEST_RATE = 4000  # Hz, of the audio
HOP = 0.01  # seconds
_WINDOW = 0.025  # seconds under each comparison
_DIP = 0.15  # the first lag whose normalized difference dips below this is the period
_VOICED = 0.25  # greatest normalized difference of a voiced frame
_SILENCE = 1e-3  # RMS of full scale below which nothing is voiced, -60 dB
_BLOCK = 1024  # frames at a time, for memory


def pitch_track(x: np.ndarray, sample_rate: int) -> np.ndarray:
    """Pitch every 10 ms; frame i is centered on sample i * hop.

    A frame is voiced where YIN's normalized difference is below 0.25 and its RMS above -60 dB of
    full scale.

    Args:
        x: [T], full scale 1.
        sample_rate: Hz.

    Returns:
        f0 in Hz, 0 where unvoiced, [1 + T // hop] with hop 10 ms in whole samples.

    Raises:
        ValueError: several channels, or a sample rate below 4000 Hz.
    """
    x = np.asarray(x, np.float64)
    if x.ndim != 1 or sample_rate < LOWEST_RATE:
        raise ValueError(
            f"audio of shape {x.shape} at {sample_rate} Hz can not be tracked; "
            f"pass one channel, [T], at {LOWEST_RATE} Hz or more"
        )
    hop, longest = round(HOP * sample_rate), round(sample_rate / LOWEST) + 1
    length = round(_WINDOW * sample_rate) + longest
    padded = np.pad(x, (length // 2, length))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[: len(x) + 1 : hop]
    blocks = [frames[i : i + _BLOCK] for i in range(0, len(frames), _BLOCK)]
    return np.concatenate([_track_frames(block, longest, sample_rate) for block in blocks])


def _track_frames(frames: np.ndarray, longest: int, sample_rate: int) -> np.ndarray:
    frames = frames - frames.mean(axis=1, keepdims=True)
    difference = _normalized_difference(*_correlate(frames, longest))
    lag = _first_dip(difference, int(sample_rate / HIGHEST))
    loud = np.sqrt(np.mean(frames**2, axis=1)) > _SILENCE
    voiced = loud & (difference[np.arange(len(lag)), lag] < _VOICED)
    return np.where(voiced, sample_rate / (lag + _vertex(difference, lag)), 0.0)


def _correlate(frames: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlates the first 25 ms with those l later: r(l), energies [F, 1], e(l) [F, L + 1]."""
    window = frames.shape[1] - longest
    size = 1 << int(np.ceil(np.log2(frames.shape[1])))
    head = np.fft.rfft(frames[:, :window], size)
    correlation = np.fft.irfft(np.fft.rfft(frames, size) * head.conj(), size)[:, : longest + 1]
    total = np.pad(np.cumsum(frames**2, axis=1), ((0, 0), (1, 0)))
    later = total[:, window:] - total[:, : longest + 1]
    return correlation, later[:, :1], later


def _normalized_difference(
    correlation: np.ndarray, now: np.ndarray, later: np.ndarray
) -> np.ndarray:
    """YIN's equation 8: d(l) over its mean up to l; 1 at lag 0 and in silence."""
    difference = np.maximum(now + later - 2 * correlation, 0)
    difference[:, 0] = 0
    lags = np.arange(difference.shape[1])
    mean = np.cumsum(difference, axis=1) / np.maximum(lags, 1)
    silent = mean < 1e-12
    return np.where(silent, 1.0, difference / np.where(silent, 1.0, mean))


def _first_dip(difference: np.ndarray, shortest: int) -> np.ndarray:
    """Finds the lag of the first local minimum below _DIP, else of the least value: [F]."""
    inner = difference[:, shortest:-1]
    dips = (inner <= difference[:, shortest - 1 : -2]) & (inner < difference[:, shortest + 1 :])
    dips &= inner < _DIP
    return shortest + np.where(dips.any(axis=1), dips.argmax(axis=1), inner.argmin(axis=1))


def _vertex(values: np.ndarray, lag: np.ndarray) -> np.ndarray:
    """Offset in -0.5..0.5 of the minimum of the parabola through three lags: [F]."""
    row = np.arange(len(lag))
    before, at, after = (values[row, lag + i] for i in (-1, 0, 1))
    curvature = before - 2 * at + after
    curved = curvature > 1e-12
    offset = 0.5 * (before - after) / np.where(curved, curvature, 1.0)
    return np.where(curved, np.clip(offset, -0.5, 0.5), 0.0)
