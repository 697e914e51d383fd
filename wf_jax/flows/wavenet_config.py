"""The configuration of a WaveNet, or of a flow of several."""

import dataclasses
from typing import ClassVar, Literal

from wf_jax.flows.config import DEPTH, DOUBLINGS, FACTORS, MOST, SIZE, FlowConfig
from wf_jax.options import Choice, Number, option

HEADS = ("gaussian", "affine", "gaussian_mixture", "logistic_mixture", "softmax")
INVERTIBLE = ("gaussian", "affine")
CLASSES = ("logistic_mixture", "softmax")
_CLASSES = Number(2, 1 << 24)  # of 24-bit audio


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaveNetConfig(FlowConfig):
    """The static description of a WaveNet; defaults are the WaveFlow paper's Gaussian WaveNet.

    Attributes:
        head: distribution of the next sample. "gaussian": mean and log deviation;
            "affine": the log scale and shift of a flow, the same density in other terms;
            "gaussian_mixture" and "logistic_mixture" of `mixtures`; "softmax" over mu-law classes.
        mixtures: components of a mixture.
        classes: of "logistic_mixture", the steps of the recording (65,536 for 16 bits).
        companded_classes: of "softmax".
        flows: nets, one after the other, each over the samples in the other order; above 1 the
            paper's autoregressive flow.
        layers: dilated layers of each net.
        cycle: layers after which the dilation, doubling from 1, begins anew.
        channels: residual channels.
        kernel: taps of the dilated layers.
        upsample_factors: of the mel upsampler; their product is the hop.
    """

    family: ClassVar[str] = "WaveNet"

    head: Literal["gaussian", "affine", "gaussian_mixture", "logistic_mixture", "softmax"] = option(
        "gaussian", Choice(HEADS)
    )
    mixtures: int = option(10, DEPTH)
    classes: int = option(65536, _CLASSES)
    companded_classes: int = option(256, Number(2, MOST))
    flows: int = option(1, DEPTH)
    layers: int = option(30, DEPTH)
    cycle: int = option(10, DOUBLINGS)
    channels: int = option(128, SIZE)
    kernel: int = option(3, SIZE)
    upsample_factors: tuple[int, ...] = option((16, 16), FACTORS)

    def __post_init__(self) -> None:
        """Checks every value; see FlowConfig."""
        super().__post_init__()
        self._check_positive("mixtures", "flows", "layers", "cycle", "channels", "kernel")
        self._check_layers(self.flows, self.layers)
        self._check_choice("head", HEADS)
        for name in ("classes", "companded_classes"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} {getattr(self, name)} is below 2")
        if self.flows > 1 and self.head not in INVERTIBLE:
            raise ValueError(
                f"head {self.head!r} has no latent for another flow to model; choose "
                f"{' or '.join(INVERTIBLE)}, or flows 1"
            )
        self._check_factors(self.upsample_factors)

    @property
    def dilations(self) -> tuple[tuple[int, int], ...]:
        """(Height, width) dilation of every layer; height is time here, width one column."""
        return tuple((2 ** (i % self.cycle), 1) for i in range(self.layers))

    @property
    def receptive_field(self) -> int:
        """Samples before the predicted one that one net sees."""
        return 1 + (self.kernel - 1) * sum(time for time, _ in self.dilations)

    @property
    def least_bytes(self) -> int:
        """See FlowConfig: dilated layers, conditions, head and upsampler in float32."""
        outputs = {"softmax": self.companded_classes}.get(self.head, 0)
        if self.head.endswith("mixture"):
            outputs = 3 * self.mixtures
        weights = self.layers * 2 * (self.kernel * self.channels + self.mel.n_mels) + outputs
        nets = self.flows * self.channels * weights
        return 4 * (nets + 6 * sum(self.upsample_factors))

    @property
    def group(self) -> int:
        """One: every sample is a row of its own."""
        return 1

    @property
    def context_samples(self) -> None:
        """None: every sample depends on all before it."""
        return

    @property
    def upsampler_frames(self) -> int:
        """One for each layer."""
        return len(self.upsample_factors)

    @property
    def has_latent(self) -> bool:
        """See FlowConfig: False for mixtures and classes."""
        return self.head in INVERTIBLE

    def sequential_steps(self, samples: int) -> int:
        """One for each sample, in each flow."""
        return self.flows * samples

    def describe(self) -> str:
        """Describes the sizes in words."""
        sizes = f"{self.layers} layers, {self.channels} channels"
        if self.flows > 1:
            return f"autoregressive flow: {self.flows} flows of {sizes}"
        return f"WaveNet: {sizes}, {self.head.replace('_', ' ')} head"
