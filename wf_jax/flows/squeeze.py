"""Audio as rows and columns, and the order of the rows.

Column-major: X[b, i, j] = x[b, j * h + i], so neighboring samples stand in one column
(WaveFlow, section 3).
"""

import jax
import jax.numpy as jnp
import numpy as np


def squeeze(x: jax.Array, height: int) -> jax.Array:
    """Reshapes [B, T] to [B, h, T / h]; T a multiple of the height."""
    return x.reshape(x.shape[0], -1, height).swapaxes(1, 2)


def unsqueeze(x: jax.Array) -> jax.Array:
    """Reshapes [B, h, W] to [B, h * W]: the inverse of `squeeze`."""
    return x.swapaxes(1, 2).reshape(x.shape[0], -1)


def permutations(kind: str, flows: int, height: int) -> np.ndarray:
    """Returns the order of the rows after each flow, [K, h]: row i is the former row P[k, i].

    Each is its own inverse. "reverse" turns all rows around; "bipartite" does so in the first
    K // 2 flows and then turns each half of the rows around by itself.
    """
    reverse = np.arange(height)[::-1]
    halves = np.concatenate([reverse[height // 2 :], reverse[: height // 2]])
    first = flows if kind == "reverse" else flows // 2
    return np.stack([reverse if k < first else halves for k in range(flows)])


def composed(orders: np.ndarray) -> np.ndarray:
    """Composes permutations [K, h] of rows.

    Returns:
        [h]; element i is the row of x that becomes row i of z.
    """
    total = np.arange(orders.shape[1])
    for order in orders:
        total = total[order]
    return total


def sample_mask(lengths: jax.Array, samples: int, height: int) -> jax.Array:
    """Returns a mask from lengths [B] in samples: [B, h, W] float32, 1 where a sample is real."""
    return squeeze((jnp.arange(samples) < lengths[:, None]).astype(jnp.float32), height)
