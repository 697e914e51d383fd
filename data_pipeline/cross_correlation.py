"""Cross-correlates two long signals, whitened so that the response's first sample stands out.

Box and Jenkins' prewhitening (Time Series Analysis, ch. 11): filter each signal by the inverse of
its own linear predictor, then correlate. The predictors are causal and start with a 1, so that a
response which begins at lag D still begins exactly at lag D, whatever the cabinet's spectrum.
Everything happens on spectra of the loudest segments: 60 s take 0.1 to 0.6 s on one core.
"""

from dataclasses import dataclass

import numpy as np

PREDICTOR_ORDER = 128
_FLOOR_ORDER = 32
_EDGE = 480
MARGIN = _EDGE + PREDICTOR_ORDER + _FLOOR_ORDER  # lags spoilt by the edges of y
_MOST_SEGMENTS = 32
_FEWEST_SEGMENTS = 6


@dataclass(frozen=True)
class CrossCorrelation:
    """A whitened cross-correlation in units of its own noise.

    Attributes:
        lags: int [L], samples; positive where the output is later than the input.
        curve: float64 [L]; 1.0 is the standard deviation far from the peak (a robust estimate).
        segments: float64 [S, L], the same for each segment by itself.
        plain: float64 [L], the correlation without whitening, scaled to nothing in particular.
    """

    lags: np.ndarray
    curve: np.ndarray
    segments: np.ndarray
    plain: np.ndarray

    def peak(self) -> int:
        """Index of the strongest correlation of either sign."""
        return int(np.argmax(np.abs(self.curve)))


def whitened_cross_correlation(x: np.ndarray, y: np.ndarray, reach: int) -> CrossCorrelation | None:
    """Correlates output y [T] with input x [T] over lags -reach to reach.

    Args:
        x: the input, float64 [T].
        y: the output, float64 [T].
        reach: the largest lag looked at, in samples.

    Returns:
        The correlation, or None where either signal is silent wherever the other one is not.
    """
    spectra = _segment_spectra(x, y, reach)
    if spectra is None:
        return None
    x_spectra, y_spectra = spectra  # [S, F]
    x_whitened = x_spectra * _predictor_spectrum(x_spectra)
    y_whitened = y_spectra * _predictor_spectrum(y_spectra)
    loudness = np.linalg.norm(x_whitened, axis=1) * np.linalg.norm(y_whitened, axis=1)
    segments = np.fft.irfft(np.conj(x_whitened) * y_whitened / loudness[:, None], axis=1)
    plain = np.fft.irfft(np.sum(np.conj(x_spectra) * y_spectra, axis=0))
    curve, segments = _in_units_of_noise(segments[:, : 2 * reach + 1 + MARGIN], MARGIN)
    plain = plain[MARGIN : MARGIN + 2 * reach + 1]
    return CrossCorrelation(np.arange(-reach, reach + 1), curve, segments, plain)


def linear_predictor(autocorrelation: np.ndarray) -> np.ndarray:
    """Computes the prediction error filter [P + 1] from autocorrelation 0..P (Levinson)."""
    coefficients = np.ones(1)
    error = autocorrelation[0]
    for order in range(1, len(autocorrelation)):
        reflection = -(coefficients @ autocorrelation[order:0:-1]) / error
        coefficients = np.append(coefficients, 0.0)
        coefficients = coefficients + reflection * coefficients[::-1]
        error *= 1.0 - reflection**2
    return coefficients


def _segment_spectra(
    x: np.ndarray, y: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns spectra [S, F] of segments of x, and of y with `reach` more on each side."""
    total = min(len(x), len(y))
    share = max(total // _FEWEST_SEGMENTS, 1)
    guard = reach + MARGIN
    size = 1 << (min(share, 4 * guard) + 2 * guard).bit_length()
    length = min(share, size - 2 * guard)
    starts = np.arange(0, total - length + 1, length)
    loudness = [_energy(x[s : s + length]) * _energy(y[s : s + length]) for s in starts]
    loudest = np.argsort(loudness)[::-1][:_MOST_SEGMENTS]
    kept = np.sort(loudest[np.take(loudness, loudest) > 1e-6 * np.max(loudness)])
    if len(kept) == 0:
        return None
    x_segments = [cut(x, start, start + length) for start in starts[kept]]
    y_segments = [cut(y, start - guard, start + length + guard) for start in starts[kept]]
    return np.fft.rfft(x_segments, size), np.fft.rfft(y_segments, size)


def cut(signal: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Returns signal[start:stop] without its mean and with faded edges; zeros beyond the signal."""
    inside = signal[max(start, 0) : stop]
    inside = (inside - inside.mean()) * _taper(len(inside))
    return np.pad(inside, (max(-start, 0), stop - max(start, 0) - len(inside)))


def _energy(segment: np.ndarray) -> float:
    centered = segment - segment.mean()
    return float(centered @ centered)


def _taper(length: int) -> np.ndarray:
    """Returns ones with a raised-cosine edge, so that cutting adds no click."""
    edge = min(_EDGE, length // 4)
    rise = np.sin(0.5 * np.pi * (np.arange(edge) + 0.5) / max(edge, 1)) ** 2
    return np.concatenate([rise, np.ones(length - 2 * edge), rise[::-1]])


def _predictor_spectrum(spectra: np.ndarray) -> np.ndarray:
    """Returns the frequency response [F] of `predictor`."""
    return np.fft.rfft(predictor(spectra), 2 * (spectra.shape[1] - 1))


def predictor(spectra: np.ndarray) -> np.ndarray:
    """Returns the inverse filter [P + 1] of the mean of spectra [S, F], each of equal weight."""
    power = np.abs(spectra) ** 2
    average = np.mean(power / power.sum(axis=1, keepdims=True), axis=0)
    autocorrelation = np.fft.irfft(average)[: PREDICTOR_ORDER + 1]
    autocorrelation[0] *= 1.0 + 1e-9  # -90 dB of white noise: band-limited files stay solvable
    return linear_predictor(autocorrelation)


def _in_units_of_noise(segments: np.ndarray, skip: int) -> tuple[np.ndarray, np.ndarray]:
    """Scales mean curve [L] and segments [S, L] to unit noise, whitened between lags.

    The signals' remaining color makes the curve wander slowly; on a real pair the first samples of
    the response stood out by 3 standard deviations with it, and by 15 without. The first `skip`
    lags are spoilt and left out; the predictor fills over the last of them.
    """
    curve = segments.mean(axis=0)[skip:]
    away = np.abs(np.arange(len(curve)) - np.argmax(np.abs(curve))) > len(curve) // 20
    noise = np.where(away, curve - curve[away].mean(), 0.0)
    size = 1 << (2 * len(noise)).bit_length()
    autocorrelation = np.fft.irfft(np.abs(np.fft.rfft(noise, size)) ** 2)[: _FLOOR_ORDER + 1]
    autocorrelation[0] *= 1.0 + 1e-9
    predictor = linear_predictor(autocorrelation)
    usable = segments[:, skip - _FLOOR_ORDER :]
    segments = np.stack([np.convolve(row, predictor, mode="valid") for row in usable])
    curve = segments.mean(axis=0)
    scale = np.median(np.abs(curve[away])) / 0.6745  # of a normal distribution
    return curve / scale, segments / scale
