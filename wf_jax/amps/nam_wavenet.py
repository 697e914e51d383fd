"""The WaveNet in a .nam file: its config and its stream of weights, both ways."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.amps.layers import Activation
from wf_jax.amps.nam_file import NamFile, NamFileError
from wf_jax.amps.nam_options import Options
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import LayerArrayConfig, WaveNetConfig
from wf_jax.modules import split

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


def from_nam(file: NamFile) -> WaveNet:
    """The model that a parsed .nam object with architecture "WaveNet" describes.

    Raises:
        NamFileError: an option is malformed or not supported, or the weights do not fit.
    """
    config = parse_config(file)

    def create() -> WaveNet:
        return WaveNet(config, head_scale=0.0, rng=np.random.default_rng(0))

    definition, shapes = split(jax.eval_shape(create))
    names = stream_names(config)
    expected = sum(shapes[name].size for name in names) + 1
    if len(file.weights) != expected:
        raise NamFileError(
            f"{file.source}: {len(file.weights)} weights; a WaveNet of this config has {expected}"
        )
    ends = np.cumsum([shapes[name].size for name in names])
    pieces = np.split(file.weights, ends)
    params = {
        name: jnp.asarray(piece.reshape(shapes[name].shape))
        for name, piece in zip(names, pieces, strict=False)
    }
    model = definition(params)
    model.head_scale = float(pieces[-1][0])  # the stream's value rules, as in the core
    return model


def stream_names(config: WaveNetConfig) -> list[str]:
    """Parameter names in the order of a .nam file's weights, each flattened row-major.

    The stream ends with one more float, head_scale.
    """
    names = []
    for i, array in enumerate(config.arrays):
        names.append(f"arrays/{i}/rechannel/kernel")
        for j in range(len(array.dilations)):
            layer = f"arrays/{i}/layers/{j}"
            names += [f"{layer}/conv/kernel", f"{layer}/conv_bias", f"{layer}/mixin"]
            names += [f"{layer}/layer1x1", f"{layer}/layer1x1_bias"]
        names.append(f"arrays/{i}/head/kernel")
        if array.head_bias:
            names.append(f"arrays/{i}/head/bias")
    return names


def to_weights(model: WaveNet) -> list[float]:
    """The weight stream of a model, head_scale last; each value is exactly a float32."""
    _, params = split(model)
    arrays = [np.asarray(params[name], np.float32).ravel() for name in stream_names(model.config)]
    return np.concatenate([*arrays, np.float32([model.head_scale])]).tolist()


def to_config(model: WaveNet) -> dict[str, Any]:
    """The .nam `config` object, with every key that the trainer writes."""
    return {
        "layers": [_array_to_json(array) for array in model.config.arrays],
        "head": None,
        "head_scale": float(str(np.float32(model.head_scale))),  # 0.01, not 0.0099999998
    }


def _array_to_json(array: LayerArrayConfig) -> dict[str, Any]:
    layers = len(array.dilations)
    return {
        "input_size": array.input_size,
        "condition_size": array.condition_size,
        "head": {
            "out_channels": array.head_channels,
            "kernel_size": array.head_kernel_size,
            "bias": array.head_bias,
            **({"head_dilation": array.head_dilation} if array.head_dilation != 1 else {}),
        },
        "channels": array.channels,
        "kernel_sizes": list(array.kernel_sizes),
        "dilations": list(array.dilations),
        "activation": [_activation_to_json(activation) for activation in array.activations],
        "bottleneck": array.bottleneck,
        "head1x1": {"active": False, "out_channels": 1, "groups": 1},
        "layer1x1": {"active": True, "groups": 1},
        "groups_input": 1,
        "groups_input_mixin": 1,
        **{film: {"active": False, "shift": True, "groups": 1} for film in FILMS},
        "gating_mode": ["none"] * layers,
        "secondary_activation": [None] * layers,
        "slimmable": None,
    }


def _activation_to_json(activation: Activation) -> dict[str, Any]:
    if activation.name == "LeakyReLU":
        return {"type": activation.name, "negative_slope": activation.negative_slope}
    return {"type": activation.name}


def parse_config(file: NamFile) -> WaveNetConfig:
    """The `config` of a .nam WaveNet as a WaveNetConfig.

    Raises:
        NamFileError: naming file, key and expectation.
    """
    config = Options(file.config, f"{file.source}: config")
    config.refuse_unless_absent("head", "condition_dsp")
    config.refuse_unless("in_channels", 1)
    config.number("head_scale")
    layers = config.values.get("layers")
    if not isinstance(layers, list) or not layers:
        raise NamFileError(f"{config.where}.layers: expected a list of layer arrays")
    arrays = tuple(
        _parse_array(Options(layer, f"{config.where}.layers[{i}]"))
        for i, layer in enumerate(layers)
    )
    _check_widths(arrays, config.where)
    return WaveNetConfig(arrays, file.sample_rate)


def _parse_array(options: Options) -> LayerArrayConfig:
    options.refuse_unless_absent("slimmable")
    options.refuse_unless("gated", False)
    options.refuse_unless("groups_input", 1)
    options.refuse_unless("groups_input_mixin", 1)
    for key in ("head1x1", *FILMS):
        options.refuse_if_active(key, active_by_default=key != "head1x1")
    options.check_layer1x1()
    dilations = options.integers("dilations")
    layers = len(dilations)
    for mode in options.per_layer("gating_mode", "none", layers):
        if mode not in ("none", None):
            raise NamFileError(f"{options.where}.gating_mode: {mode!r} is not supported yet")
    channels = options.integer("channels")
    head = options.head()
    return LayerArrayConfig(
        input_size=options.integer("input_size"),
        condition_size=options.integer("condition_size"),
        channels=channels,
        bottleneck=options.integer("bottleneck", channels),
        kernel_sizes=options.kernel_sizes(layers),
        dilations=dilations,
        activations=options.activations(layers),
        head_channels=head.integer("out_channels"),
        head_kernel_size=head.integer("kernel_size", 1),
        head_dilation=head.integer("head_dilation", 1),
        head_bias=head.boolean("bias"),
    )


def _check_widths(arrays: tuple[LayerArrayConfig, ...], where: str) -> None:
    previous_channels, previous_head = 1, None
    for i, array in enumerate(arrays):
        expected = {"input_size": previous_channels, "condition_size": 1}
        if previous_head is not None:
            expected |= {"channels": previous_head, "bottleneck": previous_head}
        for key, value in expected.items():
            if getattr(array, key) != value:
                raise NamFileError(
                    f"{where}.layers[{i}].{key}: {getattr(array, key)} does not fit what comes "
                    f"before, which has {value}"
                )
        previous_channels, previous_head = array.channels, array.head_channels
    if previous_head != 1:
        raise NamFileError(
            f"{where}.layers[{len(arrays) - 1}].head: {previous_head} output channels; "
            "only mono models are supported"
        )
