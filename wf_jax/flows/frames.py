"""Values of mel frames, brought to samples."""

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.audio.mel_settings import MelSettings


def center_of(settings: MelSettings) -> int:
    """Returns the sample that frame 0 is centered on."""
    return settings.n_fft // 2 - settings.padding


def between(values: jax.Array, settings: MelSettings, block: int = 1) -> jax.Array:
    """Interpolates values of frames linearly; the first and the last one go on at the ends.

    Args:
        values: [B, F, V].
        settings: of the mel, whose frames these are.
        block: samples of a block, which divide half a hop.

    Returns:
        [B, F * hop / block, V], at the middles of the blocks, or at the samples for blocks of one.
    """
    hop, middle = settings.hop_length, 0.5 if block > 1 else 0.0
    padded = jnp.pad(values, ((0, 0), (1, 1), (0, 0)), mode="edge")
    t = jnp.asarray((np.arange(hop // block) + middle) * block / hop, values.dtype)[:, None]
    found = padded[:, :-1, None] * (1 - t) + padded[:, 1:, None] * t
    first, count = (hop - center_of(settings)) // block, values.shape[1] * hop // block
    return found.reshape(values.shape[0], -1, values.shape[2])[:, first : first + count]


def held(values: jax.Array, frames: jax.Array | None) -> jax.Array:
    """Repeats the last frame of each clip after its end, in values [B, F, V]; None: all are."""
    if frames is None:
        return values
    last = jnp.maximum(frames - 1, 0)[:, None]
    return jnp.take_along_axis(
        values, jnp.minimum(jnp.arange(values.shape[1]), last)[..., None], axis=1
    )
