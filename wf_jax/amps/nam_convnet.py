"""The ConvNet in a .nam file: its config both ways, and its weights as they are read."""

import functools
from typing import Any

from wf_jax.amps.activations import Activation
from wf_jax.amps.convnet import ConvNet, ConvNetConfig
from wf_jax.amps.nam_file import NamFile
from wf_jax.amps.nam_filling import filled
from wf_jax.amps.nam_options import Options
from wf_jax.amps.nam_wavenet import MOST_LAYERS
from wf_jax.errors import UserError


def from_nam(file: NamFile) -> ConvNet:
    """Builds the model that a parsed .nam object with architecture "ConvNet" describes.

    Raises:
        UserError: an option is malformed, the parts do not fit, or the weights do not.
    """
    model = filled(functools.partial(ConvNet, read_config(file)), file)
    for i, block in enumerate(model.blocks):
        if block.norm is not None and min(block.norm.variance) + block.norm.epsilon[0] <= 0.0:
            raise UserError(
                f"{file.source}: weights: a variance of the batch norm of block {i}, plus its "
                "epsilon, is not positive; the file is damaged"
            )
    return model


def read_config(file: NamFile) -> ConvNetConfig:
    """Reads the `config` of a .nam ConvNet as a ConvNetConfig.

    Raises:
        UserError: naming file, key and expectation.
    """
    options = Options(file.config, f"{file.source}: config")
    config = ConvNetConfig(
        channels=options.channels("channels"),
        dilations=options.integers("dilations"),
        batchnorm=options.boolean("batchnorm"),
        activation=options.activation("activation"),
        groups=options.channels("groups", 1),
        in_channels=options.channels("in_channels", 1),
        out_channels=options.channels("out_channels", 1),
        sample_rate=file.sample_rate,
    )
    _check(config, options.where)
    return config


def to_config(model: ConvNet) -> dict[str, Any]:
    """Returns the .nam `config` object, for mono and ungrouped models as the trainer writes it."""
    config = model.config
    plain = config.activation == Activation(config.activation.name)
    result = {
        "channels": config.channels,
        "dilations": list(config.dilations),
        "batchnorm": config.batchnorm,
        # By its name where that says it all: older players know nothing else.
        "activation": config.activation.name if plain else config.activation.to_json(),
    }
    for key in ("groups", "in_channels", "out_channels"):
        if getattr(config, key) != 1:
            result[key] = getattr(config, key)
    return result


def _check(config: ConvNetConfig, where: str) -> None:
    blocks, slopes = len(config.dilations), len(config.activation.negative_slopes)
    if blocks > MOST_LAYERS:
        raise UserError(f"{where}.dilations: {blocks} blocks; {MOST_LAYERS} are the most")
    for key in ("in_channels", "channels"):
        if getattr(config, key) % config.groups:
            raise UserError(
                f"{where}.groups: {config.groups} do not divide {key} {getattr(config, key)}"
            )
    if slopes > 1 and slopes != config.channels:
        raise UserError(
            f"{where}.activation: {slopes} negative_slopes for {config.channels} channels"
        )
