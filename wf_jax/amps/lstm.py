"""The NAM LSTM.

Follows NeuralAmpModelerCore (`NAM/lstm.cpp`); fresh weights follow the NAM trainer
(`nam/models/recurrent.py`).
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.amps.arithmetic import product
from wf_jax.amps.recurrent import CellState, Recurrent, RecurrentConfig
from wf_jax.amps.weights import Uniform, Weights


class LSTMCell(nnx.Module):
    """One LSTM cell: kernel [4 H, I + H] over (input, h), bias [4 H], and the initial h and c [H].

    i, f, g, o = kernel (x, h) + bias; c' = s(f) c + s(i) tanh(g); h' = s(o) tanh(c'), where s is
    the logistic function. Its state is (h, c).
    """

    def __init__(self, inputs: int, hidden: int, *, weights: Weights):
        """Takes kernel, bias, h and c from `weights`."""
        self.kernel = nnx.Param(weights((4 * hidden, inputs + hidden), hidden))
        self.bias = nnx.Param(weights((4 * hidden,), hidden))
        self.hidden = nnx.Param(jnp.asarray(weights.constant((hidden,), 0.0)))
        self.cell = nnx.Param(jnp.asarray(weights.constant((hidden,), 0.0)))

    def begin(self) -> CellState:
        """See Cell.begin; the initial h and c, which are trained too."""
        return self.hidden[...], self.cell[...]

    def __call__(self, x: jax.Array, h: jax.Array, c: jax.Array) -> CellState:
        """Maps x [I], h and c [H] to the next h and c."""
        gates = product(self.kernel[...], jnp.concatenate([x, h])) + self.bias[...]
        enter, forget, new, leave = jnp.split(gates, 4)
        c = jax.nn.sigmoid(forget) * c + jax.nn.sigmoid(enter) * jnp.tanh(new)
        return jax.nn.sigmoid(leave) * jnp.tanh(c), c

    def arrays(self) -> Iterator[nnx.Param]:
        """Yields its arrays in the order of a .nam file."""
        yield from (self.kernel, self.bias, self.hidden, self.cell)


class LSTM(Recurrent):
    """A NAM LSTM, a stack of `LSTMCell`s; see also `create`."""

    cell = LSTMCell


def create(config: RecurrentConfig, rng: np.random.Generator) -> LSTM:
    """Makes an LSTM with fresh weights, by the trainer's rule.

    Uniform in +-1 / sqrt(H); a bias is the sum of two such numbers, -4 for the input gate, so that
    little enters at first, and +4 for the forget gate, so that little is forgotten.
    """
    model = LSTM(config, Uniform(rng))
    hidden = config.hidden_size
    gates = jnp.repeat(jnp.asarray([-4.0, 4.0, 0.0, 0.0], jnp.float32), hidden)
    for cell in model.cells:
        cell.bias[...] += Uniform(rng)((4 * hidden,), hidden) + gates
    return model
