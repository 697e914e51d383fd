"""What a NAM WaveNet is made of, in the words of the .nam format."""

import dataclasses

from wf_jax.amps.layers import Activation


@dataclasses.dataclass(frozen=True)
class LayerArrayConfig:
    """One stack of dilated layers; the names are those of the .nam format.

    Attributes:
        input_size: channels coming in (1 for the first array).
        condition_size: channels of the condition (1: the audio itself).
        channels: residual width C.
        bottleneck: width after the activation.
        kernel_sizes: one per layer.
        dilations: one per layer.
        activations: one per layer.
        head_channels: output channels of the head convolution.
        head_kernel_size: its taps.
        head_dilation: samples between them.
        head_bias: whether it has a bias.
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
class WaveNetConfig:
    """A NAM WaveNet: its layer arrays and the sample rate (Hz; None where a file has none)."""

    arrays: tuple[LayerArrayConfig, ...]
    sample_rate: float | None = 48000.0

    @property
    def receptive_field(self) -> int:
        """Input samples that one output sample depends on."""
        return 1 + sum(array.lookback for array in self.arrays)
