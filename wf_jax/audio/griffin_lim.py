"""Speaks a mel spectrogram without a model: magnitudes by least squares, phases by Griffin-Lim.

Griffin and Lim, "Signal estimation from modified short-time Fourier transform" (1984), with the
momentum of Perraudin, Balazs and Søndergaard, "A fast Griffin-Lim algorithm" (2013), as in
librosa. A vocoder should surpass it.
"""

import numpy as np

from wf_jax.audio.mel_settings import MelSettings, mel_filterbank
from wf_jax.audio.stft import hann

_LEAST_SQUARES = 100  # iterations
_TINY = 1e-9
_LEAST_WEIGHT = 0.01  # of the windows over a sample; less only where they hardly overlap


def griffin_lim(
    mel: np.ndarray,
    settings: MelSettings,
    samples: int,
    iterations: int = 60,
    momentum: float = 0.99,
    seed: int = 0,
) -> np.ndarray:
    """Finds audio that has nearly the given log-mel.

    Args:
        mel: [M, F], natural log of magnitudes.
        settings: of the mel.
        samples: T, at most F * hop_length.
        iterations: how often phases are found anew.
        momentum: of the phases.
        seed: of the first phases.

    Returns:
        float32 [T], at the scale of the mel; silence where no frame reaches.
    """
    magnitudes = linear_magnitudes(mel, settings).T  # [F, K]
    turns = np.random.default_rng(seed).random(magnitudes.shape, np.float32)
    phases, before = np.exp(2j * np.pi * turns).astype(np.complex64), np.complex64(0)
    for _ in range(iterations):
        spectrum = _analyzed(_synthesized(magnitudes * phases, settings), len(phases), settings)
        phases = spectrum - np.float32(momentum / (1 + momentum)) * before
        phases /= np.abs(phases) + np.float32(_TINY)
        before = spectrum
    audio = _synthesized(magnitudes * phases, settings)
    audio = audio[settings.padding : settings.padding + samples]
    return np.pad(audio, (0, samples - len(audio)))


def linear_magnitudes(mel: np.ndarray, settings: MelSettings) -> np.ndarray:
    """Finds magnitudes of 0 or more whose mel is nearest: float32 [n_fft // 2 + 1, F].

    Least squares by the multiplicative updates of Lee and Seung, "Algorithms for non-negative
    matrix factorization" (2001). Bins of no band are 0.

    Args:
        mel: [M, F], natural log of magnitudes.
        settings: of the mel.
    """
    filters = mel_filterbank(settings).astype(np.float32)  # [M, K]
    bands = np.exp(mel, dtype=np.float32)  # [M, F]
    wanted = filters.T @ bands
    magnitudes = np.maximum(np.linalg.pinv(filters) @ bands, np.float32(_TINY))
    for _ in range(_LEAST_SQUARES):
        magnitudes *= wanted / np.maximum(filters.T @ (filters @ magnitudes), np.float32(_TINY**2))
    return magnitudes


def _window(settings: MelSettings) -> np.ndarray:
    window = np.pad(hann(settings.win_length), (settings.n_fft - settings.win_length) // 2)
    return window.astype(np.float32)


def _analyzed(x: np.ndarray, count: int, settings: MelSettings) -> np.ndarray:
    """Returns the spectra of `count` frames, which start at 0, hop, ... of x: complex64 [F, K]."""
    frames = np.lib.stride_tricks.sliding_window_view(x, settings.n_fft)
    return np.fft.rfft(frames[:: settings.hop_length][:count] * _window(settings))


def _synthesized(spectra: np.ndarray, settings: MelSettings) -> np.ndarray:
    """Returns the audio whose spectra [F, K] are nearest to those given, float32 [N]."""
    window = _window(settings)
    frames = np.fft.irfft(spectra, settings.n_fft) * window
    weight = _overlapped(np.broadcast_to(window**2, frames.shape), settings.hop_length)
    return _overlapped(frames, settings.hop_length) / np.maximum(weight, np.float32(_LEAST_WEIGHT))


def _overlapped(frames: np.ndarray, hop: int) -> np.ndarray:
    """Adds frames [F, N] that start at 0, hop, ...: [(F - 1) hop + N], and zeros to whole hops."""
    count, length = frames.shape
    blocks = -(-length // hop)
    parts = np.pad(frames, ((0, 0), (0, blocks * hop - length))).reshape(count, blocks, hop)
    added = np.zeros((count + blocks - 1, hop), np.float32)
    for i in range(blocks):
        added[i : i + count] += parts[:, i]
    return added.reshape(-1)
