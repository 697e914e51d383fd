"""Fingerprints of arrays, which reveal damage."""

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def fingerprints(tree: Any) -> dict[str, int]:
    """Returns a uint32 per array, by its path, that any flipped bit changes; for any sharding.

    It is the sum of the array's bits, as numbers of at most 32, by odd weights.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    arrays = [leaf for _, leaf in leaves]
    if all(getattr(leaf, "is_fully_addressable", True) for leaf in arrays):
        values = [_on_host(np.asarray(leaf)) for leaf in arrays]
    else:
        values = jax.device_get(_across_processes(arrays[0].sharding.mesh)(arrays))
    return {array_name(path): int(value) for (path, _), value in zip(leaves, values, strict=True)}


def _on_host(x: np.ndarray) -> np.uint32:
    return _weighted(np.ascontiguousarray(x).ravel().view(_unsigned(x.dtype)), np)


@lru_cache
def _across_processes(mesh: Mesh) -> Callable[[list[jax.Array]], jax.Array]:
    """Compiles the same for arrays that no process has whole; every device has the result."""

    def one(x: jax.Array) -> jax.Array:
        x = x.astype(np.uint8) if x.dtype == bool else x
        return _weighted(lax.bitcast_convert_type(x, _unsigned(x.dtype)).ravel(), jnp)

    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.jit(lambda leaves: jnp.stack([one(x) for x in leaves]), out_shardings=everywhere)


def _unsigned(dtype: np.dtype) -> np.dtype:
    return np.dtype(f"uint{8 * min(dtype.itemsize, 4)}")


def _weighted(bits: Any, numbers: ModuleType) -> Any:
    weights = 2 * numbers.arange(bits.size, dtype=np.uint32) + np.uint32(1)
    return numbers.sum(bits.astype(np.uint32) * weights, dtype=np.uint32)


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
