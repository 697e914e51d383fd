"""Several models in a row, e.g. a pedal, its amp and a cabinet.

Follows NeuralAmpModelerCore (`NAM/sequential.cpp`).
"""

import copy
import itertools
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from flax import nnx

from wf_jax.amps.model import AmpModel, State


class Sequential(AmpModel):
    """y = model_n(... model_1(x)). Its state is the tuple of its models' states."""

    def __init__(self, models: Sequence[AmpModel], sample_rate: float | None = None):
        """Puts `models` in a row, in the order in which the audio passes them.

        Args:
            models: at least one.
            sample_rate: Hz; the models' own if None.

        Raises:
            ValueError: a model does not fit the one before it, or sample rates differ.
        """
        if not models:
            raise ValueError("a Sequential of no models")
        for i, (before, after) in enumerate(itertools.pairwise(models)):
            if before.output_channels != after.input_channels:
                raise ValueError(
                    f"model {i} has {before.output_channels} outputs, but model {i + 1} "
                    f"{after.input_channels} inputs"
                )
        self.models = nnx.List(models)
        self.sample_rate = common_rate([sample_rate, *(model.sample_rate for model in models)])
        self.input_channels = models[0].input_channels
        self.output_channels = models[-1].output_channels

    @property
    def receptive_field(self) -> int:
        """See AmpModel.receptive_field."""
        return 1 + sum(model.receptive_field - 1 for model in self.models)

    @property
    def finite_memory(self) -> bool:
        """See AmpModel.finite_memory."""
        return all(model.finite_memory for model in self.models)

    @property
    def lookback(self) -> int:
        """See AmpModel.lookback."""
        return sum(model.lookback for model in self.models)

    @property
    def prewarm_samples(self) -> int:
        """See AmpModel.prewarm_samples."""
        return sum(model.prewarm_samples for model in self.models)

    @property
    def chunk(self) -> int:
        """See AmpModel.chunk; the largest among the models."""
        return max(model.chunk for model in self.models)

    def state_before_prewarm(self) -> State:
        """See AmpModel.state_before_prewarm."""
        return tuple(model.state_before_prewarm() for model in self.models)

    def steady(self, x: jax.Array) -> tuple[State, jax.Array]:
        """See AmpModel.steady; each model settles on the constant that the one before it plays."""
        states = []
        for model in self.models:
            state, x = model.steady(x)
            states.append(state)
        return tuple(states), x

    def block(
        self, state: State, x: jax.Array, count: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """See AmpModel.block."""
        states = []
        for model, before in zip(self.models, state, strict=True):
            after, x = model.block(before, x, count)
            states.append(after)
        return tuple(states), x

    def valid(self, x: jax.Array) -> jax.Array:
        """See AmpModel.valid."""
        for model in self.models:
            x = model.valid(x)
        return x

    def scaled(self, gain: float) -> AmpModel:
        """See AmpModel.scaled."""
        model = copy.copy(self)
        model.models = nnx.List([*list(self.models)[:-1], self.models[-1].scaled(gain)])
        return model

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields nothing: its models hold all weights."""
        return iter(())


def common_rate(rates: Sequence[float | None]) -> float | None:
    """Returns the one sample rate (Hz) among `rates`, where None is unknown; None if all are.

    Raises:
        ValueError: they differ.
    """
    known = sorted({rate for rate in rates if rate is not None})
    if len(known) > 1:
        listed = ", ".join(f"{rate:g}" for rate in known[:8])
        raise ValueError(f"models of different sample rates: {listed} Hz")
    return known[0] if known else None
