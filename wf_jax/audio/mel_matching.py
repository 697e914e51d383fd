"""Pulls audio to a mel: what Griffin and Lim do for magnitudes, for the bands of a mel.

A draw of a small model has the mel that was asked for only roughly. Here its short-time spectrum is
multiplied, band by band, by what is missing, and turned into audio again; many times, since frames
overlap (Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984),
with momentum (Perraudin, Balazs and Søndergaard, "A fast Griffin-Lim algorithm", 2013). The phases
begin as those of the draw.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wf_jax.audio.clips import bucket, fill
from wf_jax.audio.mel import context_of_clips, mel_of_spectrum
from wf_jax.audio.mel_settings import MelSettings, mel_filterbank
from wf_jax.audio.stft import frames_from, hann, overlap_add

_MOMENTUM = 0.9
_LOUDNESS = 0.1  # of the noise that has no mel yet
_MOST = 2.5  # that a band is raised at once, natural log
# The bins that no band hears may have so much more magnitude than the loudest of the highest bands,
# a quarter of all. It is less than 0.4 more in 99 of 100 frames of recordings; a fine-tuned voice
# now and then draws a burst there.
_HIGH, _OVER = 4, 0.5
_LITTLE = 1e-3  # of the squared windows over a sample, at the ends of a clip


def match_mel(
    x: jax.Array, mel: jax.Array, lengths: jax.Array, settings: MelSettings, times: int
) -> jax.Array:
    """Pulls clips to their mels.

    Args:
        x: [B, F * hop], full scale 1.
        mel: [B, M, F], natural log of magnitudes.
        lengths: [B], samples of each clip; zeros follow them.
        settings: of the mel.
        times: how often.

    Returns:
        [B, F * hop].
    """
    hop, size, first = settings.hop_length, settings.n_fft, settings.padding
    count, samples = mel.shape[2], x.shape[1]
    window = np.pad(hann(settings.win_length), (size - settings.win_length) // 2)
    window = jnp.asarray(window, x.dtype)
    spread = jnp.asarray(bands_to_bins(settings), x.dtype)
    heard = jnp.asarray(heard_bins(settings), x.dtype)
    there = jnp.arange(samples) < lengths[:, None]
    frames = jnp.arange(count) < -(-lengths // hop)[:, None]
    windows = jnp.where(frames[..., None], window, 0)  # none after a clip's end

    filters = mel_filterbank(settings)[-max(1, settings.n_mels // _HIGH) :].sum(axis=1)
    high = mel[:, -len(filters) :] - np.log(np.where(filters > 0, filters, 1))[:, None]
    allowed = (jnp.max(high, axis=1) + _OVER)[..., None].astype(x.dtype)  # magnitude of a bin

    def room(spectrum: jax.Array) -> jax.Array:
        """Returns how far the bins that no band hears are below their bound: [B, F, 1], ln."""
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        share = (1 - heard) / jnp.maximum(jnp.sum(1 - heard), 1)
        mean = jnp.sum(power * share, axis=-1, keepdims=True)
        return allowed - 0.5 * jnp.log(jnp.maximum(mean, settings.floor**2))

    def added(framed: jax.Array) -> jax.Array:
        added = overlap_add(framed, hop)[:, first : first + samples]
        return jnp.pad(added, ((0, 0), (0, samples - added.shape[1])))

    weight = jnp.maximum(added(jnp.square(windows)), _LITTLE)

    def once(carry: tuple[jax.Array, jax.Array], number: jax.Array) -> tuple[tuple, None]:
        x, before = carry
        framed = frames_from(context_of_clips(x, lengths, settings), count, hop, size)
        spectrum = jnp.fft.rfft(framed * window)
        missing = jnp.minimum(mel - mel_of_spectrum(spectrum, settings), _MOST)
        gain = jnp.einsum("bmf,mk->bfk", missing, spread, precision=lax.Precision.HIGHEST)
        # No band tells whether a bin that none hears is right: such a bin is lowered once, with the
        # nearest band, or it would grow from time to time, and where it is above the high bands.
        unheard = jnp.where(number == 0, jnp.minimum(jnp.minimum(gain, 0), room(spectrum)), 0)
        gain = jnp.exp(heard * gain + (1 - heard) * unheard)
        new = jnp.fft.irfft(spectrum * gain, size).astype(x.dtype) * windows
        new = jnp.where(there, added(new) / weight, 0)
        return (new + jnp.where(number == 0, 0, _MOMENTUM) * (new - before), new), None

    return lax.scan(once, (x, x), jnp.arange(times))[0][1]


def pulled_noise(
    mel: np.ndarray, settings: MelSettings, samples: int, times: int = 60
) -> np.ndarray:
    """Pulls white noise to a mel [M, F]: what the pull gives without a model, float32 [samples].

    Args:
        mel: natural log of magnitudes.
        settings: of the mel.
        samples: T, at most F * hop.
        times: how often.
    """
    frames = bucket(mel.shape[1])
    noise = np.random.default_rng(0).normal(size=samples).astype(np.float32)
    x = fill([_LOUDNESS * noise], frames * settings.hop_length, 1)
    pulled = _match(x, fill([mel], frames, 1), np.array([samples]), settings, times)
    return np.asarray(pulled)[0, :samples]


_match = partial(jax.jit, static_argnums=(3, 4))(match_mel)


def heard_bins(settings: MelSettings) -> np.ndarray:
    """Returns how much of each bin the bands hear, [K]: from 0 to 1; 0 above the highest."""
    filters = mel_filterbank(settings)
    peaks = filters.max(axis=1, keepdims=True)
    return np.minimum(np.sum(filters / np.where(peaks > 0, peaks, 1), axis=0), 1)


def bands_to_bins(settings: MelSettings) -> np.ndarray:
    """Returns weights [M, K] that interpolate values of mel bands to the bins of the spectrum.

    A band stands at the center of its filter; below the first and above the last the values are
    theirs. Bands without a bin have no say.
    """
    filters = mel_filterbank(settings)
    bins = np.arange(filters.shape[1])
    sums = filters.sum(axis=1)
    bands = np.flatnonzero(sums)
    centers = filters[bands] @ bins / sums[bands]
    spread = np.zeros(filters.shape)
    for band, unit in zip(bands, np.eye(len(bands)), strict=True):
        spread[band] = np.interp(bins, centers, unit)
    return spread
