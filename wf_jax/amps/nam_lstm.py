"""The LSTM in a .nam file: its config and its weights, both ways."""

import functools
from typing import Any

from wf_jax.amps.lstm import LSTM, LSTMConfig, create
from wf_jax.amps.nam_file import NamFile, NamFileError
from wf_jax.amps.nam_options import LARGEST, Options
from wf_jax.amps.nam_wavenet import MOST_LAYERS
from wf_jax.amps.nam_weights import filled


def from_nam(file: NamFile) -> LSTM:
    """The model that a parsed .nam object with architecture "LSTM" describes.

    Raises:
        NamFileError: an option is malformed, or the weights do not fit.
    """
    config = read_config(file)
    if file.fresh is not None:
        return create(config, file.fresh)
    return filled(functools.partial(LSTM, config), file)


def read_config(file: NamFile) -> LSTMConfig:
    """The `config` of a .nam LSTM as an LSTMConfig.

    Raises:
        NamFileError: naming file, key and expectation.
    """
    options = Options(file.config, f"{file.source}: config")
    layers = options.integer("num_layers")
    if layers > MOST_LAYERS:
        raise NamFileError(f"{options.where}.num_layers: {layers}; {MOST_LAYERS} are the most")
    inputs = options.integer("input_size")
    if options.integer("in_channels", 1) != inputs:
        raise NamFileError(
            f"{options.where}.input_size: {inputs}, but in_channels (1 where it is not given) is "
            f"{options.integer('in_channels', 1)}; they should be equal"
        )
    if (file.sample_rate or 0.0) > LARGEST:  # half a second of it is played before the first sample
        raise NamFileError(
            f"{file.source}: sample_rate: {file.sample_rate:g} Hz; for an LSTM {LARGEST:,} is the "
            "most"
        )
    return LSTMConfig(
        layers=layers,
        input_size=inputs,
        hidden_size=options.integer("hidden_size"),
        output_channels=options.integer("out_channels", 1),
        sample_rate=file.sample_rate,
    )


def to_config(model: LSTM) -> dict[str, Any]:
    """The .nam `config` object, as the trainer writes it where the model is mono."""
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
