"""The configuration of a NAM WaveNet, under the names of the .nam format."""

import dataclasses

from wf_jax.amps.activations import Activation

# The places where the condition may scale and shift a signal, in the order of the weights.
FILMS = (
    "conv_pre_film",
    "conv_post_film",
    "input_mixin_pre_film",
    "input_mixin_post_film",
    "activation_pre_film",
    "activation_post_film",
    "layer1x1_post_film",
    "head1x1_post_film",
)
SIGMOID = Activation("Sigmoid")


@dataclasses.dataclass(frozen=True)
class FilmConfig:
    """Feature-wise linear modulation of a signal by the condition (Perez et al., 2018)."""

    shift: bool = True
    groups: int = 1


@dataclasses.dataclass(frozen=True)
class LayerArrayConfig:
    """One stack of dilated layers; the names are those of the .nam format.

    Attributes:
        input_size: channels coming in (the audio's for the first array).
        condition_size: channels of the condition.
        channels: residual width C.
        bottleneck: width b after the activation.
        kernel_sizes: one per layer.
        dilations: one per layer.
        activations: one per layer.
        head_channels: output channels of the head convolution.
        head_kernel_size: its taps.
        head_dilation: samples between them.
        head_bias: whether it has a bias.
        gating: "none", "gated" or "blended", one per layer; () is none everywhere.
        secondary_activations: of the gate, one per layer; read where there is gating.
        groups_input: of the dilated convolutions.
        groups_input_mixin: of the condition's 1x1 convolutions.
        layer1x1_groups: of the 1x1 convolution on the residual path; 0 where there is none.
        head1x1_channels: of a 1x1 convolution on the way to the head; 0 where there is none.
        head1x1_groups: its groups.
        films: (place, its options) of every active FiLM, in the order of FILMS.
        allowed_channels: widths that the array can be sliced to, ascending; () for one only.
    """

    input_size: int
    condition_size: int
    channels: int
    bottleneck: int
    kernel_sizes: tuple[int, ...]
    dilations: tuple[int, ...]
    activations: tuple[Activation, ...]
    head_channels: int
    head_kernel_size: int = 1
    head_dilation: int = 1
    head_bias: bool = True
    gating: tuple[str, ...] = ()
    secondary_activations: tuple[Activation, ...] = ()
    groups_input: int = 1
    groups_input_mixin: int = 1
    layer1x1_groups: int = 1
    head1x1_channels: int = 0
    head1x1_groups: int = 1
    films: tuple[tuple[str, FilmConfig], ...] = ()
    allowed_channels: tuple[int, ...] = ()

    def gate(self, layer: int) -> str:
        """The gating of one layer."""
        return self.gating[layer] if self.gating else "none"

    def secondary(self, layer: int) -> Activation:
        """The gate's activation in one layer."""
        return self.secondary_activations[layer] if self.secondary_activations else SIGMOID

    def width(self, layer: int) -> int:
        """Channels of one layer before its activation: twice the bottleneck where it gates."""
        return self.bottleneck * (1 if self.gate(layer) == "none" else 2)

    @property
    def head_inputs(self) -> int:
        """Channels that the head convolution sees."""
        return self.head1x1_channels or self.bottleneck

    @property
    def head_lookback(self) -> int:
        """Samples before the current one that the head convolution sees."""
        return (self.head_kernel_size - 1) * self.head_dilation

    @property
    def lookback(self) -> int:
        """Samples before the current one that reach the array's output."""
        spans = zip(self.kernel_sizes, self.dilations, strict=True)
        return sum((k - 1) * d for k, d in spans) + self.head_lookback


@dataclasses.dataclass(frozen=True)
class PostHeadConfig:
    """Convolutions after the last array, each behind the same activation.

    Attributes:
        channels: width of all but the last.
        out_channels: width of the last.
        kernel_sizes: one per convolution.
        activation: before each.
    """

    channels: int
    out_channels: int
    kernel_sizes: tuple[int, ...]
    activation: Activation

    @property
    def widths(self) -> tuple[int, ...]:
        """Output channels of each convolution."""
        return (self.channels,) * (len(self.kernel_sizes) - 1) + (self.out_channels,)

    @property
    def lookback(self) -> int:
        """Samples before the current one that they see together."""
        return sum(self.kernel_sizes) - len(self.kernel_sizes)


@dataclasses.dataclass(frozen=True)
class WaveNetConfig:
    """A NAM WaveNet without its condition model.

    Attributes:
        arrays: its layer arrays, first to last.
        sample_rate: Hz; None where a file has none.
        in_channels: channels of the audio.
        post_head: what follows the last array, if anything.
    """

    arrays: tuple[LayerArrayConfig, ...]
    sample_rate: float | None = 48000.0
    in_channels: int = 1
    post_head: PostHeadConfig | None = None

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self.post_head.out_channels if self.post_head else self.arrays[-1].head_channels

    @property
    def receptive_field(self) -> int:
        """Input samples that one output sample depends on, by the layers alone."""
        post = self.post_head.lookback if self.post_head else 0
        return 1 + sum(array.lookback for array in self.arrays) + post
