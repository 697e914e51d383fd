"""The steps that make a block of audio, each with where in the arena it reads and writes."""

import dataclasses

from wf_jax.amps.activations import Activation


@dataclasses.dataclass(frozen=True)
class Buffer:
    """A signal [rows, time] in the arena.

    Attributes:
        offset: of its first number in the arena.
        rows: channels.
        span: samples of the ring, a power of two; 0 where it is scratch for one block.
        stride: numbers from one row to the next.
    """

    offset: int
    rows: int
    span: int
    stride: int


@dataclasses.dataclass(frozen=True)
class LayerKind:
    """Everything that the code of a dilated layer depends on; layers of a kind share one function.

    Attributes:
        inputs: channels that its convolution sees: its own, or the audio's in the first layer,
            which takes the 1x1 convolution before it into its kernel.
        channels: residual width.
        bottleneck: width after the activation.
        taps: of the convolution.
        gate: "none", "gated" or "blended".
        activation: its own.
        secondary: the gate's.
        mixin: channels of the condition; 0 in the first layer, where the last tap holds the mixin.
        first: whether it is the first layer, see inputs.
        layer1x1: whether the residual passes through a 1x1 convolution.
        head1x1: channels of the 1x1 convolution on the way to the head; 0 for none.
        begins: whether the sum for the head begins here; else it goes on.
        ends: whether nothing needs its residual output.
    """

    inputs: int
    channels: int
    bottleneck: int
    taps: int
    gate: str
    activation: Activation
    secondary: Activation
    mixin: int
    first: bool
    layer1x1: bool
    head1x1: int
    begins: bool
    ends: bool

    @property
    def parts(self) -> int:
        """Outputs of the convolution for each channel of the bottleneck."""
        return 1 if self.gate == "none" else 2


@dataclasses.dataclass(frozen=True)
class LayerStep:
    """A dilated layer: source -> out, and added to head."""

    kind: LayerKind
    dilation: int
    source: Buffer
    out: Buffer | None
    head: Buffer
    weights: int = 0  # their offset in the arena


@dataclasses.dataclass(frozen=True)
class ConvKind:
    """Everything that the code of a plain convolution depends on; an activation may follow."""

    inputs: int
    outputs: int
    taps: int
    activation: Activation | None


@dataclasses.dataclass(frozen=True)
class ConvStep:
    """A plain convolution with bias: source -> out."""

    kind: ConvKind
    dilation: int
    source: Buffer
    out: Buffer
    weights: int = 0


@dataclasses.dataclass(frozen=True)
class Plan:
    """All steps of a shape on a target.

    Attributes:
        inputs: channels of the audio.
        outputs: channels of the output.
        audio: the input signal, which also is the condition.
        steps: in order.
        output: the output signal.
        scratch: offset of what a layer's activations of one tile take.
        header: offset of the position in time, an int64.
        size: of the arena.
    """

    inputs: int
    outputs: int
    audio: Buffer
    steps: tuple[LayerStep | ConvStep, ...]
    output: Buffer
    scratch: int
    header: int
    size: int

    @property
    def rings(self) -> list[Buffer]:
        """The buffers with a memory, each after those that it depends on."""
        targets = [self.audio]
        for step in self.steps:
            # The head's sum is complete, and stands in its ring, before the head is computed.
            targets.append(step.source)
        return [buffer for buffer in dict.fromkeys(targets) if buffer.span]


def weights_in(kind: LayerKind | ConvKind) -> int:
    """Numbers that a step of this kind takes from the arena; see `weights.py` for their order."""
    if isinstance(kind, ConvKind):
        slopes = kind.outputs if _has_slopes(kind.activation) else 0
        return kind.outputs * (1 + kind.inputs * kind.taps) + slopes
    width = kind.bottleneck * kind.parts
    count = width * (1 + kind.mixin + kind.inputs * kind.taps)
    slopes = _has_slopes(kind.activation) + (kind.parts == 2 and _has_slopes(kind.secondary))
    count += kind.bottleneck * slopes
    if not kind.ends:
        count += kind.channels * kind.inputs if kind.first else 0
        count += kind.channels * (1 + kind.bottleneck) if kind.layer1x1 else 0
    return count + kind.head1x1 * (1 + kind.bottleneck)


def _has_slopes(activation: Activation | None) -> bool:
    return activation is not None and activation.name == "PReLU"
