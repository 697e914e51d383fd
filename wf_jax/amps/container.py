"""SlimmableContainer: one .nam file that holds the same amp in several sizes.

Follows NeuralAmpModelerCore (`NAM/container.cpp`).
"""

import copy
import itertools
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from flax import nnx

from wf_jax.amps.model import AmpModel, State, nearest_size
from wf_jax.amps.sequential import common_rate


class SlimmableContainer(AmpModel):
    """Models in ascending size; size v in [0, 1] picks the first whose max_value exceeds v.

    As a model it is its largest one, which is what players load by default.
    """

    def __init__(
        self,
        models: Sequence[AmpModel],
        max_values: Sequence[float],
        sample_rate: float | None = None,
    ):
        """Holds `models`, smallest first.

        Args:
            models: mono models of any architecture, containers included.
            max_values: one per model, ascending to 1 or more.
            sample_rate: Hz; the models' own if None.

        Raises:
            ValueError: max_values do not ascend to 1 or more, a model is not mono, or sample rates
                differ.
        """
        if len(models) != len(max_values) or not models:
            raise ValueError(f"{len(models)} models for {len(max_values)} max_values")
        ascending = all(a < b for a, b in itertools.pairwise(max_values))
        if not ascending or max_values[-1] < 1.0:
            raise ValueError(f"max_values {list(max_values)[:6]} do not ascend to 1.0 or more")
        for i, model in enumerate(models):
            if (model.input_channels, model.output_channels) != (1, 1):
                raise ValueError(
                    f"model {i} has {model.input_channels} inputs and {model.output_channels} "
                    "outputs; a container holds mono models"
                )
        self.models = nnx.List(models)
        self.max_values = tuple(float(value) for value in max_values)
        self.sample_rate = common_rate([sample_rate, *(model.sample_rate for model in models)])

    @property
    def largest(self) -> AmpModel:
        """The model that plays."""
        return self.models[-1]

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """See AmpModel.breakpoints."""
        return self.max_values[:-1]

    def at_size(self, size: float) -> AmpModel:
        """The model for `size` in [0, 1]; a boundary belongs to the larger one.

        As in the core, a container or slimmable model inside plays at its own full size.
        """
        size = nearest_size(size)
        for model, max_value in zip(self.models, self.max_values, strict=True):
            if size < max_value:
                return model
        return self.largest

    @property
    def receptive_field(self) -> int:
        """See AmpModel.receptive_field."""
        return self.largest.receptive_field

    @property
    def finite_memory(self) -> bool:
        """See AmpModel.finite_memory."""
        return self.largest.finite_memory

    @property
    def lookback(self) -> int:
        """See AmpModel.lookback."""
        return self.largest.lookback

    @property
    def prewarm_samples(self) -> int:
        """See AmpModel.prewarm_samples."""
        return self.largest.prewarm_samples

    @property
    def chunk(self) -> int:
        """See AmpModel.chunk."""
        return self.largest.chunk

    def state_before_prewarm(self) -> State:
        """See AmpModel.state_before_prewarm."""
        return self.largest.state_before_prewarm()

    def steady(self, x: jax.Array) -> tuple[State, jax.Array]:
        """See AmpModel.steady."""
        return self.largest.steady(x)

    def block(
        self, state: State, x: jax.Array, count: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """See AmpModel.block."""
        return self.largest.block(state, x, count)

    def scan(
        self, state: State, x: jax.Array, chunks: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """See AmpModel.scan."""
        return self.largest.scan(state, x, chunks)

    def valid(self, x: jax.Array) -> jax.Array:
        """See AmpModel.valid."""
        return self.largest.valid(x)

    def scaled(self, gain: float) -> AmpModel:
        """See AmpModel.scaled; every size is."""
        model = copy.copy(self)
        model.models = nnx.List([each.scaled(gain) for each in self.models])
        return model

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields nothing: its models hold all weights."""
        return iter(())


def uniform_max_values(count: int) -> tuple[float, ...]:
    """1/count, 2/count, ..., 1: what the trainer writes; 0.5 and 1.0 for A2."""
    return tuple((i + 1) / count for i in range(count))
