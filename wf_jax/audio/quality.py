"""Compares synthesized audio with its recording: spectrum, cepstrum, pitch and voicing.

Reference and synthesis have the same length and are compared frame by frame, without time warping.
Of a synthesis that has run away, samples beyond 120 dB above full scale are limited to that.
"""

from functools import partial

import jax
import numpy as np

from wf_jax.audio.mel import MelSettings, mel_spectrogram
from wf_jax.audio.stft import stft_magnitude

_COEFFICIENTS = 13
_POWER_FLOOR = 1e-8  # of a bin, below the rounding of 16-bit audio
_LOUDEST = 1e6  # of full scale; the power of more is beyond float32
_mel = jax.jit(mel_spectrogram, static_argnums=1)
_magnitude = partial(jax.jit, static_argnums=(1, 2, 3, 4))(stft_magnitude)


def log_spectral_distance(reference: np.ndarray, synthesis: np.ndarray, sample_rate: int) -> float:
    """Mean over frames of the RMS over bins of 20 log10 |X| - 20 log10 |X'|, in dB.

    Gray and Markel, Distance measures for speech processing (1976). Hann windows of 46 ms (1024
    samples at 22.05 kHz) every quarter of that; all bins up to half the sample rate, none of
    them taken as less than the rounding of 16-bit audio.

    Args:
        reference: [T], full scale 1.
        synthesis: [T].
        sample_rate: Hz.

    Raises:
        ValueError: they are not two clips of one length.
    """
    pair, size = _pair(reference, synthesis), _frame(sample_rate)
    spectra = (_magnitude(x, size, size // 4, size, _POWER_FLOOR) for x in pair)
    levels = [20 * np.log10(np.asarray(x, np.float64)) for x in spectra]  # [F, K]
    return float(np.mean(np.sqrt(np.mean((levels[0] - levels[1]) ** 2, axis=1))))


def mel_cepstral_distortion(
    reference: np.ndarray, synthesis: np.ndarray, sample_rate: int
) -> float:
    """Mean over frames of (10 / ln 10) sqrt(2 sum_d (c_d - c'_d)^2), d = 1..13, in dB.

    Kubichek, Mel-cepstral distance measure (1993), of 13 mel cepstra without c_0, frame by frame:
    the clips are aligned, so nothing is warped. c_d = 2 / M sum_m ln(mel_m) cos(pi d (m + 1/2) /
    M), the DCT-II of 80 log-mel bands up to 8 kHz, scaled as SPTK's mel cepstrum: ln|X| = c_0 +
    sum_d c_d cos(d w). So a frame's value is the RMS difference in dB of the smoothed spectra.

    Args:
        reference: [T], full scale 1.
        synthesis: [T].
        sample_rate: Hz.

    Raises:
        ValueError: they are not two clips of one length.
    """
    pair, size = _pair(reference, synthesis), _frame(sample_rate)
    settings = MelSettings(sample_rate, size, size // 4, size, f_max=min(8000.0, sample_rate / 2))
    return _cepstral_distance(*(np.asarray(_mel(x, settings), np.float64) for x in pair))


def pitch_scores(reference: np.ndarray, synthesis: np.ndarray) -> dict[str, float | None]:
    """Scores how well pitch and voicing are kept, of two tracks by one tracker.

    Args:
        reference: [F], f0 in Hz, 0 where unvoiced.
        synthesis: [F].

    Returns:
        vuv_f1: F1 score of voiced frames, 2 TP / (2 TP + FP + FN).
        f0_rmse_cents: root mean square of 1200 log2(f0' / f0) over frames voiced in both.
        Each is None where there are no such frames.
    """
    voiced, new_voiced = reference > 0, synthesis > 0
    both = voiced & new_voiced
    found = int(voiced.sum() + new_voiced.sum())  # 2 TP + FP + FN
    cents = 1200 * np.log2(synthesis[both] / reference[both])
    return {
        "vuv_f1": float(2 * both.sum() / found) if found else None,
        "f0_rmse_cents": float(np.sqrt(np.mean(cents**2))) if cents.size else None,
    }


def _frame(sample_rate: int) -> int:
    """Samples of a frame: the power of two from 40 ms on, 1024 at 22.05 kHz."""
    return 1 << int(np.ceil(np.log2(0.04 * sample_rate)))


def _pair(reference: np.ndarray, synthesis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    reference, synthesis = np.asarray(reference, np.float32), np.asarray(synthesis, np.float32)
    if reference.ndim != 1 or reference.shape != synthesis.shape or not reference.size:
        raise ValueError(
            f"reference {reference.shape} and synthesis {synthesis.shape} are not two clips [T] "
            "of one length; cut both to the shorter one"
        )
    return np.clip(reference, -_LOUDEST, _LOUDEST), np.clip(synthesis, -_LOUDEST, _LOUDEST)


def _cepstral_distance(reference: np.ndarray, synthesis: np.ndarray) -> float:
    """Computes `mel_cepstral_distortion` of log-mels [M, F]."""
    bands = len(reference)
    order = np.arange(1, _COEFFICIENTS + 1)[:, None]
    transform = 2 / bands * np.cos(np.pi * order * (np.arange(bands) + 0.5) / bands)  # [13, M]
    squares = np.sum((transform @ (reference - synthesis)) ** 2, axis=0)  # [F]
    return float(np.mean(10 / np.log(10) * np.sqrt(2 * squares)))
