"""The Linear model in a .nam file: its config both ways, and its weights as they are read."""

import functools
from typing import Any

from wf_jax.amps.linear import Linear, LinearConfig
from wf_jax.amps.nam_file import NamFile
from wf_jax.amps.nam_filling import filled
from wf_jax.amps.nam_options import Options
from wf_jax.errors import UserError

# The core's spellings, in any case.
_IMPLEMENTATIONS = {
    "auto": "auto",
    "direct": "direct",
    "legacy": "direct",
    "old": "direct",
    "fft": "fft",
    "partitioned_fft": "fft",
    "partitioned-fft": "fft",
}


def from_nam(file: NamFile) -> Linear:
    """Builds the model that a parsed .nam object with architecture "Linear" describes.

    Raises:
        UserError: an option is malformed, or the weights do not fit.
    """
    return filled(functools.partial(Linear, read_config(file)), file)


def read_config(file: NamFile) -> LinearConfig:
    """Reads the `config` of a .nam Linear model as a LinearConfig.

    Raises:
        UserError: naming file, key and expectation.
    """
    options = Options(file.config, f"{file.source}: config")
    implementation = options.values.get("implementation", "auto")
    if not isinstance(implementation, str) or implementation.lower() not in _IMPLEMENTATIONS:
        raise options.error("implementation", f"one of {', '.join(_IMPLEMENTATIONS)}")
    try:
        return LinearConfig(
            receptive_field=options.integer("receptive_field"),
            bias=options.boolean("bias"),
            in_channels=options.channels("in_channels", 1),
            out_channels=options.channels("out_channels", 1),
            implementation=_IMPLEMENTATIONS[implementation.lower()],
            sample_rate=file.sample_rate,
        )
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{options.where}: {error}") from None


def to_config(model: Linear) -> dict[str, Any]:
    """Returns the .nam `config` object, as the trainer writes it by default."""
    config = model.config
    result = {"receptive_field": config.receptive_field, "bias": config.bias}
    for key, usual in (("in_channels", 1), ("out_channels", 1), ("implementation", "auto")):
        if getattr(config, key) != usual:
            result[key] = getattr(config, key)
    return result
