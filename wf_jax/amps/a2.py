"""A2, the current Neural Amp Modeler architecture: one layer array, 23 layers, 3 or 8 channels.

`matches` is the test by which players decide whether a model may take a pass that is written for A2
alone: every field of the signature, as strict as the C++ core's `is_a2_shape`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from wf_jax.amps.activations import Activation
from wf_jax.amps.nam_wavenet import to_config
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import FILMS, LayerArrayConfig, WaveNetConfig
from wf_jax.amps.weights import Uniform

CHANNELS = {"nano": 3, "standard": 8}
KERNEL_SIZES = (6,) * 14 + (15, 15) + (6,) * 7
DILATIONS = (*(1, 3, 7, 17, 41, 101, 239) * 2, 1, 13, *(1, 3, 7, 17, 41, 101, 239))
HEAD_KERNEL_SIZE = 16
HEAD_SCALE = 0.01
NEGATIVE_SLOPE = float(np.float32(0.01))


def config(size: str, sample_rate: float = 48000.0) -> WaveNetConfig:
    """The configuration of A2 "nano" (1,870 parameters) or "standard" (12,145).

    Raises:
        ValueError: size is neither.
    """
    if size not in CHANNELS:
        raise ValueError(f"A2 size {size!r} does not exist; choose one of {', '.join(CHANNELS)}")
    channels = CHANNELS[size]
    array = LayerArrayConfig(
        input_size=1,
        condition_size=1,
        channels=channels,
        bottleneck=channels,
        kernel_sizes=KERNEL_SIZES,
        dilations=DILATIONS,
        activations=(Activation("LeakyReLU", 0.01),) * len(DILATIONS),
        head_channels=1,
        head_kernel_size=HEAD_KERNEL_SIZE,
        head_bias=True,
    )
    return WaveNetConfig((array,), sample_rate)


def create(size: str, rng: np.random.Generator, sample_rate: float = 48000.0) -> WaveNet:
    """A freshly initialized A2 model; `sample_rate` in Hz."""
    return WaveNet(config(size, sample_rate), head_scale=HEAD_SCALE, weights=Uniform(rng))


def size_of(model: Any) -> str | None:
    """Returns the A2 size of a model, "nano" or "standard"; None if any field differs from A2's.

    A model that was read from a file must also pass `matches` on the config as written there.
    """
    if not isinstance(model, WaveNet) or model.condition is not None or not model.a2_as_written:
        return None
    if not matches(to_config(model, write=lambda condition: {})):
        return None
    channels = model.config.arrays[0].channels
    return next(size for size, width in CHANNELS.items() if width == channels)


def matches(config: Any) -> bool:
    """Returns True if the `config` of a .nam WaveNet is A2, nano or standard, in every field."""
    return difference(config) is None


def difference(config: Any) -> str | None:
    """Names the first field in which the `config` of a .nam WaveNet differs from A2; None if none.

    The rules are those of the C++ core: lists must be written out as the trainer writes them, so
    that for instance an activation given once for all layers is a difference. Slopes may be 1e-7
    off, which is inaudible.
    """
    if not isinstance(config, dict):
        return "config: not an object"
    return next(_differences(config), None)


def _differences(config: dict[str, Any]) -> Iterator[str]:
    layers = config.get("layers")
    if not isinstance(layers, list) or len(layers) != 1 or not isinstance(layers[0], dict):
        yield "layers: A2 has one layer array"
        return
    for key in ("head", "condition_dsp"):
        if config.get(key) is not None:
            yield f"{key}: A2 has none"
    if not _number(config.get("head_scale")):
        yield "head_scale: missing or not a number"
    if not _is(config.get("in_channels", 1), 1):
        yield "in_channels: 1 in A2"
    for complaint in _array_differences(layers[0]):
        yield f"layers[0].{complaint}"


def _array_differences(array: dict[str, Any]) -> Iterator[str]:
    count = len(DILATIONS)
    for key in ("input_size", "condition_size"):
        if not _is(array.get(key), 1):
            yield f"{key}: 1 in A2"
    channels = array.get("channels")
    if not any(_is(channels, width) for width in CHANNELS.values()):
        yield f"channels: {' or '.join(map(str, CHANNELS.values()))} in A2"
    if not _is(array.get("bottleneck"), channels):
        yield "bottleneck: equals channels in A2"
    for key, values in (("kernel_sizes", KERNEL_SIZES), ("dilations", DILATIONS)):
        found = array.get(key)
        if not isinstance(found, list) or len(found) != count:
            yield f"{key}: a list of {count} in A2"
        elif not all(_is(a, b) for a, b in zip(found, values, strict=True)):
            i = next(i for i in range(count) if not _is(found[i], values[i]))
            yield f"{key}[{i}]: {values[i]} in A2"
    yield from _activation_differences(array.get("activation"))
    yield from _listed(array, "gating_mode", "none")
    if array.get("gated") is True:
        yield "gated: not in A2"
    yield from _listed(array, "secondary_activation", None)
    head1x1 = array.get("head1x1")
    if isinstance(head1x1, dict) and head1x1.get("active") is True:
        yield "head1x1: not active in A2"
    layer1x1 = array.get("layer1x1")
    if not isinstance(layer1x1, dict) or layer1x1.get("active") is not True:
        yield "layer1x1: an object, and active, in A2"
    elif not _is(layer1x1.get("groups", 1), 1):
        yield "layer1x1.groups: 1 in A2"
    yield from _head_differences(array.get("head"))
    for film in FILMS:
        value = array.get(film)
        inactive = value is None or value is False
        if not inactive and not (isinstance(value, dict) and value.get("active", False) is False):
            yield f"{film}: not active in A2"
    for key in ("groups_input", "groups_input_mixin"):
        if not _is(array.get(key, 1), 1):
            yield f"{key}: 1 in A2"
    if array.get("slimmable") is not None:
        yield "slimmable: A2 has none"


def _activation_differences(activations: Any) -> Iterator[str]:
    if not isinstance(activations, list) or len(activations) != len(DILATIONS):
        yield f"activation: a list of {len(DILATIONS)} objects in A2"
        return
    for i, activation in enumerate(activations):
        if not isinstance(activation, dict) or activation.get("type") != "LeakyReLU":
            yield f"activation[{i}]: an object of type LeakyReLU in A2"
            continue
        slope = activation.get("negative_slope")
        if not _number(slope) or not abs(slope - NEGATIVE_SLOPE) <= 1e-7:
            yield f"activation[{i}].negative_slope: 0.01 in A2"


def _head_differences(head: Any) -> Iterator[str]:
    if not isinstance(head, dict):
        yield "head: an object in A2"
        return
    for key, value, default in (
        ("out_channels", 1, None),
        ("kernel_size", HEAD_KERNEL_SIZE, None),
        ("head_dilation", 1, 1),
    ):
        if not _is(head.get(key, default), value):
            yield f"head.{key}: {value} in A2"
    if head.get("bias") is not True:
        yield "head.bias: true in A2"


def _listed(array: dict[str, Any], key: str, value: str | None) -> Iterator[str]:
    """Returns a complaint unless absent, null, or a list of `value` for every layer."""
    found = array.get(key)
    if found is None:
        return
    if not isinstance(found, list) or len(found) != len(DILATIONS):
        yield f"{key}: absent or a list of {len(DILATIONS)} in A2"
        return
    for i, item in enumerate(found):
        if item != value:
            yield f"{key}[{i}]: {'null' if value is None else value} in A2"


def _is(found: Any, value: Any) -> bool:
    """Returns True for the integer `value`, not for its look-alikes 1.0 and true."""
    return isinstance(found, int) and not isinstance(found, bool) and found == value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
