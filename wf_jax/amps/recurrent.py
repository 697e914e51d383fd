"""Recurrent models: a stack of cells, sample by sample, and a linear map at the end."""

import copy
import dataclasses
from collections.abc import Iterator
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wf_jax.amps.arithmetic import affine
from wf_jax.amps.model import AmpModel, State
from wf_jax.amps.weights import Weights

CellState = tuple[jax.Array, ...]  # of one cell, each [H]; the first is h, its output


@dataclasses.dataclass(frozen=True)
class RecurrentConfig:
    """The sizes of a recurrent model.

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


class Cell(Protocol):
    """One recurrent cell."""

    def __init__(self, inputs: int, hidden: int, *, weights: Weights):
        """Takes its arrays from `weights`."""

    def begin(self) -> CellState:
        """Returns the state before the first sample."""

    def __call__(self, x: jax.Array, *state: jax.Array) -> CellState:
        """Maps x [I] and the state to the next state."""

    def arrays(self) -> Iterator[nnx.Param]:
        """Yields its arrays in the order in which `__init__` takes them."""


class Recurrent(AmpModel):
    """A stack of cells: y = head h + bias, h [H] the output of the last of them.

    The first cell sees the audio, every other one the h of the cell before it, at the same time.
    Its state is the tuple of the cells' states.
    """

    cell: ClassVar[type[Cell]]

    def __init__(self, config: RecurrentConfig, weights: Weights):
        """Takes all arrays from `weights`, in the order of `weight_arrays`."""
        self.config = config
        self.sample_rate = config.sample_rate
        self.input_channels, self.output_channels = config.input_size, config.output_channels
        hidden = config.hidden_size
        widths = [config.input_size, *[hidden] * (config.layers - 1)]
        self.cells = nnx.List([self.cell(width, hidden, weights=weights) for width in widths])
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
        """Samples at the start of a training window in which the first state dies away."""
        return 4096

    @property
    def prewarm_samples(self) -> int:
        """Half a second, the NAM core's rule; 1 where the rate is unknown."""
        return max(1, int(0.5 * (self.sample_rate or 0.0)))

    def state_before_prewarm(self) -> State:
        """See AmpModel.state_before_prewarm."""
        return tuple(cell.begin() for cell in self.cells)

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
            for cell, before in zip(self.cells, state, strict=True):
                after.append(cell(signal, *before))
                signal = after[-1][0]
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
        """Yields the arrays of one cell after the other, then head and bias."""
        for cell in self.cells:
            yield from (np.asarray(array[...]) for array in cell.arrays())
        yield np.asarray(self.head[...])
        yield np.asarray(self.head_bias[...])
