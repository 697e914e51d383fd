"""A model with a connection from its input to its output, as GuitarML's and AIDA-X's may have."""

import copy
from collections.abc import Iterator

import jax
import numpy as np

from wf_jax.amps.model import AmpModel, State


class Skip(AmpModel):
    """y = model(x) + gain x. Its state is the model's.

    Models with it learn what an amp adds to its input (Wright et al., "Real-time guitar amplifier
    emulation with deep learning", Applied Sciences 10(3), 2020).
    """

    def __init__(self, model: AmpModel, gain: float = 1.0):
        """Adds `gain` times the input to what `model` plays.

        Args:
            model: with as many outputs as inputs.
            gain: a factor, not trained.

        Raises:
            ValueError: the model has another number of outputs than inputs.
        """
        if model.input_channels != model.output_channels:
            raise ValueError(
                f"a skip connection around a model of {model.input_channels} inputs and "
                f"{model.output_channels} outputs; it takes as many of both"
            )
        self.model, self.gain = model, float(gain)
        self.sample_rate = model.sample_rate
        self.input_channels, self.output_channels = model.input_channels, model.output_channels

    @property
    def receptive_field(self) -> int:
        """See AmpModel.receptive_field."""
        return self.model.receptive_field

    @property
    def chunk(self) -> int:
        """See AmpModel.chunk."""
        return self.model.chunk

    @property
    def finite_memory(self) -> bool:
        """See AmpModel.finite_memory."""
        return self.model.finite_memory

    @property
    def lookback(self) -> int:
        """See AmpModel.lookback."""
        return self.model.lookback

    @property
    def prewarm_samples(self) -> int:
        """See AmpModel.prewarm_samples."""
        return self.model.prewarm_samples

    def state_before_prewarm(self) -> State:
        """See AmpModel.state_before_prewarm."""
        return self.model.state_before_prewarm()

    def steady(self, x: jax.Array) -> tuple[State, jax.Array]:
        """See AmpModel.steady."""
        state, y = self.model.steady(x)
        return state, y + self.gain * x

    def block(
        self, state: State, x: jax.Array, count: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """See AmpModel.block."""
        state, y = self.model.block(state, x, count)
        return state, y + self.gain * x

    def valid(self, x: jax.Array) -> jax.Array:
        """See AmpModel.valid."""
        return self.model.valid(x) + self.gain * x[..., self.lookback :]

    def scaled(self, gain: float) -> AmpModel:
        """See AmpModel.scaled."""
        model = copy.copy(self)
        model.model, model.gain = self.model.scaled(gain), self.gain * float(gain)
        return model

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields those of its model."""
        yield from self.model.weight_arrays()
