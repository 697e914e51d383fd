"""The pitch of every mel frame: how voiced it is, its fundamental, and where in the period it is.

From the samples under each frame's window alone, as jnp functions: pitch by the autocorrelation of
Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio
of a sampled sound" (1993), phase by the Fourier coefficient at that frequency.
"""

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.audio.mel_settings import MelSettings
from wf_jax.audio.stft import frames_from, hann

ROWS = ("voicing", "log_f0", "phase")  # 0..1; natural log of Hz; cycles, -0.5..0.5
HIGHEST = 500.0  # Hz
_PERIODS = 3.0  # that the window must hold, which bounds the pitch from below
_LOWEST = 60.0  # Hz, where the window would allow less
_OCTAVE_COST = 0.03  # of a period twice as long, in correlation
_UNVOICED, _VOICED = 0.4, 0.6  # correlations of frames that are not voiced at all, and fully
_SILENCE = 1e-3  # RMS of full scale below which nothing is voiced, -60 dB


def pitch_range(settings: MelSettings) -> tuple[float, float]:
    """Returns the lowest and the highest pitch that frames of these settings show, Hz."""
    lowest = max(_LOWEST, _PERIODS * settings.sample_rate / settings.n_fft)
    return lowest, max(HIGHEST, 2 * lowest)


def pitch_of_context(x: jax.Array, settings: MelSettings) -> jax.Array:
    """Computes the pitch rows of excerpts with their context, as `mel_of_context` does mels.

    Args:
        x: [..., N], full scale 1, N at least n_fft.
        settings: of the mel, whose frames these are.

    Returns:
        [..., 3, 1 + (N - n_fft) // hop]: voicing, log of the fundamental in Hz (where a frame is
        not voiced, of its best candidate), and the phase of the fundamental at the frame's center,
        in cycles: cos(2 pi phase) is the first harmonic.
    """
    size, count = settings.n_fft, 1 + (x.shape[-1] - settings.n_fft) // settings.hop_length
    framed = frames_from(x, count, settings.hop_length, size)
    framed = framed - jnp.mean(framed, axis=-1, keepdims=True)
    window = jnp.asarray(hann(size), x.dtype)
    correlation = _normalized(framed * window, settings)
    shortest = _lags(settings)[0]
    lag, height = _peak(correlation, shortest)
    loud = jnp.sqrt(jnp.mean(jnp.square(framed), axis=-1)) > _SILENCE
    voicing = jnp.clip((height - _UNVOICED) / (_VOICED - _UNVOICED), 0, 1) * loud
    f0 = settings.sample_rate / lag
    turn = 2 * np.pi / settings.sample_rate * f0[..., None]
    angle = turn * jnp.asarray(np.arange(size) - size // 2, x.dtype)
    part = framed * window
    phase = jnp.arctan2(
        -jnp.sum(part * jnp.sin(angle), axis=-1), jnp.sum(part * jnp.cos(angle), axis=-1)
    )
    return jnp.stack([voicing, jnp.log(f0), phase / (2 * np.pi)], axis=-2)


def _lags(settings: MelSettings) -> tuple[int, int]:
    """Returns the shortest and the longest period, samples."""
    lowest, highest = pitch_range(settings)
    shortest = max(int(settings.sample_rate / highest), 2)
    return shortest, max(int(settings.sample_rate / lowest) + 1, shortest + 1)


def _normalized(framed: jax.Array, settings: MelSettings) -> jax.Array:
    """Autocorrelates windowed frames [..., n_fft], over that of the window: 1 at lag 0."""
    size, longest = framed.shape[-1], _lags(settings)[1] + 1
    power = jnp.square(jnp.abs(jnp.fft.rfft(framed, 2 * size)))
    found = jnp.fft.irfft(power, 2 * size)[..., : longest + 1].astype(framed.dtype)
    window = np.square(np.abs(np.fft.rfft(hann(size), 2 * size)))
    expected = np.fft.irfft(window, 2 * size)[: longest + 1]
    # A quarter of one int16 step of noise: silence has no period.
    energy = found[..., :1] + size * 1e-10
    return found / energy * jnp.asarray(expected[0] / expected, framed.dtype)


def _peak(correlation: jax.Array, shortest: int) -> tuple[jax.Array, jax.Array]:
    """Finds the lag of the highest local maximum, long ones at a cost, and its height: [...]."""
    before, at, after = correlation[..., :-2], correlation[..., 1:-1], correlation[..., 2:]
    lags = np.arange(1, correlation.shape[-1] - 1)
    cost = jnp.asarray(_OCTAVE_COST * np.log2(lags / shortest), correlation.dtype)
    maximum = (at >= before) & (at > after) & jnp.asarray(lags >= shortest)
    best = jnp.argmax(jnp.where(maximum, at - cost, -jnp.inf), axis=-1, keepdims=True)
    best = jnp.where(jnp.any(maximum, axis=-1, keepdims=True), best, shortest - 1)
    left, middle, right = (
        jnp.take_along_axis(values, best, axis=-1)[..., 0] for values in (before, at, after)
    )
    curvature = 2 * middle - left - right
    offset = jnp.where(curvature > 1e-6, 0.5 * (right - left) / jnp.maximum(curvature, 1e-6), 0.0)
    offset = jnp.clip(offset, -0.5, 0.5)
    return best[..., 0] + 1 + offset, middle + 0.25 * (right - left) * offset
