"""Fingerprints of arrays, which reveal damage."""

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def _fingerprints(leaves: list[jax.Array]) -> jax.Array:
    """Computes a uint32 per array that any flipped bit changes: sum of bits * odd weights."""

    def one(x: jax.Array) -> jax.Array:
        x = x.astype(jnp.uint8) if x.dtype == bool else x
        unsigned = jnp.dtype(f"uint{8 * min(x.dtype.itemsize, 4)}")
        bits = lax.bitcast_convert_type(x, unsigned).astype(jnp.uint32).ravel()
        weights = 2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1
        return jnp.sum(bits * weights, dtype=jnp.uint32)

    return jnp.stack([one(leaf) for leaf in leaves])


@lru_cache
def _fingerprints_on(mesh: Mesh | None) -> Callable[[list[jax.Array]], jax.Array]:
    """Compiles `_fingerprints`; for arrays on several devices, every device has the result."""
    everywhere = NamedSharding(mesh, PartitionSpec()) if mesh else None
    return jax.jit(_fingerprints, out_shardings=everywhere)


def fingerprints(tree: Any) -> dict[str, int]:
    """Returns the fingerprint of every array of a tree, by its path; the same for any sharding."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    arrays = [leaf for _, leaf in leaves]
    sharding = getattr(arrays[0], "sharding", None)
    mesh = sharding.mesh if isinstance(sharding, NamedSharding) else None
    values = jax.device_get(_fingerprints_on(mesh)(arrays))
    return {array_name(path): int(value) for (path, _), value in zip(leaves, values, strict=True)}


def describe(tree: Any) -> dict[str, list[Any]]:
    """Returns shape, type and fingerprint of every array, by its path."""
    prints = fingerprints(tree)
    return {
        name: [list(leaf.shape), str(leaf.dtype), prints[name]]
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        for name in [array_name(path)]
    }


def digest(described: dict[str, Any]) -> str:
    """Returns the digest of any JSON value."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def array_name(path: tuple) -> str:
    """Formats a path of `jax.tree_util` as text."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
