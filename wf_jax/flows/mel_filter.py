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

from wf_jax.audio.mel_matching import bands_to_bins
from wf_jax.audio.mel_settings import MelSettings, mel_filterbank
from wf_jax.audio.stft import hann
from wf_jax.flows.frames import between

_FLOOR = 1e-10  # power of white noise that is added, of full scale 1: a third of an int16 step
_NARROW = 3e-5  # white noise relative to the frame's power, for predictors of pure tones
_LOG_MAGNITUDES = -30.0, 12.0  # what audio has at most, and its square is a float32
_LARGEST = 0.9999  # reflection coefficient
# Speech falls by 60 dB from low to high frequencies. Without this much of it the recursion is
# well-conditioned in float32; the predictor gets it back as a factor 1 - 0.95 z^-1.
_EMPHASIS = 0.95


class Filter(NamedTuple):
    """A predictor for every block of as many samples as it has taps.

    Attributes:
        taps: [B, N, P], a_1 to a_P.
        log_scale: [B, N], log of the deviation of what is not predicted.
    """

    taps: jax.Array
    log_scale: jax.Array


def mel_filters(mel: jax.Array, settings: MelSettings, order: int) -> tuple[Filter, Filter]:
    """Computes the filters of log-mels [B, F, M], for F * hop / order blocks.

    One after the other: the emphasis, then the predictor. (The rounding of `color` would be
    magnified far more by both as one filter.) Half the hop must be a multiple of the order. The
    first block predicts nothing: what was before it is not known, and a training window begins
    anywhere.
    """
    power = _power(mel, settings)
    reflection, error = _levinson(_autocorrelation(power, order - 1))
    found = interpolated(jnp.arctanh(reflection), 0.5 * jnp.log(error), settings, order)
    level = 0.5 * jnp.log(jnp.mean(power[:, 0], axis=-1) + _FLOOR)
    predictor = Filter(found.taps.at[:, 0].set(0), found.log_scale.at[:, 0].set(level))
    emphasis = (0 * found.taps).at[:, 1:, 0].set(-_EMPHASIS)
    return Filter(emphasis, 0 * found.log_scale), predictor


def frame_taps(mel: jax.Array, settings: MelSettings, order: int) -> jax.Array:
    """Computes the filter's taps of the frames themselves: [B, F, M] -> [B, F, P]."""
    reflection, _ = _levinson(_autocorrelation(_power(mel, settings), order - 1))
    taps = _predictor(reflection)
    return _emphasized(jnp.pad(taps, ((0, 0), (0, 0), (0, 1))))


def interpolated(
    ratios: jax.Array, log_scale: jax.Array, settings: MelSettings, block: int
) -> Filter:
    """Makes a filter for every block of samples from those of frames.

    Args:
        ratios: [B, F, P], inverse hyperbolic tangents of reflection coefficients, P up to `block`.
        log_scale: [B, F].
        settings: of the mel, whose frames these are.
        block: samples of a block.
    """
    ratios, log_scale = (between(v, settings, block) for v in (ratios, log_scale[..., None]))
    taps = _predictor(jnp.tanh(ratios))
    missing = [(0, 0), (0, 0), (0, block - taps.shape[-1])]
    return Filter(jnp.pad(taps, missing), log_scale[..., 0])


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
    _, x = lax.scan(step, 0 * own[:, 0], blocks)
    return x.swapaxes(0, 1).reshape(e.shape)


def _blocks(x: jax.Array, by: Filter) -> tuple[jax.Array, jax.Array]:
    """Cuts x [B, T] into blocks [B, N, P] and those before each of them."""
    blocks = x.reshape(*by.taps.shape)
    return blocks, jnp.pad(blocks, ((0, 0), (1, 0), (0, 0)))[:, :-1]


def _power(mel: jax.Array, settings: MelSettings) -> jax.Array:
    """Estimates the power spectrum of the audio of each frame: [B, F, M] -> [B, F, bins]."""
    sums = mel_filterbank(settings).sum(axis=1)  # what a magnitude of 1 in all bins gives
    level = jnp.asarray(np.log(np.where(sums > 0, sums, 1)), mel.dtype)
    spread = jnp.asarray(bands_to_bins(settings), mel.dtype)
    log_magnitude = jnp.einsum("bfm,mk->bfk", mel - level, spread, precision=lax.Precision.HIGHEST)
    # Of Gaussian noise of density 1 the mean magnitude is sqrt(pi / 4 times the window's energy).
    energy = float(np.sum(np.square(hann(settings.win_length))) * np.pi / 4)
    return jnp.exp(2 * jnp.clip(log_magnitude, *_LOG_MAGNITUDES) - math.log(energy))


def _autocorrelation(power: jax.Array, order: int) -> jax.Array:
    """Computes the autocorrelation of audio after emphasis, [B, F, order + 1]."""
    bins = power.shape[-1]
    frequencies = np.pi / (bins - 1) * np.arange(bins)[:, None]
    weight = np.full((bins, 1), 1 / (bins - 1))
    weight[[0, -1]] /= 2
    weight = weight * (1 + _EMPHASIS**2 - 2 * _EMPHASIS * np.cos(frequencies))
    cosines = jnp.asarray(weight * np.cos(frequencies * np.arange(order + 1)), power.dtype)
    r = jnp.einsum("bfk,kp->bfp", power, cosines, precision=lax.Precision.HIGHEST)
    return r.at[..., 0].set(r[..., 0] * (1 + _NARROW) + _FLOOR)


def _levinson(r: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Solves for reflection coefficients [..., P] and the error [...] of r [..., P + 1]."""
    order = r.shape[-1] - 1

    def step(carry: tuple[jax.Array, jax.Array], i: jax.Array) -> tuple:
        taps, error = carry
        seen = jnp.take(r, jnp.abs(i + 1 - np.arange(order + 1)), axis=-1)
        k = -jnp.sum(taps * seen, axis=-1) / error
        k = jnp.clip(k, -_LARGEST, _LARGEST)  # beyond that there is rounding only
        return (_next(taps, k, i), error * (1 - k * k)), k

    # Zeros of r, so that they vary over devices as it does.
    start = (0 * r).at[..., 0].set(1), r[..., 0]
    (_, error), reflection = lax.scan(step, start, np.arange(order))
    return jnp.moveaxis(reflection, 0, -1), error


def _predictor(reflection: jax.Array) -> jax.Array:
    """Computes a_1 to a_P [..., P] from reflection coefficients [..., P]."""
    order = reflection.shape[-1]
    start = jnp.concatenate([0 * reflection[..., :1] + 1, 0 * reflection], axis=-1)
    taps, _ = lax.scan(
        lambda taps, step: (_next(taps, *step), None),
        start,
        (jnp.moveaxis(reflection, -1, 0), np.arange(order)),
    )
    return taps[..., 1:]


def _next(taps: jax.Array, k: jax.Array, i: jax.Array) -> jax.Array:
    """Takes one step of Levinson's recursion, a[j] + k a[i + 1 - j], from order i to i + 1.

    Taps are [..., P + 1], zeros above the order.
    """
    turned = jnp.roll(jnp.flip(taps, axis=-1), i + 2 - taps.shape[-1], axis=-1)
    return taps + k[..., None] * turned


def _emphasized(taps: jax.Array) -> jax.Array:
    """Multiplies 1 + a_1 z^-1 + ..., whose last tap is zero, by 1 - 0.95 z^-1: [..., P]."""
    later = jnp.concatenate([jnp.ones_like(taps[..., :1]), taps[..., :-1]], axis=-1)
    return taps - _EMPHASIS * later


def _impulse_response(taps: jax.Array) -> jax.Array:
    """Computes the first P values of the synthesis filter's impulse response: [..., P]."""

    def step(last: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        new = -jnp.sum(taps * last, axis=-1)
        return jnp.concatenate([new[..., None], last[..., :-1]], axis=-1), last[..., 0]

    start = (0 * taps).at[..., 0].set(1)
    _, response = lax.scan(step, start, None, length=taps.shape[-1])
    return jnp.moveaxis(response, 0, -1)
