"""Draws the noise of a vocoder, for every frame of every clip."""

from functools import partial

import jax
import jax.numpy as jnp

KEY_KIND = "threefry2x32"  # JAX's default kind of key, the one whose data a release takes


def clip_keys(key: jax.Array, clips: int) -> jax.Array:
    """Makes a key for each clip of a batch, [clips]; the first does not depend on the others."""
    return jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(clips))


def draw(
    keys: jax.Array, first: jax.Array, mel: jax.Array, hop: int
) -> tuple[jax.Array, jax.Array]:
    """Draws noise and seeds as `Flow.generate` takes them, frame by frame.

    A frame's noise follows from its clip's key and its number alone, so that a clip sounds the same
    in an array of any length, and in pieces.

    Args:
        keys: [B], typed keys.
        first: [B] int32, the number in the clip of each row's first frame.
        mel: [B, M, F], for its shape and type.
        hop: samples of a frame.

    Returns:
        Standard normal noise [B, F * hop] and seeds [B] uint32.
    """

    def one(key: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        for_noise, for_seed = jax.random.split(key)
        frames = jax.vmap(partial(jax.random.fold_in, for_noise))(first + jnp.arange(mel.shape[2]))
        noise = jax.vmap(lambda key: jax.random.normal(key, (hop,), mel.dtype))(frames)
        return noise.reshape(-1), jax.random.bits(for_seed, (), jnp.uint32)

    return jax.vmap(one)(keys, first)
