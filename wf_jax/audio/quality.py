"""Compares synthesized audio with its recording: spectrum, cepstrum, pitch and voicing.

Reference and synthesis have the same length and are compared frame by frame, without time warping.
"""

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.audio.mel import MelSettings, mel_spectrogram
from wf_jax.audio.pitch import pitch_track
from wf_jax.audio.spectral_loss import multi_resolution_stft

_COEFFICIENTS = 13
_mel = jax.jit(mel_spectrogram, static_argnums=1)
_stft_distance = jax.jit(multi_resolution_stft)


def multi_resolution_stft_distance(reference: np.ndarray, synthesis: np.ndarray) -> float:
    """Spectral convergence plus log-magnitude distance of [T] and [T]; 0 for equal audio.

    See `spectral_loss.multi_resolution_stft` for the formula and the resolutions, which count in
    samples: values at different sample rates do not compare.
    """
    reference, synthesis = _pair(reference, synthesis)
    return float(_stft_distance(jnp.asarray(synthesis)[None], jnp.asarray(reference)[None]))


def mel_cepstral_distortion(
    reference: np.ndarray, synthesis: np.ndarray, sample_rate: int
) -> float:
    """Mean over frames of (10 / ln 10) sqrt(2 sum_d (c_d - c'_d)^2), d = 1..13, in dB.

    Kubichek, Mel-cepstral distance measure (1993). c_d = 2 / M sum_m ln(mel_m) cos(pi d (m + 1/2)
    / M), the DCT-II of 80 log-mel bands up to 8 kHz, so that a frame's value is the RMS difference
    in dB of the two smoothed log spectra. Level (c_0) does not count. Frame by frame, with no time
    warping, and with cepstra of mel bands, not of SPTK: comparable within this project only.

    Args:
        reference: [T], full scale 1.
        synthesis: [T].
        sample_rate: Hz.
    """
    reference, synthesis = _pair(reference, synthesis)
    size = 1 << int(np.ceil(np.log2(0.04 * sample_rate)))  # 1024 at 22.05 kHz
    settings = MelSettings(sample_rate, size, size // 4, size, f_max=min(8000.0, sample_rate / 2))
    log_mels = [np.asarray(_mel(x, settings), np.float64) for x in (reference, synthesis)]
    return _cepstral_distance(*log_mels)


def voicing_scores(
    reference: np.ndarray, synthesis: np.ndarray, sample_rate: int
) -> dict[str, float | None]:
    """Scores how well pitch and voicing are kept, by `pitch.pitch_track`.

    The three measures of CARGAN (Morrison et al., ICLR 2022), which takes them from CREPE; with
    this tracker the numbers do not compare with published ones.

    Args:
        reference: [T], full scale 1.
        synthesis: [T].
        sample_rate: Hz.

    Returns:
        periodicity_rmse: root mean square of the differences of periodicity, 0..1, over frames
            voiced in either.
        vuv_f1: F1 score of voiced frames, 2 TP / (2 TP + FP + FN).
        f0_rmse_cents: of 1200 log2(f0' / f0) over frames voiced in both.
        Each is None where there are no such frames.
    """
    reference, synthesis = _pair(reference, synthesis)
    f0, periodicity, voiced = pitch_track(reference, sample_rate)
    new_f0, new_periodicity, new_voiced = pitch_track(synthesis, sample_rate)
    both, either = voiced & new_voiced, voiced | new_voiced
    found = int(both.sum() + either.sum())  # 2 TP + FP + FN
    return {
        "periodicity_rmse": _rms((new_periodicity - periodicity)[either]),
        "vuv_f1": float(2 * both.sum() / found) if found else None,
        "f0_rmse_cents": _rms(1200 * np.log2(new_f0[both] / f0[both])),
    }


def _pair(reference: np.ndarray, synthesis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    reference, synthesis = np.asarray(reference, np.float32), np.asarray(synthesis, np.float32)
    if reference.ndim != 1 or reference.shape != synthesis.shape or not reference.size:
        raise ValueError(
            f"reference {reference.shape} and synthesis {synthesis.shape} are not two clips [T] "
            "of one length; cut both to the shorter one"
        )
    return reference, synthesis


def _cepstral_distance(reference: np.ndarray, synthesis: np.ndarray) -> float:
    """Computes `mel_cepstral_distortion` of log-mels [M, F]."""
    bands = len(reference)
    order = np.arange(1, _COEFFICIENTS + 1)[:, None]
    transform = 2 / bands * np.cos(np.pi * order * (np.arange(bands) + 0.5) / bands)  # [13, M]
    squares = np.sum((transform @ (reference - synthesis)) ** 2, axis=0)  # [F]
    return float(np.mean(10 / np.log(10) * np.sqrt(2 * squares)))


def _rms(x: np.ndarray) -> float | None:
    return float(np.sqrt(np.mean(np.square(x)))) if x.size else None
