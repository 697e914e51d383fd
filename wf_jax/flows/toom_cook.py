"""A dilated convolution over columns with fewer products: Toom-Cook, as in Winograd's F(4, 3).

Four outputs of a three-tap filter are two polynomials' product, found from its values at six
points: six matrix products where the plain form needs twelve (Lavin and Gray, "Fast Algorithms for
Convolutional Neural Networks", 2016). With d the columns w + (-1..4) e and g the taps,

    y = A [(G g) * (B d)]

The points 0, 1, -1, 1/2, -1/2 and infinity keep float32 errors at those of the plain form; so do 2
and -2 beside them, for six outputs from eight products.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

OUTPUTS = 4
POINTS = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)  # and infinity; as many as are needed


@dataclasses.dataclass(frozen=True)
class ColumnTransform:
    """The three linear maps of one algorithm, P products for `outputs` columns.

    Attributes:
        inverse: A [outputs, P].
        kernel: G [P, taps].
        forward: B [P, outputs + taps - 1].
    """

    inverse: np.ndarray
    kernel: np.ndarray
    forward: np.ndarray

    @property
    def outputs(self) -> int:
        """Columns that are computed together."""
        return self.inverse.shape[0]

    def of_kernel(self, kernel: jax.Array) -> jax.Array:
        """Transforms a kernel [K, K', C, O] to the weights of the products [P, K, C, O]."""
        transform = self.kernel.astype(kernel.dtype)
        return jnp.einsum("pw,hwco->phco", transform, kernel, precision="highest")

    def of_columns(self, h: jax.Array, dilation: int) -> jax.Array:
        """Transforms columns [B, W, C] to [P, N, C]: w, w + e, ... become one; zeros around."""
        batch, width, channels = h.shape
        halo, count = self._halo(), self._groups(width, dilation)
        blocks = self.outputs * count + 2 * halo
        pad = (halo * dilation, blocks * dilation - halo * dilation - width)
        x = jnp.pad(h, ((0, 0), pad, (0, 0))).reshape(batch, blocks, dilation, channels)
        last = self.outputs * (count - 1) + 1
        columns = [x[:, k : k + last : self.outputs] for k in range(self.forward.shape[1])]
        return jnp.stack([_combined(row, columns).reshape(-1, channels) for row in self.forward])

    def to_columns(self, products: jax.Array, dilation: int, batch: int, width: int) -> jax.Array:
        """Transforms products [P, N, O] back to columns [B, W, O]."""
        channels, count = products.shape[-1], self._groups(width, dilation)
        parts = [p.reshape(batch, count, dilation, channels) for p in products]
        y = jnp.stack([_combined(row, parts) for row in self.inverse], axis=2)
        return y.reshape(batch, -1, channels)[:, :width]

    def rows(self, batch: int, width: int, dilation: int) -> int:
        """Returns N, the rows of every product."""
        return batch * self._groups(width, dilation) * dilation

    def _halo(self) -> int:
        return (self.forward.shape[1] - self.outputs) // 2

    def _groups(self, width: int, dilation: int) -> int:
        return -(-width // (self.outputs * dilation))


@functools.cache
def column_transform(taps: int, *, transformed: bool, outputs: int = OUTPUTS) -> ColumnTransform:
    """Returns F(4, 3) for three taps; the plain form for others, and without `transformed`.

    Args:
        taps: of the filter, odd.
        transformed: whether to save products.
        outputs: computed together then, up to six.
    """
    if taps != 3 or not transformed:
        return ColumnTransform(np.ones((1, taps)), np.eye(taps), np.eye(taps))
    inputs = outputs + taps - 1
    inverse, kernel = _vandermonde(outputs, inputs).T, _vandermonde(taps, inputs)
    forward = np.linalg.inv(_vandermonde(inputs, inputs)).T
    # Rows of like size, by powers of two: costs no precision and spares some.
    scale = 2.0 ** np.round(np.log2(np.abs(forward).max(axis=1, keepdims=True)))
    forward = np.where(np.abs(forward) < 1e-12, 0.0, forward)
    return ColumnTransform(inverse, kernel * scale, forward / scale)


def _vandermonde(columns: int, points: int) -> np.ndarray:
    """Powers of so many points; the last row is the point at infinity."""
    powers = np.array(POINTS[: points - 1])[:, None] ** np.arange(columns)
    return np.vstack([powers, np.eye(columns)[-1]])


def _combined(coefficients: np.ndarray, arrays: list[jax.Array]) -> jax.Array:
    terms = [a if c == 1 else float(c) * a for c, a in zip(coefficients, arrays, strict=True) if c]
    return sum(terms[1:], start=terms[0])
