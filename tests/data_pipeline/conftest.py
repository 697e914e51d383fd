"""Makes small signals: plucked noise instead of a guitar, a filter and tanh instead of an amp."""

import numpy as np
import pytest


def make_playing(seconds: float, sample_rate: int = 48_000, seed: int = 0) -> np.ndarray:
    """Makes plucks: noise bursts that decay, a bit dull, peak 0.5; float64 [T]."""
    rng = np.random.default_rng(seed)
    total = round(seconds * sample_rate)
    samples = np.zeros(total)
    length = sample_rate // 2
    decay = np.exp(-np.arange(length) / (0.08 * sample_rate))
    for start in range(sample_rate // 50, total, sample_rate // 5):
        burst = rng.standard_normal(length) * decay * rng.uniform(0.2, 1.0)
        stop = min(start + length, total)
        samples[start:stop] += burst[: stop - start]
    samples = np.convolve(samples, [0.5, 0.3, 0.2])[:total]
    return 0.5 * samples / np.abs(samples).max()


def make_amp(x: np.ndarray, delay: int = 0) -> np.ndarray:
    """Applies distortion, a decaying response of 60 samples and a delay; float64 [T], peak 0.6."""
    response = np.exp(-np.arange(60) / 8.0) * np.cos(0.6 * np.arange(60))
    y = np.convolve(np.tanh(6.0 * x), response)[: len(x)]
    return shift(0.6 * y / np.abs(y).max(), delay)


def shift(y: np.ndarray, delay: int) -> np.ndarray:
    """Delays by `delay` samples at the same length, with zeros where nothing is known."""
    if delay >= 0:
        return np.concatenate([np.zeros(delay), y[: len(y) - delay]])
    return np.concatenate([y[-delay:], np.zeros(-delay)])


@pytest.fixture(scope="session")
def playing():
    return make_playing


@pytest.fixture(scope="session")
def amp():
    return make_amp


@pytest.fixture(scope="session")
def delayed():
    return shift
