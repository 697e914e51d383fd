"""Describes a model and the cost of playing it, for people to read."""

import dataclasses
from collections.abc import Iterator

import jax

from wf_jax.amps.a2 import size_of
from wf_jax.amps.convnet import ConvNet
from wf_jax.amps.linear import Linear
from wf_jax.amps.model import AmpModel
from wf_jax.amps.recurrent import Recurrent
from wf_jax.amps.sequential import Sequential
from wf_jax.amps.skip import Skip
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import LayerArrayConfig
from wf_jax.plurals import counted

# Parameters of the older presets, all of two arrays with kernels of 3 and Tanh.
A1 = {13801: "standard", 6553: "lite", 3025: "feather", 841: "nano"}


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of playing a model.

    Attributes:
        parameters: numbers that training changes.
        macs: multiply-adds of its products per sample; activations are not counted.
        state: numbers carried from one sample to the next.
    """

    parameters: int
    macs: int
    state: int


def cost_of(model: AmpModel) -> Cost:
    """Counts a model's cost without computing anything."""
    leaves = jax.tree.leaves(model)
    # Every weight of a kernel meets one sample per sample; biases and scales are vectors.
    macs = sum(leaf.size for leaf in leaves if leaf.ndim > 1)
    state = jax.eval_shape(model.state_before_prewarm)
    return Cost(
        sum(leaf.size for leaf in leaves), macs, sum(leaf.size for leaf in jax.tree.leaves(state))
    )


def words(model: AmpModel) -> Iterator[str]:
    """Describes the parts of a model in a few words each."""
    if size := size_of(model):
        yield f"A2 {size}"
    channels = (model.input_channels, model.output_channels)
    if channels != (1, 1):
        yield f"{counted(channels[0], 'input')}, {counted(channels[1], 'output')}"
    if isinstance(model, WaveNet):
        yield from _wavenet(model)
    elif isinstance(model, Recurrent):
        layers = counted(model.config.layers, f"{type(model).__name__} layer")
        yield f"{layers} of {model.config.hidden_size}"
    elif isinstance(model, Skip):
        yield from words(model.model)
        yield f"{model.gain:.4g} x the input is added to the output"
    elif isinstance(model, ConvNet):
        norm = " with batch norm" if model.config.batchnorm else ""
        blocks = counted(len(model.config.dilations), "block")
        yield f"{blocks} of {model.config.channels} channels{norm}"
    elif isinstance(model, Linear):
        yield f"an impulse response of {model.receptive_field:,} samples"
    elif isinstance(model, Sequential):
        for i, part in enumerate(model.models):
            yield f"part {i + 1} {type(part).__name__} ({', '.join(words(part))})"


def _wavenet(model: WaveNet) -> Iterator[str]:
    parameters = cost_of(model).parameters
    names = {activation.name for array in model.config.arrays for activation in array.activations}
    if parameters in A1 and len(model.config.arrays) == 2 and names == {"Tanh"}:
        yield f"A1 {A1[parameters]}"
    for array in model.config.arrays:
        yield ", ".join(_array(array))
    if model.config.post_head is not None:
        convolutions = len(model.config.post_head.kernel_sizes)
        yield f"{counted(convolutions, 'convolution')} after the last array"
    if model.condition is not None:
        inner = ", ".join(words(model.condition))
        yield f"conditioned by a {type(model.condition).__name__} ({inner})"


def _array(array: LayerArrayConfig) -> Iterator[str]:
    layers, channels = len(array.dilations), array.channels
    yield f"{counted(layers, 'layer')} of {counted(channels, 'channel')}"
    if array.bottleneck != array.channels:
        yield f"bottleneck {array.bottleneck}"
    yield f"kernels {_range(array.kernel_sizes)}"
    yield f"dilations {_range(array.dilations)}"
    yield " and ".join(sorted({activation.name for activation in array.activations}))
    for gate in sorted(set(array.gating) - {"none"}):
        yield f"{array.gating.count(gate)} {gate}"
    if array.films:
        yield counted(len(array.films), "FiLM")
    if array.head1x1_channels:
        yield "head1x1"
    if not array.layer1x1_groups:
        yield "no layer1x1"
    if max(array.groups_input, array.groups_input_mixin, array.layer1x1_groups) > 1:
        yield "groups"
    if array.allowed_channels:
        yield f"slimmable to {', '.join(map(str, array.allowed_channels))} channels"


def _range(values: tuple[int, ...]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
