"""The models that the native engine plays, and the shape that its code is compiled for.

A shape is the model's `WaveNetConfig` without what the code does not depend on. llvmlite is not
imported here: `inspect` asks, too.
"""

import dataclasses
from collections.abc import Iterator

from wf_jax.amps.activations import Activation
from wf_jax.amps.container import SlimmableContainer
from wf_jax.amps.model import AmpModel
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import LayerArrayConfig, WaveNetConfig

# Far above all that live audio can afford; beyond it code and arena would grow without need.
MOST_CHANNELS = 64
MOST_LAYERS = 256
MOST_KINDS = 32  # of layers, in one array: each is compiled for 0.1 s
MOST_MEMORY = 1 << 22  # float32 numbers that are looked back on, 16 MiB


def played(model: AmpModel) -> AmpModel:
    """The model that plays: of a container its largest one."""
    while isinstance(model, SlimmableContainer):
        model = model.largest
    return model


def why_not(model: AmpModel) -> str:
    """Says in a few words why the engine does not play a model; "" where it does."""
    model = played(model)
    if not isinstance(model, WaveNet):
        return f"it plays WaveNets, not {type(model).__name__}"
    if model.condition is not None:
        return "it plays no condition_dsp"
    arrays = model.config.arrays
    if any(array.films for array in arrays):
        return "it plays no FiLM"
    if model.config.in_channels != arrays[0].condition_size:
        return "condition_size is not the number of inputs"
    convolutions = [size for array in arrays for size in _convolutions(array)]
    post = model.config.post_head
    widest = max(rows for rows, _ in convolutions)
    widest = max(widest, model.config.in_channels, *((post.widths) if post else (0,)))
    if widest > MOST_CHANNELS:
        return f"it plays {MOST_CHANNELS} channels at most, here are {widest}"
    if len(convolutions) > MOST_LAYERS:
        return f"it plays {MOST_LAYERS} convolutions at most, here are {len(convolutions)}"
    if max(kinds := [len(set(_kinds(array))) for array in arrays]) > MOST_KINDS:
        return f"it plays {MOST_KINDS} kinds of layers in an array at most, here are {max(kinds)}"
    if sum(rows * lookback for rows, lookback in convolutions) > MOST_MEMORY:
        return f"its memory holds {MOST_MEMORY:,} numbers at most"
    return ""


def shape_of(model: WaveNet) -> WaveNetConfig:
    """The shape of a model that `why_not` has nothing against; equal shapes share their code.

    Slopes of a PReLU are weights to the code, groups are written out as zeros, a secondary
    activation without a gate and a sample rate are nothing to it.
    """
    arrays = tuple(_array(array) for array in model.config.arrays)
    post = model.config.post_head
    if post is not None:
        post = dataclasses.replace(post, activation=_activation(post.activation))
    return dataclasses.replace(model.config, arrays=arrays, post_head=post, sample_rate=None)


def _array(array: LayerArrayConfig) -> LayerArrayConfig:
    return dataclasses.replace(
        array,
        activations=tuple(map(_activation, array.activations)),
        gating=tuple(array.gate(i) for i in range(len(array.dilations))),
        secondary_activations=tuple(
            _activation(array.secondary(i) if array.gate(i) != "none" else array.activations[i])
            for i in range(len(array.dilations))
        ),
        groups_input=1,
        groups_input_mixin=1,
        layer1x1_groups=min(1, array.layer1x1_groups),
        head1x1_groups=1,
        allowed_channels=(),
    )


def _activation(activation: Activation) -> Activation:
    return Activation("PReLU") if activation.name == "PReLU" else activation


def _kinds(array: LayerArrayConfig) -> Iterator[tuple]:
    """The parts by which code tells the layers of an array apart; not dilations and weights."""
    array = _array(array)
    return zip(
        array.kernel_sizes,
        array.gating,
        array.activations,
        array.secondary_activations,
        strict=True,
    )


def _convolutions(array: LayerArrayConfig) -> list[tuple[int, int]]:
    """(rows, lookback) of every convolution; rows of the widest signal beside it."""
    wide = max(array.channels, 2 * array.bottleneck, array.head1x1_channels, array.head_channels)
    lookbacks = [
        (taps - 1) * dilation
        for taps, dilation in zip(array.kernel_sizes, array.dilations, strict=True)
    ]
    return [(wide, lookback) for lookback in [*lookbacks, array.head_lookback]]
