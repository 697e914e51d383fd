"""The configuration of a WaveGlow."""

import dataclasses
from typing import ClassVar

from wf_jax.flows.config import DEPTH, DOUBLINGS, MOST_LAYERS, SIZE, FlowConfig
from wf_jax.options import Number, option

_EVEN = Number(2, 256)  # groups: a new model rotates them, which takes time


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaveGlowConfig(FlowConfig):
    """The static description of a WaveGlow; defaults are NVIDIA's released 256-channel model.

    Attributes:
        groups: neighboring samples that become the channels of one column; even.
        flows: mixing and coupling, each with a net of its own.
        early_every: flows between early outputs; 0 for none.
        early_size: channels that leave at each of them; even.
        layers: dilated layers of each net.
        channels: residual channels.
        kernel: taps of the dilated layers; odd.
        upsample_hops: length of the upsampler's kernel, in hops.
    """

    family: ClassVar[str] = "WaveGlow"

    groups: int = option(8, _EVEN)
    flows: int = option(12, DEPTH)
    early_every: int = option(4, Number(0, MOST_LAYERS))
    early_size: int = option(2, _EVEN)
    layers: int = option(8, DOUBLINGS)
    channels: int = option(256, SIZE)
    kernel: int = option(3, SIZE)
    upsample_hops: int = option(4, DEPTH)

    def __post_init__(self) -> None:
        """Checks every value; see FlowConfig."""
        super().__post_init__()
        self._check_positive("flows", "layers", "channels", "upsample_hops")
        self._check_layers(self.flows, self.layers)
        self._check_odd("kernel")
        for name in ("groups", "early_size"):
            if getattr(self, name) < 2 or getattr(self, name) % 2:
                raise ValueError(f"{name} {getattr(self, name)} is not an even number above 0")
        if self.early_every < 0:
            raise ValueError(f"early_every {self.early_every} is below 0; 0 is for none")
        if self.mel.hop_length % self.groups:
            raise ValueError(
                f"the hop {self.mel.hop_length} is not a multiple of groups {self.groups}; choose "
                "groups that divide it, e.g. 4 or 8"
            )
        if self.stages[-1][1] < 2:
            raise ValueError(
                f"early outputs of {self.early_size} every {self.early_every} of {self.flows} "
                f"flows leave nothing of groups {self.groups}; choose early_every=0 or more groups"
            )

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """Runs of flows between early outputs: how many flows, and their channels."""
        every = self.early_every or self.flows
        starts = range(0, self.flows, every)
        return tuple(
            (min(every, self.flows - start), self.groups - i * self.early_size)
            for i, start in enumerate(starts)
        )

    @property
    def dilations(self) -> tuple[tuple[int, int], ...]:
        """(Height, width) dilation of every layer; there is only one row in height."""
        return tuple((1, 2**i) for i in range(self.layers))

    @property
    def least_bytes(self) -> int:
        """See FlowConfig: dilated layers, conditions, mixing and upsampler in float32."""
        bands, channels = self.mel.n_mels, self.channels
        weights = self.kernel * channels + self.groups * bands
        nets = self.flows * self.layers * 2 * channels * weights
        mixing = sum(flows * size**2 for flows, size in self.stages)
        return 4 * (nets + mixing + self.upsample_hops * self.mel.hop_length * bands**2)

    @property
    def group(self) -> int:
        """The groups."""
        return self.groups

    @property
    def context_samples(self) -> int:
        """Context of all couplings together; the same in both directions."""
        columns = self.flows * (self.kernel // 2) * sum(width for _, width in self.dilations)
        return columns * self.groups

    @property
    def upsampler_frames(self) -> int:
        """Earlier frames whose kernel reaches into the current one."""
        return self.upsample_hops - 1

    def sequential_steps(self, samples: int) -> int:
        """One for each flow, for any number of samples."""
        return self.flows

    def describe(self) -> str:
        """Describes the sizes in words."""
        return (
            f"WaveGlow: {self.flows} flows of {self.layers} layers, {self.channels} channels, "
            f"groups of {self.groups}"
        )
