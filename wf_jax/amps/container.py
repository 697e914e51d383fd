"""SlimmableContainer: one .nam file that holds the same amp in several sizes."""

import itertools

import jax
from flax import nnx

from wf_jax.amps.wavenet import State, WaveNet


class SlimmableContainer(nnx.Module):
    """Models in ascending size; size v in [0, 1] picks the first whose max_value exceeds v.

    As a model it is its largest one, which is what players load by default.
    """

    def __init__(self, models: list[WaveNet], max_values: tuple[float, ...]):
        """Holds `models`, smallest first.

        Raises:
            ValueError: max_values do not ascend to 1 or more, or sample rates differ.
        """
        if len(models) != len(max_values) or not models:
            raise ValueError(f"{len(models)} models for {len(max_values)} max_values")
        ascending = all(a < b for a, b in itertools.pairwise(max_values))
        if not ascending or max_values[-1] < 1.0:
            raise ValueError(f"max_values {list(max_values)} do not ascend to 1.0 or more")
        rates = {model.sample_rate for model in models} - {None}
        if len(rates) > 1:
            raise ValueError(f"the submodels have different sample rates: {sorted(rates)} Hz")
        self.models = nnx.List(models)
        self.max_values = tuple(float(value) for value in max_values)

    def at_size(self, size: float) -> WaveNet:
        """The model for `size` in [0, 1]; a boundary belongs to the larger one."""
        for model, max_value in zip(self.models, self.max_values, strict=True):
            if size < max_value:
                return model
        return self.models[-1]

    @property
    def receptive_field(self) -> int:
        """Input samples that one output sample of the largest model depends on."""
        return self.models[-1].receptive_field

    @property
    def sample_rate(self) -> float | None:
        """Hz, or None where no submodel says."""
        return next((m.sample_rate for m in self.models if m.sample_rate is not None), None)

    def init_state(self, batch: int) -> State:
        """See WaveNet.init_state."""
        return self.models[-1].init_state(batch)

    def step(self, state: State, x: jax.Array) -> tuple[State, jax.Array]:
        """See WaveNet.step."""
        return self.models[-1].step(state, x)

    def __call__(self, x: jax.Array) -> jax.Array:
        """X [B, T] with silence before it -> y [B, T]."""
        return self.models[-1](x)


def uniform_max_values(count: int) -> tuple[float, ...]:
    """1/count, 2/count, ..., 1: what the trainer writes; 0.5 and 1.0 for A2."""
    return tuple((i + 1) / count for i in range(count))
