"""The LSTM in a .nam file: its config both ways, and its weights as they are read."""

import functools
from typing import Any

from wf_jax.amps.lstm import LSTM, create
from wf_jax.amps.nam_file import NamFile
from wf_jax.amps.nam_filling import check, filled
from wf_jax.amps.nam_options import MOST_CELLS, Options
from wf_jax.amps.recurrent import RecurrentConfig
from wf_jax.errors import UserError


def from_nam(file: NamFile) -> LSTM:
    """Builds the model that a parsed .nam object with architecture "LSTM" describes.

    Raises:
        UserError: an option is malformed, or the weights do not fit.
    """
    config = read_config(file)
    if file.fresh is not None:
        check(functools.partial(LSTM, config), file)
        return create(config, file.fresh)
    return filled(functools.partial(LSTM, config), file)


def read_config(file: NamFile) -> RecurrentConfig:
    """Reads the `config` of a .nam LSTM as a RecurrentConfig.

    Raises:
        UserError: naming file, key and expectation.
    """
    options = Options(file.config, f"{file.source}: config")
    layers = options.integer("num_layers")
    if layers > MOST_CELLS:
        raise UserError(f"{options.where}.num_layers: {layers}; {MOST_CELLS} are the most")
    inputs = options.channels("input_size")
    if options.channels("in_channels", 1) != inputs:
        raise UserError(
            f"{options.where}.input_size: {inputs}, but in_channels (1 where it is not given) is "
            f"{options.channels('in_channels', 1)}; they should be equal"
        )
    return RecurrentConfig(
        layers=layers,
        input_size=inputs,
        hidden_size=options.channels("hidden_size"),
        output_channels=options.channels("out_channels", 1),
        sample_rate=file.sample_rate,
    )


def to_config(model: LSTM) -> dict[str, Any]:
    """Returns the .nam `config` object, as the trainer writes it where the model is mono."""
    config = model.config
    result = {
        "input_size": config.input_size,
        "hidden_size": config.hidden_size,
        "num_layers": config.layers,
    }
    if config.input_size != 1:
        result["in_channels"] = config.input_size
    if config.output_channels != 1:
        result["out_channels"] = config.output_channels
    return result
