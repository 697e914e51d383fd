"""Pulls audio to a mel: what Griffin and Lim do for magnitudes, for the bands of a mel.

A draw of a small model has the mel that was asked for only roughly. Here its short-time spectrum is
multiplied, band by band, by what is missing, and turned into audio again; many times, since frames
overlap (Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984),
with momentum (Perraudin, Balazs and Søndergaard, "A fast Griffin-Lim algorithm", 2013). The phases
begin as those of the draw.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wf_jax.audio.mel import context_of_clips, mel_of_spectrum
from wf_jax.audio.mel_settings import MelSettings, mel_filterbank
from wf_jax.audio.stft import frames_from, hann, overlap_add

_MOMENTUM = 0.9
_MOST = 2.5  # that a band is raised or lowered at once, natural log
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
    there = jnp.arange(samples) < lengths[:, None]
    frames = jnp.arange(count) < -(-lengths // hop)[:, None]
    windows = jnp.where(frames[..., None], window, 0)  # none after a clip's end
    weight = overlap_add(jnp.square(windows), hop)[:, first : first + samples]

    def once(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple, None]:
        x, before = carry
        framed = frames_from(context_of_clips(x, lengths, settings), count, hop, size)
        spectrum = jnp.fft.rfft(framed * window)
        missing = jnp.clip(mel - mel_of_spectrum(spectrum, settings), -_MOST, _MOST)
        gain = jnp.exp(jnp.einsum("bmf,mk->bfk", missing, spread, precision=lax.Precision.HIGHEST))
        new = jnp.fft.irfft(spectrum * gain, size).astype(x.dtype) * windows
        new = overlap_add(new, hop)[:, first : first + samples] / jnp.maximum(weight, _LITTLE)
        new = jnp.where(there, new, 0)
        return (new + _MOMENTUM * (new - before), new), None

    return lax.scan(once, (x, x), None, length=times)[0][1]


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
