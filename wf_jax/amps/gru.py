"""The GRU of GuitarML and AIDA-X models, which no .nam file holds.

The gated recurrent unit of Cho et al. (2014, arXiv:1406.1078) in the form of cuDNN, PyTorch
(`torch.nn.GRU`) and Keras (`reset_after=True`): the reset gate comes after the product with h.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from flax import nnx

from wf_jax.amps.arithmetic import product
from wf_jax.amps.recurrent import CellState, Recurrent
from wf_jax.amps.weights import Weights


class GRUCell(nnx.Module):
    """One GRU cell: kernels [3 H, I] and [3 H, H], and a bias [3 H] with each of them.

    (a_r, a_z, a_n) = kernel x + bias; (b_r, b_z, b_n) = hidden_kernel h + hidden_bias;
    r = s(a_r + b_r); z = s(a_z + b_z); n = tanh(a_n + r b_n); h' = (1 - z) n + z h, where s is the
    logistic function. Its state is (h,), zeros at first.
    """

    def __init__(self, inputs: int, hidden: int, *, weights: Weights):
        """Takes the kernel of the input, that of h, and their biases from `weights`."""
        self.kernel = nnx.Param(weights((3 * hidden, inputs), hidden))
        self.hidden_kernel = nnx.Param(weights((3 * hidden, hidden), hidden))
        self.bias = nnx.Param(weights((3 * hidden,), hidden))
        self.hidden_bias = nnx.Param(weights((3 * hidden,), hidden))

    def begin(self) -> CellState:
        """See Cell.begin."""
        return (jnp.zeros((self.hidden_kernel.shape[1],), self.hidden_kernel.dtype),)

    def __call__(self, x: jax.Array, h: jax.Array) -> CellState:
        """Maps x [I] and h [H] to the next h."""
        inputs = product(self.kernel[...], x) + self.bias[...]
        past = product(self.hidden_kernel[...], h) + self.hidden_bias[...]
        (a_r, a_z, a_n), (b_r, b_z, b_n) = jnp.split(inputs, 3), jnp.split(past, 3)
        reset, keep = jax.nn.sigmoid(a_r + b_r), jax.nn.sigmoid(a_z + b_z)
        return ((1 - keep) * jnp.tanh(a_n + reset * b_n) + keep * h,)

    def arrays(self) -> Iterator[nnx.Param]:
        """See Cell.arrays."""
        yield from (self.kernel, self.hidden_kernel, self.bias, self.hidden_bias)


class GRU(Recurrent):
    """A stack of `GRUCell`s and a linear map; see Recurrent."""

    cell = GRUCell
