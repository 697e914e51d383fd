"""The WaveNet in a .nam file: its config both ways, and its weights as they are read."""

from collections.abc import Callable
from typing import Any

import numpy as np

from wf_jax.amps.activations import Activation
from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_file import NamFile
from wf_jax.amps.nam_filling import filled
from wf_jax.amps.nam_limits import MOST, TAPS
from wf_jax.amps.nam_options import Options
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import (
    FILMS,
    SIGMOID,
    FilmConfig,
    LayerArrayConfig,
    PostHeadConfig,
    WaveNetConfig,
)
from wf_jax.errors import UserError

GATING = ("none", "gated", "blended")
MOST_LAYERS = 256
Read = Callable[[Any, str], AmpModel]  # a nested .nam object and its place -> its model


def from_nam(file: NamFile, read: Read) -> WaveNet:
    """The model that a parsed .nam object with architecture "WaveNet" describes.

    Args:
        file: the object.
        read: builds the model of a nested .nam object, for the condition.

    Raises:
        UserError: an option is malformed, the parts do not fit, or the weights do not.
    """
    config = read_config(file)
    condition = None
    if file.config.get("condition_dsp") is not None:
        where = f"{file.source}: config.condition_dsp"
        condition = read(file.config["condition_dsp"], where)
        _check_condition(condition, config, where)
    _check_widths(config, condition, f"{file.source}: config")

    head_scale = float(file.config["head_scale"])
    return filled(
        lambda weights: WaveNet(
            config, head_scale=head_scale, weights=weights, condition=condition
        ),
        file,
    )


def read_config(file: NamFile) -> WaveNetConfig:
    """The `config` of a .nam WaveNet as a WaveNetConfig.

    Raises:
        UserError: naming file, key and expectation.
    """
    options = Options(file.config, f"{file.source}: config")
    options.number("head_scale")
    arrays = _read_arrays(options)
    config = WaveNetConfig(
        arrays,
        file.sample_rate,
        options.channels("in_channels", 1),
        _read_post_head(options.inner("head"), arrays[-1]) if options.present("head") else None,
    )
    return config


def to_config(model: WaveNet, write: Callable[[AmpModel], dict[str, Any]]) -> dict[str, Any]:
    """The .nam `config` object, with every key that the trainer writes.

    Args:
        model: what to describe.
        write: the .nam object of a nested model, for the condition.
    """
    config = model.config
    result: dict[str, Any] = {
        "layers": [_array_to_json(array) for array in config.arrays],
        "head": None,
        "head_scale": float(str(np.float32(model.head_scale))),
    }
    if config.in_channels != 1:
        result["in_channels"] = config.in_channels
    if config.post_head is not None:
        result["head"] = {
            "channels": config.post_head.channels,
            "out_channels": config.post_head.out_channels,
            "kernel_sizes": list(config.post_head.kernel_sizes),
            "activation": config.post_head.activation.to_json(),
        }
    if model.condition is not None:
        result["condition_dsp"] = write(model.condition)
    return result


def _array_to_json(array: LayerArrayConfig) -> dict[str, Any]:
    layers = range(len(array.dilations))
    films = dict(array.films)
    inactive = FilmConfig()
    gated = [array.gate(layer) != "none" for layer in layers]
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
        "activation": [activation.to_json() for activation in array.activations],
        "bottleneck": array.bottleneck,
        "head1x1": {
            "active": array.head1x1_channels > 0,
            "out_channels": array.head1x1_channels or 1,
            "groups": array.head1x1_groups,
        },
        "layer1x1": {"active": array.layer1x1_groups > 0, "groups": array.layer1x1_groups or 1},
        "groups_input": array.groups_input,
        "groups_input_mixin": array.groups_input_mixin,
        **{
            place: {
                "active": place in films,
                "shift": films.get(place, inactive).shift,
                "groups": films.get(place, inactive).groups,
            }
            for place in FILMS
        },
        "gating_mode": [array.gate(layer) for layer in layers],
        "secondary_activation": [
            array.secondary(layer).to_json() if gated[layer] else None for layer in layers
        ],
        "slimmable": None
        if not array.allowed_channels
        else {
            "method": "slice_channels_uniform",
            "kwargs": {"allowed_channels": list(array.allowed_channels)},
        },
    }


def _read_arrays(options: Options) -> tuple[LayerArrayConfig, ...]:
    arrays, layers = [], 0
    for array in options.objects("layers", "layer arrays"):
        layers += len(array.integers("dilations"))
        if layers > MOST_LAYERS:
            raise UserError(
                f"{array.where}.dilations: {layers} layers so far; {MOST_LAYERS} are the most"
            )
        arrays.append(_read_array(array))
    return tuple(arrays)


def _read_array(options: Options) -> LayerArrayConfig:
    dilations = options.integers("dilations")
    layers = len(dilations)
    channels = options.channels("channels")
    gating, secondary = _read_gating(options, layers)
    head = _read_head(options)
    layer1x1_groups, head1x1_channels, head1x1_groups = 1, 0, 1
    if options.present("layer1x1"):
        inner = options.inner("layer1x1")
        layer1x1_groups = inner.integer("groups") if inner.boolean("active") else 0
    if options.present("head1x1"):
        inner = options.inner("head1x1")
        active, out, groups = inner.boolean("active"), "out_channels", inner.integer("groups")
        head1x1_channels, head1x1_groups = (inner.channels(out), groups) if active else (0, 1)
    array = LayerArrayConfig(
        input_size=options.channels("input_size"),
        condition_size=options.channels("condition_size"),
        channels=channels,
        bottleneck=options.channels("bottleneck", channels),
        kernel_sizes=_read_kernel_sizes(options, layers),
        dilations=dilations,
        activations=tuple(v.activation("value") for v in options.per_layer("activation", layers)),
        head_channels=head.channels("out_channels"),
        head_kernel_size=head.integer("kernel_size", 1, MOST[TAPS]),
        head_dilation=head.integer("head_dilation", 1),
        head_bias=head.boolean("bias"),
        gating=gating,
        secondary_activations=secondary,
        groups_input=options.integer("groups_input", 1),
        groups_input_mixin=options.integer("groups_input_mixin", 1),
        layer1x1_groups=layer1x1_groups,
        head1x1_channels=head1x1_channels,
        head1x1_groups=head1x1_groups,
        films=_read_films(options),
        allowed_channels=_read_allowed_channels(options, channels),
    )
    _check_array(array, options.where)
    return array


def _read_kernel_sizes(options: Options, layers: int) -> tuple[int, ...]:
    """Reads `kernel_size` for all layers, or `kernel_sizes`, one each."""
    if options.present("kernel_size") == options.present("kernel_sizes"):
        raise UserError(f"{options.where}: expected either kernel_size or kernel_sizes")
    if options.present("kernel_size"):
        return (options.integer("kernel_size", most=MOST[TAPS]),) * layers
    sizes = options.integers("kernel_sizes", MOST[TAPS])
    options.per_layer("kernel_sizes", layers)  # for its length check
    return sizes


def _read_gating(options: Options, layers: int) -> tuple[tuple[str, ...], tuple[Activation, ...]]:
    """Reads modes and secondary activations; () where no layer gates."""
    legacy = options.boolean("gated", False) if options.present("gated") else False
    if not options.present("gating_mode"):
        return (("gated",) * layers, (SIGMOID,) * layers) if legacy else ((), ())
    modes = tuple(mode.choice("value", GATING) for mode in options.per_layer("gating_mode", layers))
    if set(modes) == {"none"}:
        return (), ()
    secondary = options.per_layer("secondary_activation", layers)
    return modes, tuple(
        value.activation("value") if mode != "none" and value.present("value") else SIGMOID
        for mode, value in zip(modes, secondary, strict=True)
    )


def _read_head(options: Options) -> Options:
    """Reads the head convolution: its own object, or the older head_size and head_bias."""
    if options.present("head"):
        return options.inner("head")
    for key in ("head_size", "head_bias"):
        if key not in options.values:
            raise UserError(f"{options.where}.head: missing, and so is the older {key}")
    head = {"out_channels": options.values["head_size"], "bias": options.values["head_bias"]}
    return Options(head, f"{options.where}.head")


def _read_films(options: Options) -> tuple[tuple[str, FilmConfig], ...]:
    films = []
    for place in FILMS:
        if not options.present(place) or options.values[place] is False:
            continue
        inner = options.inner(place)
        if inner.boolean("active", True):
            film = FilmConfig(inner.boolean("shift", True), inner.integer("groups", 1))
            films.append((place, film))
    return tuple(films)


def _read_allowed_channels(options: Options, channels: int) -> tuple[int, ...]:
    if not options.present("slimmable"):
        return ()
    slimmable = options.inner("slimmable")
    slimmable.choice("method", ("slice_channels_uniform",))
    kwargs = slimmable.inner("kwargs") if slimmable.present("kwargs") else Options({}, "")
    if not kwargs.present("allowed_channels"):
        return tuple(range(1, channels + 1))
    allowed = kwargs.integers("allowed_channels")
    if list(allowed) != sorted(set(allowed)) or allowed[-1] != channels:
        raise kwargs.error(
            "allowed_channels", f"ascending and ending with {channels}, the channels"
        )
    return allowed


def _read_post_head(options: Options, before: LayerArrayConfig) -> PostHeadConfig:
    kernel_sizes = options.integers("kernel_sizes", MOST[TAPS])
    if len(kernel_sizes) > MOST_LAYERS:
        raise UserError(
            f"{options.where}.kernel_sizes: {len(kernel_sizes)} layers; {MOST_LAYERS} are the most"
        )
    if options.present("in_channels") and options.integer("in_channels") != before.head_channels:
        raise options.error("in_channels", f"{before.head_channels}, what the last array gives")
    out_channels = options.channels("out_channels", 1)
    channels = options.channels("channels", out_channels if len(kernel_sizes) == 1 else None)
    config = PostHeadConfig(channels, out_channels, kernel_sizes, options.activation("activation"))
    slopes = len(config.activation.negative_slopes)
    for width in (before.head_channels, *config.widths[:-1]):
        if slopes > 1 and slopes != width:
            raise UserError(
                f"{options.where}.activation: {slopes} negative_slopes for {width} channels"
            )
    return config


def _check_array(array: LayerArrayConfig, where: str) -> None:
    """Checks the core's demands on one layer array."""
    films = dict(array.films)
    if not array.layer1x1_groups and array.bottleneck != array.channels:
        raise UserError(
            f"{where}.bottleneck: {array.bottleneck}; without layer1x1 it must equal the "
            f"{array.channels} channels"
        )
    for place, inactive in (
        ("layer1x1_post_film", not array.layer1x1_groups),
        ("head1x1_post_film", not array.head1x1_channels),
    ):
        if place in films and inactive:
            raise UserError(f"{where}.{place}: active, but {place[:8].rstrip('_')} is not")
    for layer in range(len(array.dilations)):
        _check_groups(array, layer, where)
        for activation in (array.activations[layer], array.secondary(layer)):
            slopes = len(activation.negative_slopes)
            if slopes > 1 and slopes != array.bottleneck:
                raise UserError(
                    f"{where}.activation: {slopes} negative_slopes for {array.bottleneck} channels"
                )
    if array.allowed_channels:
        groups = (array.groups_input, array.groups_input_mixin, array.layer1x1_groups or 1)
        groups += (array.head1x1_groups, *(film.groups for film in films.values()))
        if max(groups) > 1 or array.head_kernel_size > 1:
            raise UserError(f"{where}.slimmable: not with groups or a head kernel above 1")


def _check_groups(array: LayerArrayConfig, layer: int, where: str) -> None:
    width, condition = array.width(layer), array.condition_size
    rows = {
        "conv_pre_film": array.channels,
        "input_mixin_pre_film": condition,
        "activation_post_film": array.bottleneck,
        "layer1x1_post_film": array.channels,
        "head1x1_post_film": array.head1x1_channels,
    }
    grouped = {
        "groups_input": (array.groups_input, array.channels, width),
        "groups_input_mixin": (array.groups_input_mixin, condition, width),
        "layer1x1.groups": (array.layer1x1_groups or 1, array.bottleneck, array.channels),
        "head1x1.groups": (array.head1x1_groups, array.bottleneck, array.head1x1_channels),
    }
    for place, film in array.films:
        outputs = rows.get(place, width) * (2 if film.shift else 1)
        grouped[f"{place}.groups"] = (film.groups, condition, outputs)
    for key, (groups, inputs, outputs) in grouped.items():
        if inputs % groups or outputs % groups:
            raise UserError(
                f"{where}.{key}: {groups} does not divide {inputs} inputs and {outputs} outputs"
            )


def _check_condition(condition: AmpModel, config: WaveNetConfig, where: str) -> None:
    if condition.input_channels != config.in_channels:
        raise UserError(
            f"{where}: {condition.input_channels} input channels; the model has "
            f"{config.in_channels}"
        )
    if condition.sample_rate != config.sample_rate:
        here, there = (
            "an unknown rate" if rate is None else f"{rate:g} Hz"
            for rate in (condition.sample_rate, config.sample_rate)
        )
        raise UserError(f"{where}: {here}; the model has {there}")


def _check_widths(config: WaveNetConfig, condition: AmpModel | None, where: str) -> None:
    """Checks that each array fits the one before it."""
    conditions = config.in_channels if condition is None else condition.output_channels
    before, head = config.in_channels, None
    for i, array in enumerate(config.arrays):
        expected = {"input_size": before, "condition_size": conditions}
        if head is not None:
            width = "head1x1.out_channels" if array.head1x1_channels else "bottleneck"
            expected |= {"channels": head, width: head}
        values = {"bottleneck": array.bottleneck, "head1x1.out_channels": array.head1x1_channels}
        for key, value in expected.items():
            actual = values.get(key) or getattr(array, key)
            if actual != value:
                raise UserError(
                    f"{where}.layers[{i}].{key}: {actual} does not fit what comes before, which "
                    f"has {value}"
                )
        if head is not None and array.head1x1_channels and array.allowed_channels:
            raise UserError(
                f"{where}.layers[{i}].slimmable: not with head1x1 behind another array, whose head "
                "would have to become as narrow"
            )
        before, head = array.channels, array.head_channels
    if config.post_head is not None and any(array.allowed_channels for array in config.arrays):
        raise UserError(f"{where}.head: not in a slimmable WaveNet")
