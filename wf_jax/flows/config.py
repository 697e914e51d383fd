"""What a WaveFlow is made of, as plain values: its height, nets, permutations and mel settings."""

import dataclasses
import math
from typing import Literal

from wf_jax.audio.mel import MelSettings

# Paper, table 2: the height dilations of eight layers for each squeeze height.
HEIGHT_DILATIONS = {
    8: (1, 1, 1, 1, 1, 1, 1, 1),
    16: (1, 1, 1, 1, 1, 1, 1, 1),
    32: (1, 2, 4, 1, 2, 4, 1, 2),
    64: (1, 2, 4, 8, 16, 1, 2, 4),
    128: (1, 2, 4, 8, 16, 32, 64, 1),
}


@dataclasses.dataclass(frozen=True)
class WaveFlowConfig:
    """The static description of a WaveFlow; defaults are the paper's 5.91M-parameter model.

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
        upsample_factors: of the mel upsampler; their product is the hop.
        mel: what the conditioner is made from.
        compute_dtype: of the nets' products, "float32" or "bfloat16" ("float64" for checks); audio,
            latents, scales and shifts keep the type of the audio.
        matmul_precision: of float32 products on accelerators, "highest", "high" or "default"
            (JAX's names: on a GPU "default" may use TF32).
    """

    height: int = 16
    flows: int = 8
    layers: int = 8
    channels: int = 64
    kernel: int = 3
    permutation: Literal["reverse", "bipartite"] = "bipartite"
    height_dilations: tuple[int, ...] = ()
    upsample_factors: tuple[int, ...] = (16, 16)
    mel: MelSettings = dataclasses.field(default_factory=MelSettings)
    compute_dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    matmul_precision: Literal["highest", "high", "default"] = "highest"

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: one does not fit; the message says which and what would.
        """
        for name in ("flows", "layers", "channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is below 1")
        if self.height < 2 or self.height % 2:
            raise ValueError(f"height {self.height} is not an even number; choose 8, 16, 32 or 64")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} is not odd; choose 3")
        if any(factor < 1 for factor in self.upsample_factors):
            raise ValueError(f"upsample_factors {self.upsample_factors} hold a value below 1")
        if math.prod(self.upsample_factors) != self.mel.hop:
            raise ValueError(
                f"upsample_factors {self.upsample_factors} multiply to "
                f"{math.prod(self.upsample_factors)}, but the hop is {self.mel.hop}"
            )
        if self.height_dilations and len(self.height_dilations) != self.layers:
            raise ValueError(
                f"height_dilations {self.height_dilations} are {len(self.height_dilations)}, but "
                f"there are {self.layers} layers"
            )
        if any(d < 1 for d in self.height_dilations):
            raise ValueError(f"height_dilations {self.height_dilations} hold a value below 1")
        for name, choices in (
            ("permutation", ("reverse", "bipartite")),
            ("compute_dtype", ("float32", "bfloat16", "float64")),
            ("matmul_precision", ("highest", "high", "default")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r} is none of {', '.join(choices)}")

    @property
    def dilations(self) -> tuple[tuple[int, int], ...]:
        """Of every layer: in height, in width."""
        return tuple((d, 2**i) for i, d in enumerate(self.height_dilations or self._by_rule()))

    @property
    def context_columns(self) -> int:
        """Columns on each side that a column of z depends on, over all flows.

        In the other direction a row sees rows that have already seen their own neighbours, so
        that a column of x depends, ever more faintly, on height - 1 times as many.
        """
        return self.flows * (self.kernel // 2) * sum(width for _, width in self.dilations)

    def _by_rule(self) -> tuple[int, ...]:
        if self.layers == 8 and self.kernel == 3 and self.height in HEIGHT_DILATIONS:
            return HEIGHT_DILATIONS[self.height]
        for cycle in range(1, self.layers + 1):
            dilations = tuple(2 ** (i % cycle) for i in range(self.layers))
            if (self.kernel - 1) * sum(dilations) + 1 >= self.height:
                return dilations
        return tuple(2**i for i in range(self.layers))
