"""Short-time Fourier transform magnitudes."""

import jax
import jax.numpy as jnp
import numpy as np


def frames(x: jax.Array, hop: int, window_length: int) -> jax.Array:
    """Cuts frames of `window_length` samples centered on 0, hop, 2 hop, ...; edges are reflected.

    Args:
        x: [..., T], T above window_length // 2.
        hop: samples between frames.
        window_length: samples per frame.

    Returns:
        [..., 1 + T // hop, window_length].
    """
    count, half = 1 + x.shape[-1] // hop, window_length // 2
    x = jnp.pad(x, [*[(0, 0)] * (x.ndim - 1), (half, half)], mode="reflect")
    return frames_from(x, count, hop, window_length)


def frames_from(x: jax.Array, count: int, hop: int, window_length: int) -> jax.Array:
    """Cuts frames of `window_length` samples that start at 0, hop, 2 hop, ... of x.

    Built from shifted slices of hop-sized blocks rather than a gather: the backward pass is
    then additions of slices, where a gather's would be a scatter.

    Args:
        x: [..., T]; what a frame needs beyond T is zero.
        count: F, how many frames.
        hop: samples between frames.
        window_length: samples per frame.

    Returns:
        [..., F, window_length].
    """
    blocks = -(-window_length // hop)
    needed = (count + blocks - 1) * hop
    lead = [(0, 0)] * (x.ndim - 1)
    x = jnp.pad(x, [*lead, (0, max(0, needed - x.shape[-1]))])[..., :needed]
    x = x.reshape(*x.shape[:-1], count + blocks - 1, hop)
    x = jnp.concatenate([x[..., i : i + count, :] for i in range(blocks)], axis=-1)
    return x[..., :window_length]


def overlap_add(framed: jax.Array, hop: int) -> jax.Array:
    """Adds frames that start at 0, hop, 2 hop, ... up: the transpose of `frames_from`.

    Args:
        framed: [..., F, window_length].
        hop: samples between frames.

    Returns:
        [..., (F + N - 1) * hop], N hops in a frame, rounded up.
    """
    count, size = framed.shape[-2:]
    blocks = -(-size // hop)
    lead = [(0, 0)] * (framed.ndim - 2)
    framed = jnp.pad(framed, [*lead, (0, 0), (0, blocks * hop - size)])
    framed = framed.reshape(*framed.shape[:-1], blocks, hop)
    parts = (
        jnp.pad(framed[..., i, :], [*lead, (i, blocks - 1 - i), (0, 0)]) for i in range(blocks)
    )
    return sum(parts).reshape(*framed.shape[:-3], (count + blocks - 1) * hop)


def hann(window_length: int) -> np.ndarray:
    """The periodic Hann window, float64 [window_length]."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window_length) / window_length)


def stft_magnitude(
    x: jax.Array, fft_size: int, hop: int, window_length: int, floor: float
) -> jax.Array:
    """Computes sqrt(max(re^2 + im^2, floor)) of the Hann-windowed spectrum.

    Equals `torch.stft(center=True, pad_mode="reflect")` with a periodic Hann window: where in
    the FFT buffer the window stands changes phases only.

    Args:
        x: [..., T].
        fft_size: bins of the two-sided spectrum.
        hop: samples between frames.
        window_length: even, at most fft_size.
        floor: least power, which keeps gradients finite in silence.

    Returns:
        [..., 1 + T // hop, fft_size // 2 + 1].
    """
    windowed = frames(x, hop, window_length) * jnp.asarray(hann(window_length), x.dtype)
    spectrum = jnp.fft.rfft(windowed, fft_size)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    return jnp.sqrt(jnp.maximum(power, floor))
