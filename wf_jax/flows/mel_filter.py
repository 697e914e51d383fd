"""A filter that whitens audio, taken from its mel: linear prediction as a flow without weights.

The mel's magnitudes give the spectrum of each frame, that its autocorrelation, and that the linear
predictor of speech coding (Makhoul, "Linear prediction: a tutorial review", 1975; Levinson's
recursion). Between frames its log-area ratios and the log of its error are interpolated, so that
it stays stable. Then

    e[t] = (x[t] + sum_k a_k[t] x[t - k]) exp(-log_scale[t])

is a map of the audio to noise of about unit variance, triangular with the determinant
exp(-sum of log_scale), and its inverse is the synthesis filter.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wf_jax.audio.mel_settings import MelSettings, mel_filterbank
from wf_jax.audio.stft import hann

_FLOOR = 1e-10  # power of white noise that is added, of full scale 1: a third of an int16 step
_NARROW = 1e-5  # white noise relative to the frame's power, for predictors of pure tones
_LARGEST = 0.9999  # reflection coefficient


class Filter(NamedTuple):
    """A predictor for every block of as many samples as it has taps.

    Attributes:
        taps: [B, N, P], a_1 to a_P.
        log_scale: [B, N], log of the deviation of what is not predicted.
    """

    taps: jax.Array
    log_scale: jax.Array


def mel_filter(mel: jax.Array, settings: MelSettings, order: int) -> Filter:
    """Computes the filter of log-mels [B, F, M], for F * hop / order blocks.

    Half the hop must be a multiple of the order. The first block predicts nothing: what was before
    it is not known, and a training window begins anywhere.
    """
    correlation = _autocorrelation(mel, settings, order)
    reflection, error = _levinson(correlation)
    ratios = jnp.arctanh(jnp.clip(reflection, -_LARGEST, _LARGEST))
    ratios, log_scale = (
        _between(v, settings, order) for v in (ratios, 0.5 * jnp.log(error)[..., None])
    )
    taps, log_scale = _predictor(jnp.tanh(ratios)), log_scale[..., 0]
    level = 0.5 * jnp.log(correlation[:, 0, 0])
    return Filter(taps.at[:, 0].set(0), log_scale.at[:, 0].set(level))


def whiten(x: jax.Array, by: Filter) -> jax.Array:
    """Maps audio [B, T], T whole blocks, to e [B, T]; there is silence before."""
    blocks, before = _blocks(x, by)
    around = jnp.concatenate([before, blocks], axis=-1)
    order = by.taps.shape[-1]
    e = blocks
    for k in range(1, order + 1):
        e = e + by.taps[..., k - 1 : k] * around[..., order - k : 2 * order - k]
    return (e * jnp.exp(-by.log_scale)[..., None]).reshape(x.shape)


def color(e: jax.Array, by: Filter) -> jax.Array:
    """Inverts `whiten`.

    Within a block the samples are a product with the filter's impulse response; from block to
    block only the last P samples go on, which are the block before.
    """
    order = by.taps.shape[-1]
    response = _impulse_response(by.taps)
    places = np.arange(order)
    lower = places[:, None] - places[None, :]  # row n, column m: n - m
    inside = jnp.where(lower >= 0, response[..., np.maximum(lower, 0)], 0.0)
    # What the block before adds to sample n: a_k of its sample P + n - k, for k above n.
    upper = order + lower
    outside = jnp.where(upper <= order, by.taps[..., np.minimum(upper, order) - 1], 0.0)
    scaled = e.reshape(*by.log_scale.shape, order) * jnp.exp(by.log_scale)[..., None]
    own = jnp.einsum("bnij,bnj->bni", inside, scaled, precision=lax.Precision.HIGHEST)
    passed_on = -jnp.einsum("bnij,bnjk->bnik", inside, outside, precision=lax.Precision.HIGHEST)

    def step(before: jax.Array, block: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        own, passed_on = block
        # A sum of products: small matrices by a vector, for which a call of a library is slow.
        x = own + jnp.sum(passed_on * before[:, None, :], axis=-1)
        return x, x

    blocks = (own.swapaxes(0, 1), passed_on.swapaxes(0, 1))
    _, x = lax.scan(step, jnp.zeros_like(own[:, 0]), blocks)
    return x.swapaxes(0, 1).reshape(e.shape)


def _blocks(x: jax.Array, by: Filter) -> tuple[jax.Array, jax.Array]:
    """Cuts x [B, T] into blocks [B, N, P] and those before each of them."""
    blocks = x.reshape(*by.taps.shape)
    return blocks, jnp.pad(blocks, ((0, 0), (1, 0), (0, 0)))[:, :-1]


def _autocorrelation(mel: jax.Array, settings: MelSettings, order: int) -> jax.Array:
    """Estimates the autocorrelation of the audio of each frame: [B, F, M] -> [B, F, P + 1]."""
    spread, level = _bands_to_bins(settings)
    per_bin = mel - jnp.asarray(level, mel.dtype)
    log_magnitude = jnp.einsum(
        "bfm,mk->bfk", per_bin, jnp.asarray(spread, mel.dtype), precision=lax.Precision.HIGHEST
    )
    # Of Gaussian noise of density 1 the mean magnitude is sqrt(pi / 4 times the window's energy).
    energy = float(np.sum(np.square(hann(settings.win_length))) * np.pi / 4)
    power = jnp.exp(2 * log_magnitude - math.log(energy))
    bins = spread.shape[1]
    weight = np.full(bins, 2.0)
    weight[[0, -1]] = 1
    angles = np.pi / (bins - 1) * np.arange(bins)[:, None] * np.arange(order + 1)
    cosines = jnp.asarray(weight[:, None] * np.cos(angles) / (2 * (bins - 1)), mel.dtype)
    r = jnp.einsum("bfk,kp->bfp", power, cosines, precision=lax.Precision.HIGHEST)
    return r.at[..., 0].set(r[..., 0] * (1 + _NARROW) + _FLOOR)


def _bands_to_bins(settings: MelSettings) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights [M, K] that interpolate bands to bins, and the log level of each band.

    A band stands at the center of its filter; below the first and above the last the spectrum is
    flat. The level is what a magnitude of 1 in all bins gives. Bands without a bin have no say.
    """
    filters = mel_filterbank(settings)
    bins = np.arange(filters.shape[1])
    sums = filters.sum(axis=1)
    bands = np.flatnonzero(sums)
    centers = filters[bands] @ bins / sums[bands]
    spread = np.zeros(filters.shape)
    for band, unit in zip(bands, np.eye(len(bands)), strict=True):
        spread[band] = np.interp(bins, centers, unit)
    return spread, np.log(np.where(sums > 0, sums, 1.0))


def _levinson(r: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Solves for reflection coefficients [..., P] and the error [...] of r [..., P + 1]."""
    error, taps, reflection = r[..., 0], [jnp.ones_like(r[..., 0])], []
    for i in range(1, r.shape[-1]):
        k = -sum(taps[j] * r[..., i - j] for j in range(i)) / error
        taps = _next(taps, k)
        error = error * (1 - k * k)
        reflection.append(k)
    return jnp.stack(reflection, axis=-1), error


def _predictor(reflection: jax.Array) -> jax.Array:
    """Computes a_1 to a_P [..., P] from reflection coefficients [..., P]."""
    taps = [jnp.ones_like(reflection[..., 0])]
    for i in range(reflection.shape[-1]):
        taps = _next(taps, reflection[..., i])
    return jnp.stack(taps[1:], axis=-1)


def _next(taps: list[jax.Array], k: jax.Array) -> list[jax.Array]:
    """Takes one step of Levinson's recursion, from order i - 1 to i."""
    inner = [taps[j] + k * taps[-j] for j in range(1, len(taps))]
    return [taps[0], *inner, k]


def _between(values: jax.Array, settings: MelSettings, order: int) -> jax.Array:
    """Interpolates frames [B, F, V] linearly to the middles of blocks [B, F * hop / P, V]."""
    hop = settings.hop_length
    padded = jnp.pad(values, ((0, 0), (1, 1), (0, 0)), mode="edge")
    t = jnp.asarray((np.arange(hop // order) + 0.5) * order / hop, values.dtype)[:, None]
    between = padded[:, :-1, None] * (1 - t) + padded[:, 1:, None] * t
    begin = (hop - center_of(settings)) // order
    count = values.shape[1] * hop // order
    return between.reshape(len(values), -1, values.shape[2])[:, begin : begin + count]


def center_of(settings: MelSettings) -> int:
    """Returns the sample that frame 0 is centered on."""
    return settings.n_fft // 2 - settings.padding


def _impulse_response(taps: jax.Array) -> jax.Array:
    """Computes the first P values of the synthesis filter's impulse response: [..., P]."""
    response = [jnp.ones_like(taps[..., 0])]
    for n in range(1, taps.shape[-1]):
        response.append(-sum(taps[..., k - 1] * response[n - k] for k in range(1, n + 1)))
    return jnp.stack(response, axis=-1)
