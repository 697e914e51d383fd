"""Gaussian models of audio without a mel, the baselines of a vocoder's likelihood.

Both are fitted to the training clips as a whole: one variance, one set of coefficients. Values are
nats per sample of audio at full scale 1 (int16 / 32768), as those of a flow. Samples before a clip
count as zero, so that every sample is judged.
"""

from collections.abc import Sequence

import numpy as np

from wf_jax.levels import FULL_SCALE

# Least variance of samples rounded to int16.
_LEAST_VARIANCE = 1 / 12 / FULL_SCALE**2


def gaussian_log_likelihood(train: Sequence[np.ndarray], validation: Sequence[np.ndarray]) -> float:
    """Scores independent Gaussian samples, mean 0, variance of the training clips.

    Args:
        train: int16 or floating (full scale 1), [T] each, at least one sample in all.
        validation: the same.

    Returns:
        -log(2 pi s^2) / 2 - mean(x^2) / (2 s^2), over all samples of `validation`.
    """
    return linear_predictor_log_likelihood(train, validation, order=0)


def linear_predictor_log_likelihood(
    train: Sequence[np.ndarray], validation: Sequence[np.ndarray], order: int = 16
) -> float:
    """Scores x_t = sum_k a_k x_(t - k) + e_t with Gaussian e_t.

    The autocorrelation method (Makhoul, Linear Prediction: A Tutorial Review, 1975): the
    coefficients a_1 .. a_order solve the normal equations of the training clips' summed
    autocorrelation, and the variance of e is what they leave of it.

    Args:
        train: int16 or floating (full scale 1), [T] each, at least one sample in all.
        validation: the same.
        order: past samples that a prediction sees, 0 or more.

    Returns:
        The mean log density of all samples of `validation`.
    """
    coefficients, variance = _fit(train, order)
    energy, samples = 0.0, 0
    for clip in validation:
        error = _errors(_scaled(clip), coefficients)
        energy += float(error @ error)
        samples += len(clip)
    return float(-0.5 * np.log(2 * np.pi * variance) - 0.5 * energy / samples / variance)


def _fit(clips: Sequence[np.ndarray], order: int) -> tuple[np.ndarray, float]:
    """Returns coefficients [order] and the variance of the residual."""
    sums, samples = np.zeros(order + 1), 0
    for clip in clips:
        x = _scaled(clip)
        for lag in range(min(order + 1, len(x))):
            sums[lag] += x[lag:] @ x[: len(x) - lag]
        samples += len(x)
    correlation = sums / samples
    lags = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    # Silence has no equations to solve; white noise 100 dB below the audio changes nothing else.
    matrix = correlation[lags] + (1e-10 * correlation[0] + 1e-30) * np.eye(order)
    coefficients = np.linalg.solve(matrix, correlation[1:])
    variance = correlation[0] - coefficients @ correlation[1:]
    return coefficients, max(float(variance), _LEAST_VARIANCE)


def _errors(x: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Returns the prediction errors [T] of x [T], with zeros before its start."""
    return np.convolve(x, np.concatenate([[1.0], -coefficients]))[: len(x)]


def _scaled(clip: np.ndarray) -> np.ndarray:
    integer = np.issubdtype(clip.dtype, np.integer)
    return clip.astype(np.float64) / (FULL_SCALE if integer else 1)
