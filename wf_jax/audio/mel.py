"""Log-mel spectrograms as vocoders take them, as differentiable jnp functions.

Magnitude STFT with a periodic Hann window, Slaney's mel scale with area-normalized triangles,
natural log. `center=True` is librosa's framing (Parakeet's first WaveFlow, Tacotron 2),
`center=False` that of HiFi-GAN and PaddleSpeech: frame t is centered on the block of samples
[t hop, (t + 1) hop).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wf_jax.audio.mel_settings import MelSettings as MelSettings
from wf_jax.audio.mel_settings import mel_filterbank as mel_filterbank
from wf_jax.audio.stft import frames_from, hann
from wf_jax.levels import LEAST_NORMALIZED, NORMALIZED_PEAK

# Least power of a bin: the gradient of the magnitude stays finite in silence, and nothing that
# reaches a floor of 1e-12 or more changes.
_POWER_FLOOR = 1e-24


def mel_spectrogram(x: jax.Array, settings: MelSettings) -> jax.Array:
    """Computes the log-mel of whole clips.

    The clip is filled up with zeros to whole hops, then reflected at both ends. A clip too short
    to be reflected once is reflected to and fro. For whole hops these are librosa's frames (its
    first T / hop, where it centers); for other lengths librosa reflects the clip itself, and the
    frames that reach beyond its end differ.

    Args:
        x: [..., T], full scale 1.
        settings: of the mel.

    Returns:
        [..., M, ceil(T / hop)], natural log of magnitudes, least value ln(floor).

    Raises:
        ValueError: integer samples.
    """
    x = _floating(x)
    if x.shape[-1] == 0:
        return jnp.zeros((*x.shape[:-1], settings.n_mels, 0), x.dtype)
    return mel_of_context(_with_context(x, settings), settings)


def mel_of_clips(x: jax.Array, lengths: jax.Array, settings: MelSettings) -> jax.Array:
    """Computes `mel_spectrogram` of clips of many lengths in one array.

    Args:
        x: [B, T], T a multiple of the hop; zeros after the end of a clip.
        lengths: [B], samples of each clip.
        settings: of the mel.

    Returns:
        [B, M, T / hop], of which the first ceil(lengths / hop) frames are the clip's mel and the
        others silence, ln(floor).

    Raises:
        ValueError: integer samples.
    """
    x = _floating(x)
    mel = mel_of_context(context_of_clips(x, lengths, settings), settings)
    real = jnp.arange(mel.shape[2]) < -(-lengths // settings.hop_length)[:, None]
    return jnp.where(real[:, None, :], mel, math.log(settings.floor))


def context_of_clips(x: jax.Array, lengths: jax.Array, settings: MelSettings) -> jax.Array:
    """Puts the context that mel frames need around clips of many lengths: see `mel_of_clips`.

    Returns:
        [B, N], for T / hop frames; those after a clip's end are of its reflection.
    """
    hop = settings.hop_length
    count = x.shape[1] // hop
    frames = -(-lengths // hop)
    # The clip in whole hops, reflected to and fro at both ends: a triangular wave of places.
    places = jnp.arange((count - 1) * hop + settings.n_fft) - settings.padding
    last = (frames * hop - 1)[:, None]
    places = jnp.mod(places[None, :], jnp.maximum(2 * last, 1))
    return jnp.take_along_axis(x, jnp.minimum(places, 2 * last - places), axis=1)


def _with_context(x: jax.Array, settings: MelSettings) -> jax.Array:
    count, lead = settings.frames(x.shape[-1]), [(0, 0)] * (x.ndim - 1)
    samples = count * settings.hop_length
    x = jnp.pad(x, [*lead, (0, samples - x.shape[-1])])
    left, needed = settings.padding, (count - 1) * settings.hop_length + settings.n_fft
    right = max(0, needed - left - samples)
    return jnp.pad(x, [*lead, (left, right)], mode="reflect")[..., :needed]


def mel_of_context(x: jax.Array, settings: MelSettings) -> jax.Array:
    """Computes the log-mel of excerpts with their context: frame t starts at sample t hop of x.

    The excerpt of a clip that begins with frame a starts at its sample a * hop_length - padding.
    So a crop has the frames that the whole clip has.

    Args:
        x: [..., N], full scale 1, N at least n_fft.
        settings: of the mel.

    Returns:
        [..., M, 1 + (N - n_fft) // hop], natural log of magnitudes.

    Raises:
        ValueError: integer samples, or fewer than one frame.
    """
    x = _floating(x)
    if x.shape[-1] < settings.n_fft:
        raise ValueError(
            f"{x.shape[-1]} samples are less than one frame of {settings.n_fft}; "
            "pass longer excerpts, or whole clips to mel_spectrogram"
        )
    count = 1 + (x.shape[-1] - settings.n_fft) // settings.hop_length
    window = np.pad(hann(settings.win_length), (settings.n_fft - settings.win_length) // 2)
    framed = frames_from(x, count, settings.hop_length, settings.n_fft)
    return mel_of_spectrum(jnp.fft.rfft(framed * jnp.asarray(window, x.dtype)), settings)


def mel_of_spectrum(spectrum: jax.Array, settings: MelSettings) -> jax.Array:
    """Computes the log-mel [..., M, F] of the complex spectrum of frames [..., F, bins]."""
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    magnitude = jnp.sqrt(jnp.maximum(power, _POWER_FLOOR))  # [..., F, n_fft // 2 + 1]
    filters = jnp.asarray(mel_filterbank(settings), power.dtype)
    # Highest: TensorFloat-32 would round to 2^-11, up to 5e-4 in the log.
    mel = jnp.einsum("mk,...fk->...mf", filters, magnitude, precision=lax.Precision.HIGHEST)
    return jnp.log(jnp.maximum(mel, settings.floor))


def peak_gain(x: jax.Array, settings: MelSettings) -> jax.Array:
    """Returns the gain [..., 1] that clips [..., T] are multiplied by first.

    `wf_jax.levels.peak_gain` where the settings ask for peak normalization; 1 where not.
    """
    x = _floating(x)
    if not settings.peak_normalize:
        return jnp.ones((*x.shape[:-1], 1), x.dtype)
    peak = jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0.0)
    silent = peak < LEAST_NORMALIZED
    return jnp.where(silent, 1.0, NORMALIZED_PEAK / jnp.where(silent, 1.0, peak))


def _floating(x: jax.Array) -> jax.Array:
    """Returns x as at least float32, the least that the FFT takes."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"audio is {x.dtype}; convert to float with full scale 1 (int16 / 32768)")
    return x if x.dtype.itemsize >= 4 else x.astype(jnp.float32)
