"""Builds small .nam documents, with weights at a scale at which all of them matter.

Weights are float32 values from a generator seeded by the config: the same config gives the same
document, whatever else is built.
"""

import json
from collections.abc import Callable
from math import prod
from zlib import crc32

import numpy as np

from tests.amps.slow_nam import ARCHITECTURES


class Draw:
    """Replaces the oracle's weight reader, and draws the weights that it asks for."""

    def __init__(self, rng: np.random.Generator):
        self.rng, self.values = rng, []

    def take(self, *shape: int) -> np.ndarray:
        fan_in = prod(shape[1:])
        values = self.rng.normal(size=shape) / np.sqrt(fan_in)
        if fan_in == 1:  # offsets, and scales: nothing near zero
            values = self.rng.uniform(0.2, 0.8, shape) * self.rng.choice([-1, 1], shape)
        self.values += values.astype(np.float32).ravel().tolist()
        return values.astype(np.float32).astype(np.float64)


def document(
    architecture: str, config: dict, weights: list | None = None, rate: float | None = 48000
) -> dict:
    result = {"version": "0.7.0", "architecture": architecture, "config": config}
    if rate is not None:
        result["sample_rate"] = rate
    if weights is None:
        draw = Draw(seeded(config))
        silence = np.zeros((config.get("in_channels", 1), 1))
        ARCHITECTURES[architecture](result, draw, silence, None)
        weights = draw.values
    if architecture == "WaveNet":
        config["head_scale"] = weights[-1]
    return result | {"weights": weights}


def seeded(config: dict) -> np.random.Generator:
    return np.random.default_rng(crc32(json.dumps(config).encode()))


def array(**options: object) -> dict:
    """Returns a layer array of 4 channels and receptive field 7; options add or replace keys."""
    result = {"input_size": 1, "condition_size": 1, "channels": 4, "activation": "Tanh"}
    result |= {} if "kernel_sizes" in options else {"kernel_size": 3}
    result |= {} if "head_size" in options else {"head": head()}
    return result | {"dilations": [1, 2]} | options


def head(out_channels: int = 1, kernel_size: int = 1, bias: bool = True, **more: int) -> dict:
    return {"out_channels": out_channels, "kernel_size": kernel_size, "bias": bias, **more}


def wavenet(*arrays: dict, **config: object) -> dict:
    return document("WaveNet", {"layers": list(arrays), "head": None, "head_scale": 1.0} | config)


def one(**options: object) -> Callable[[], dict]:
    return lambda: wavenet(array(**options))


def loud(**options: object) -> Callable[[], dict]:
    """Like `one`, with activation inputs twice as large, to reach all their pieces."""

    def build() -> dict:
        quiet = one(**options)()
        *weights, head_scale = quiet["weights"]
        quiet["config"]["head_scale"] = head_scale / 4
        return quiet | {"weights": [*(2 * weight for weight in weights), head_scale / 4]}

    return build


def stereo(**options: object) -> Callable[[], dict]:
    """Returns two input channels, so that the condition can be in groups."""
    return lambda: wavenet(array(input_size=2, condition_size=2, **options), in_channels=2)


def lstm(rate: float | None = 48000, **config: int) -> dict:
    config = {"num_layers": 1, "input_size": 1, "hidden_size": 3} | config
    return document("LSTM", config, rate=rate)


def convnet(**config: object) -> dict:
    config = {
        "channels": 4,
        "dilations": [1, 2, 4],
        "batchnorm": False,
        "activation": "Tanh",
    } | config
    return document("ConvNet", config)


def batchnorm_convnet() -> dict:
    config = {"channels": 3, "dilations": [1, 4], "batchnorm": True, "activation": "Softsign"}
    rng, weights = seeded(config), []
    for inputs in (1, 3):
        weights += rng.normal(size=3 * inputs * 2).tolist()
        mean, variance = rng.normal(size=3), rng.uniform(0.3, 2, 3)
        scale, offset = rng.normal(size=3), rng.normal(size=3)
        weights += [*mean, *variance, *scale, *offset, 0.01]
    weights += rng.normal(size=4).tolist()
    return document("ConvNet", config, np.float32(weights).tolist())


def linear(receptive_field: int = 5, bias: bool = False, **config: object) -> dict:
    return document("Linear", {"receptive_field": receptive_field, "bias": bias} | config)


def sequential(key: str, entries: list[dict]) -> dict:
    return document("Sequential", {"weights_version": 2, key: entries}, [])


def container(*pairs: tuple[float, dict]) -> dict:
    entries = [{"max_value": value, "model": model} for value, model in pairs]
    return document("SlimmableContainer", {"submodels": entries}, [])


def slices(*allowed: int) -> dict:
    kwargs = {"allowed_channels": list(allowed)} if allowed else {}
    return {"method": "slice_channels_uniform", "kwargs": kwargs}


def head1x1(out_channels: int, groups: int = 1) -> dict:
    return {"active": True, "out_channels": out_channels, "groups": groups}
