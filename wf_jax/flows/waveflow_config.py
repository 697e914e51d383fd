"""The configuration of a WaveFlow, and of all flows over the rows of squeezed audio."""

import dataclasses
from typing import ClassVar, Literal

from wf_jax.flows.config import DEPTH, DOUBLINGS, FACTORS, MOST, SIZE, FlowConfig
from wf_jax.options import Choice, Items, Number, option

# Paper, table 2: the height dilations of eight layers for each squeeze height.
HEIGHT_DILATIONS = {
    8: (1, 1, 1, 1, 1, 1, 1, 1),
    16: (1, 1, 1, 1, 1, 1, 1, 1),
    32: (1, 2, 4, 1, 2, 4, 1, 2),
    64: (1, 2, 4, 8, 16, 1, 2, 4),
    128: (1, 2, 4, 8, 16, 32, 64, 1),
}
_PERMUTATIONS = ("reverse", "bipartite")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowsConfig(FlowConfig):
    """The static description of a flow over the rows of squeezed audio, whatever conditions it.

    Attributes:
        height: rows that the audio is squeezed into; even.
        flows: affine maps, each with a net of its own.
        layers: dilated layers of each net.
        channels: residual channels.
        kernel: taps of the dilated layers, in height and in width; odd.
        permutation: of the rows after each flow. "reverse" everywhere, or "bipartite": reverse
            in the first half of the flows, each half of the rows by itself in the second.
        height_dilations: of the layers; () takes the paper's for its heights and otherwise the
            shortest doubling cycle whose receptive field covers the height.
    """

    height: int = option(16, Number(2, MOST))
    flows: int = option(8, DEPTH)
    layers: int = option(8, DOUBLINGS)
    channels: int = option(64, SIZE)
    kernel: int = option(3, SIZE)
    permutation: Literal["reverse", "bipartite"] = option("bipartite", Choice(_PERMUTATIONS))
    height_dilations: tuple[int, ...] = option((), Items(SIZE))

    def __post_init__(self) -> None:
        """Checks every value; see FlowConfig."""
        super().__post_init__()
        self._check_positive("flows", "layers", "channels")
        self._check_layers(self.flows, self.layers)
        if self.height < 2 or self.height % 2:
            raise ValueError(f"height {self.height} is not an even number; choose 8, 16, 32 or 64")
        self._check_odd("kernel")
        if self.height_dilations and len(self.height_dilations) != self.layers:
            raise ValueError(
                f"height_dilations {self.height_dilations} are {len(self.height_dilations)}, but "
                f"there are {self.layers} layers"
            )
        if any(d < 1 for d in self.height_dilations):
            raise ValueError(f"height_dilations {self.height_dilations} hold a value below 1")
        self._check_choice("permutation", _PERMUTATIONS)

    @property
    def dilations(self) -> tuple[tuple[int, int], ...]:
        """(Height, width) dilation of every layer."""
        return tuple((d, 2**i) for i, d in enumerate(self.height_dilations or self._by_rule()))

    @property
    def context_columns(self) -> int:
        """Columns on each side that a column of z depends on, over all flows.

        In the other direction a row sees rows that have already seen their own neighbors, so
        that a column of x depends, ever more faintly, on height - 1 times as many.
        """
        return self.flows * (self.kernel // 2) * sum(width for _, width in self.dilations)

    @property
    def least_bytes(self) -> int:
        """See FlowConfig: dilated layers and conditions in float32."""
        weights = self.kernel**2 * self.channels + self.conditions
        return 4 * self.flows * self.layers * 2 * self.channels * weights

    @property
    def group(self) -> int:
        """The height."""
        return self.height

    @property
    def context_samples(self) -> int:
        """Samples of the context columns."""
        return self.context_columns * self.height

    def sequential_steps(self, samples: int) -> int:
        """One for each row but the first, in each flow, for any number of samples."""
        return self.flows * (self.height - 1)

    def describe(self) -> str:
        """Describes the sizes in words."""
        return (
            f"{self.family}: {self.flows} flows of {self.layers} layers, {self.channels} channels, "
            f"height {self.height}, {self.permutation} permutations"
        )

    def _by_rule(self) -> tuple[int, ...]:
        if self.layers == 8 and self.kernel == 3 and self.height in HEIGHT_DILATIONS:
            return HEIGHT_DILATIONS[self.height]
        for cycle in range(1, self.layers + 1):
            dilations = tuple(2 ** (i % cycle) for i in range(self.layers))
            if (self.kernel - 1) * sum(dilations) + 1 >= self.height:
                return dilations
        return tuple(2**i for i in range(self.layers))


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaveFlowConfig(RowsConfig):
    """The static description of a WaveFlow; defaults are the paper's 5.91M-parameter model.

    Attributes:
        upsample_factors: of the mel upsampler; their product is the hop.
    """

    family: ClassVar[str] = "WaveFlow"

    upsample_factors: tuple[int, ...] = option((16, 16), FACTORS)

    def __post_init__(self) -> None:
        """Checks every value; see FlowConfig."""
        super().__post_init__()
        self._check_factors(self.upsample_factors)

    @property
    def least_bytes(self) -> int:
        """See FlowConfig: with the upsampler."""
        return super().least_bytes + 24 * sum(self.upsample_factors)

    @property
    def upsampler_frames(self) -> int:
        """One for each layer."""
        return len(self.upsample_factors)
