"""The NAM LSTM: a stack of recurrent cells, sample by sample, and a linear map at the end.

Follows NeuralAmpModelerCore (`NAM/lstm.cpp`); fresh weights follow the NAM trainer
(`nam/models/recurrent.py`).
"""

import copy
import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wf_jax.amps.layers import affine, product
from wf_jax.amps.model import AmpModel, State
from wf_jax.amps.weights import Uniform, Weights


@dataclasses.dataclass(frozen=True)
class LSTMConfig:
    """The sizes of an LSTM.

    Attributes:
        layers: cells on top of each other.
        input_size: channels of the audio.
        hidden_size: width H of every cell.
        output_channels: channels that come out.
        sample_rate: Hz; None where a file has none.
    """

    layers: int
    input_size: int
    hidden_size: int
    output_channels: int = 1
    sample_rate: float | None = 48000.0


class Cell(nnx.Module):
    """One LSTM cell: kernel [4 H, I + H] over (input, h), bias [4 H], and the initial h and c [H].

    i, f, g, o = kernel (x, h) + bias; c' = s(f) c + s(i) tanh(g); h' = s(o) tanh(c'), where s is
    the logistic function.
    """

    def __init__(self, inputs: int, hidden: int, *, weights: Weights):
        """Takes kernel, bias, h and c from `weights`."""
        self.kernel = nnx.Param(weights((4 * hidden, inputs + hidden), hidden))
        self.bias = nnx.Param(weights((4 * hidden,), hidden))
        self.hidden = nnx.Param(jnp.asarray(weights.constant((hidden,), 0.0)))
        self.cell = nnx.Param(jnp.asarray(weights.constant((hidden,), 0.0)))

    def __call__(self, x: jax.Array, h: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps x [I], h and c [H] to the next h and c."""
        gates = product(self.kernel[...], jnp.concatenate([x, h])) + self.bias[...]
        enter, forget, new, leave = jnp.split(gates, 4)
        c = jax.nn.sigmoid(forget) * c + jax.nn.sigmoid(enter) * jnp.tanh(new)
        return jax.nn.sigmoid(leave) * jnp.tanh(c), c


class LSTM(AmpModel):
    """A NAM LSTM: y = head h + bias, h [H] the hidden state of the last of its cells.

    The first cell sees the audio, every other one the h of the cell before it, at the same time.
    The initial h and c are trained too. Its state is (h, c) of every cell.
    """

    def __init__(self, config: LSTMConfig, weights: Weights):
        """Takes all arrays from `weights`, in the order of a .nam file; see also `create`."""
        self.config = config
        self.sample_rate = config.sample_rate
        self.input_channels, self.output_channels = config.input_size, config.output_channels
        hidden = config.hidden_size
        widths = [config.input_size, *[hidden] * (config.layers - 1)]
        self.cells = nnx.List([Cell(width, hidden, weights=weights) for width in widths])
        self.head = nnx.Param(weights((config.output_channels, hidden), hidden))
        self.head_bias = nnx.Param(weights((config.output_channels,), hidden))

    @property
    def receptive_field(self) -> int:
        """See AmpModel.receptive_field: the state carries the past."""
        return 1

    @property
    def finite_memory(self) -> bool:
        """See AmpModel.finite_memory."""
        return False

    @property
    def lookback(self) -> int:
        """Samples at the start of a training window in which the initial h and c die away."""
        return 4096

    @property
    def prewarm_samples(self) -> int:
        """Half a second, the core's rule; 1 where the rate is unknown."""
        return max(1, int(0.5 * (self.sample_rate or 0.0)))

    def state_before_prewarm(self) -> State:
        """See AmpModel.state_before_prewarm; the trained initial h and c of every cell."""
        return tuple((cell.hidden[...], cell.cell[...]) for cell in self.cells)

    def block(
        self, state: State, x: jax.Array, count: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """See AmpModel.block."""
        real = None if count is None else jnp.arange(x.shape[1]) < count

        def step(
            state: State, column: tuple[jax.Array, jax.Array | None]
        ) -> tuple[State, jax.Array]:
            signal, is_real = column
            after = []
            for cell, (h, c) in zip(self.cells, state, strict=True):
                h, c = cell(signal, h, c)
                after.append((h, c))
                signal = h
            if is_real is not None:
                after = jax.tree.map(lambda new, old: jnp.where(is_real, new, old), after, [*state])
            return tuple(after), signal

        # All cells in one loop, nothing hoisted out of it and nothing unrolled: on two cores the
        # fastest forward pass of 8 variants at nearly every size tried (1 cell of H = 24: 46 times
        # real time), and the quickest to compile.
        state, h = lax.scan(step, state, (x.T, real))  # h [T, H]
        return state, affine(self.head[...], self.head_bias[...], h.T)

    def scaled(self, gain: float) -> AmpModel:
        """See AmpModel.scaled."""
        model = copy.copy(self)
        model.head = nnx.Param(self.head[...] * gain)
        model.head_bias = nnx.Param(self.head_bias[...] * gain)
        return model

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields its arrays in the order of a .nam file."""
        for cell in self.cells:
            for array in (cell.kernel, cell.bias, cell.hidden, cell.cell):
                yield np.asarray(array[...])
        yield np.asarray(self.head[...])
        yield np.asarray(self.head_bias[...])


def create(config: LSTMConfig, rng: np.random.Generator) -> LSTM:
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
