"""The pitch of every mel frame: how voiced it is, its fundamental, and where in the period it is.

From the samples under each frame's window alone, as jnp functions. Pitch is by the autocorrelation
of Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise
ratio of a sampled sound" (1993). A period begins at the pulse of the voice: where the harmonics,
after the frame's inverse filter, are most in phase with each other. (The phase of the fundamental
alone says next to nothing of the others'.)
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wf_jax.audio.mel_settings import MelSettings
from wf_jax.audio.stft import frames_from, hann

ROWS = ("voicing", "log_f0", "phase")  # 0..1; natural log of Hz; cycles, -0.5..0.5
HIGHEST = 500.0  # Hz
_PERIODS = 3.0  # that the window must hold, which bounds the pitch from below
_LOWEST = 60.0  # Hz, where the window would allow less
_OCTAVE_COST = 0.03  # of a period twice as long, in correlation
_UNVOICED, _VOICED = 0.4, 0.6  # correlations of frames that are not voiced at all, and fully
_HARMONICS, _PLACES = 16, 128  # that place the pulse; places in a period
_BELOW_HALF = 0.9  # of half the sample rate, up to which harmonics count
_FINER = 4  # bins of the spectrum for one of the frame's own
_LITTLE = 1e-20
_SILENCE = 1e-3  # RMS of full scale below which nothing is voiced, -60 dB


def pitch_range(settings: MelSettings) -> tuple[float, float]:
    """Returns the lowest and the highest pitch that frames of these settings show, Hz."""
    lowest = max(_LOWEST, _PERIODS * settings.sample_rate / settings.n_fft)
    return lowest, max(HIGHEST, 2 * lowest)


def pitch_of_context(x: jax.Array, taps: jax.Array, settings: MelSettings) -> jax.Array:
    """Computes the pitch rows of excerpts with their context, as `mel_of_context` does mels.

    Args:
        x: [B, N], full scale 1, N at least n_fft.
        taps: [B, F, P], a_1 to a_P of each frame's inverse filter 1 + a_1 z^-1 + ...
        settings: of the mel, whose frames these are.

    Returns:
        [B, 3, F], F = 1 + (N - n_fft) // hop: voicing, log of the fundamental in Hz (where a frame
        is not voiced, of its best candidate), and the phase at the frame's center, in cycles from
        the pulse. Pulses are positive or negative, whichever fits the whole excerpt better.
    """
    size, count = settings.n_fft, 1 + (x.shape[-1] - settings.n_fft) // settings.hop_length
    framed = frames_from(x, count, settings.hop_length, size)
    framed = framed - jnp.mean(framed, axis=-1, keepdims=True)
    windowed = framed * jnp.asarray(hann(size), x.dtype)
    lag, height = _peak(_normalized(windowed, settings), _lags(settings)[0])
    loud = jnp.sqrt(jnp.mean(jnp.square(framed), axis=-1)) > _SILENCE
    voicing = jnp.clip((height - _UNVOICED) / (_VOICED - _UNVOICED), 0, 1) * loud
    f0 = settings.sample_rate / lag
    phase = _phase_of_pulses(_harmonics(windowed, f0, taps, settings), voicing)
    return jnp.stack([voicing, jnp.log(f0), phase], axis=-2)


def _harmonics(
    windowed: jax.Array, f0: jax.Array, taps: jax.Array, settings: MelSettings
) -> jax.Array:
    """Computes the harmonics at the frames' centers, after the inverse filter: [B, F, K], complex.

    The largest has length 1; those that are too high are 0.
    """
    size = windowed.shape[-1]
    half = size // 2
    # The center first, so that the phase is that of the center, whatever the frequency's error.
    turned = jnp.concatenate([windowed[..., half:], windowed[..., :half]], axis=-1)
    missing = [(0, 0), (0, 0), (0, (_FINER - 1) * size)]
    padded = jnp.pad(turned[..., :half], missing)
    padded = jnp.concatenate([padded, turned[..., half:]], axis=-1)
    spectrum = jnp.fft.rfft(padded)
    turns = f0[..., None] / settings.sample_rate * np.arange(1, _HARMONICS + 1)
    bins = jnp.round(turns * (_FINER * size)).astype(jnp.int32)
    found = jnp.take_along_axis(spectrum, jnp.minimum(bins, spectrum.shape[-1] - 1), axis=-1)
    angle = -2 * np.pi * turns[..., None] * np.arange(1, taps.shape[-1] + 1)
    taps = taps[..., None, :]
    real = 1 + jnp.sum(taps * jnp.cos(angle), axis=-1)
    imaginary = jnp.sum(taps * jnp.sin(angle), axis=-1)
    filtered = found * lax.complex(real, imaginary)
    filtered = jnp.where(turns < 0.5 * _BELOW_HALF, filtered, 0)
    return filtered / jnp.maximum(jnp.max(jnp.abs(filtered), axis=-1, keepdims=True), _LITTLE)


def _phase_of_pulses(harmonics: jax.Array, voicing: jax.Array) -> jax.Array:
    """Finds the phase [B, F], in cycles, that makes harmonics [B, F, K] a pulse at 0."""
    places = np.arange(_PLACES) / _PLACES
    angles = 2 * np.pi * np.arange(1, harmonics.shape[-1] + 1)[:, None] * places
    cosine, sine = (jnp.asarray(v, voicing.dtype) for v in (np.cos(angles), np.sin(angles)))
    exactly = lax.Precision.HIGHEST
    fit = jnp.matmul(harmonics.real, cosine, precision=exactly)
    fit = fit + jnp.matmul(harmonics.imag, sine, precision=exactly)  # [B, F, places]
    up, down = (jnp.sum(voicing * jnp.max(v, axis=-1), axis=-1) for v in (fit, -fit))
    fit = jnp.where((up >= down)[:, None, None], fit, -fit)
    best = jnp.argmax(fit, axis=-1, keepdims=True)
    around = (jnp.mod(best + i, _PLACES) for i in (-1, 0, 1))
    left, middle, right = (jnp.take_along_axis(fit, i, axis=-1)[..., 0] for i in around)
    phase = (best[..., 0] + _vertex(left, middle, right)) / _PLACES
    return phase - jnp.round(phase)


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
    offset = _vertex(left, middle, right)
    return best[..., 0] + 1 + offset, middle + 0.25 * (right - left) * offset


def _vertex(left: jax.Array, middle: jax.Array, right: jax.Array) -> jax.Array:
    """Finds the maximum of the parabola through three values, -0.5 to 0.5 from the middle."""
    curvature = 2 * middle - left - right
    curved = curvature > 1e-6
    offset = jnp.where(curved, 0.5 * (right - left) / jnp.where(curved, curvature, 1), 0)
    return jnp.clip(offset, -0.5, 0.5)
