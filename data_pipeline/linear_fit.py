"""Fits the best linear filter between a DI and its recording, the baseline of every capture."""

import numpy as np


def linear_esr(
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_validation: np.ndarray,
    y_validation: np.ndarray,
    *,
    taps: int = 512,
    skip: int = 0,
) -> float:
    """Computes the validation ESR of the least-squares FIR filter of the training part.

    Args:
        x_train: [T] input.
        y_train: [T] output, aligned.
        x_validation: [V].
        y_validation: [V].
        taps: length of the filter in samples.
        skip: outputs at the start of the validation part that do not count.
    """
    size = 1 << int(np.ceil(np.log2(len(x_train) + taps)))
    spectrum = np.fft.rfft(x_train, size)
    auto = np.fft.irfft(np.abs(spectrum) ** 2, size)[:taps]
    cross = np.fft.irfft(np.conj(spectrum) * np.fft.rfft(y_train, size), size)[:taps]
    lags = np.abs(np.subtract.outer(np.arange(taps), np.arange(taps)))
    matrix = auto[lags] + 1e-9 * auto[0] * np.eye(taps)
    response = np.linalg.solve(matrix, cross)
    size = 1 << int(np.ceil(np.log2(len(x_validation) + taps)))
    filtered = np.fft.irfft(np.fft.rfft(x_validation, size) * np.fft.rfft(response, size), size)
    error = filtered[: len(y_validation)] - y_validation
    target = y_validation[skip:].astype(np.float64)
    return float(np.mean(error[skip:] ** 2) / np.mean(target**2))
