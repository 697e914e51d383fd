"""Texts of .nam files that ask for as much time or memory as their size allows, or more."""

import json
from collections.abc import Callable

from tests.amps.nam_documents import array, document
from tests.amps.nam_examples import FILMS
from wf_jax.amps.nam_file import LARGEST_FILE


def small(**options: object) -> dict:
    """Returns a layer array of one channel and one tap."""
    return array(**({"channels": 1, "kernel_size": 1, "dilations": [1]} | options))


def of(*arrays: object, weights: int = 1, **config: object) -> dict:
    layers = {"layers": list(arrays), "head_scale": 0.5} | config
    return document("WaveNet", layers, [0.5] * weights)


def other(architecture: str, weights: int = 0, rate: float | None = None, **config: object) -> dict:
    return document(architecture, config, [0.5] * weights, rate)


def stuffed(before: dict, unit: str, size: int = LARGEST_FILE) -> str:
    """Fills "@" in a document with units until the text is `size` bytes long."""
    start, end = json.dumps(before, separators=(",", ":")).split('"@"')
    times = (size - len(start) - len(end)) // (len(unit) + 1)
    return start + ",".join([unit] * times) + end


TALL = {"dilations": [1] * 256}
FULL = TALL | {name: {} for name in FILMS}
FULL["head1x1"] = {"active": True, "out_channels": 1, "groups": 1}
PLAYS = other("Linear", 1, receptive_field=1, bias=False)
EXTRA = PLAYS | {"metadata": {"a": ["@"]}}
IR = {"receptive_field": 6_000_000, "bias": False}
HEAD = {"channels": 1, "kernel_sizes": ["@"], "activation": "Tanh"}
SLOPES = {"type": "PReLU", "negative_slopes": ["@"]}
ONES = f"[{'1,' * 5_999_999}1]"
LONG = r"a list of 6,\d*,\d*; 2,048 are the most"
PARTS = "more than 200,000 lists and objects"
ARRAYS = "more than 2,048 arrays of weights"
MEMORY = "more than 67,108,864 numbers of memory"
SIGNAL = "67,108,864 are the most"
PRODUCTS = "more than 16,777,216 multiplications per sample"
PREWARM = "more than 50,000,000,000 multiplications before"


def chained(times: int, model: dict) -> dict:
    return other("Sequential", models=[model] * times)


# Name -> text, and what the message says; None where it is a model.
LARGE: dict[str, tuple[Callable[[], str], str | None]] = {
    "lists": (lambda: stuffed(EXTRA, "[]"), PARTS),
    "objects": (lambda: stuffed(EXTRA, '{"a":0}'), PARTS),
    "numbers": (lambda: stuffed(EXTRA, "1e1"), None),
    "strings": (lambda: stuffed(EXTRA, '"ab"'), None),
    "long integers": (lambda: stuffed(EXTRA, "7" * 4300), None),
    "a long number": (lambda: stuffed(EXTRA, "0." + "9" * 11_000_000), None),
    "weights": (lambda: stuffed(other("Linear", **IR) | {"weights": ["@"]}, "1"), "weights; a Lin"),
    "layer arrays": (lambda: stuffed(of("@"), json.dumps(small(**TALL))), "512 layers so far"),
    "slopes": (lambda: stuffed(of(small(activation=SLOPES, **TALL)), "1"), LONG),
    "dilations": (lambda: stuffed(of(small(dilations=["@"])), "1"), LONG),
    "head": (lambda: stuffed(of(small(), head=HEAD), "1"), LONG),
    "layers": (lambda: json.dumps(chained(99, of(small(**TALL), weights=1284))), ARRAYS),
    "films": (lambda: json.dumps(of(small(**FULL))), ARRAYS),
    "impulse response": (lambda: json.dumps(other("Linear", **IR)).replace("[]", ONES), None),
}
SMALL = {
    "taps": (of(small(kernel_size=4096), weights=99), "more than 4,096 taps"),
    "dilation": (of(small(kernel_size=2, dilations=[10**7] * 9)), MEMORY),
    "head memory": (of(small(), head=HEAD | {"kernel_sizes": [4096] * 2}), "more than 4,096 taps"),
    "signal": (of(small(kernel_size=4000, dilations=[9])), SIGNAL),
    "groups": (
        of(
            small(
                channels=2048,
                groups_input=2048,
                kernel_size=4,
                head={"out_channels": 1, "bias": True},
            )
        ),
        PRODUCTS,
    ),
    "channels": (of(small(channels=10**7)), "10000000 is not a positive integer up to 2,048"),
    "batch norm": (
        other("ConvNet", channels=3 * 10**6, dilations=[1], batchnorm=True, activation="Tanh"),
        "up to 2,048",
    ),
    "outputs": (
        other("Linear", 1, receptive_field=1, bias=False, in_channels=10**7, out_channels=10**7),
        "up to 2,048",
    ),
    "impulse responses": (
        other("Linear", 1, receptive_field=10**6, bias=False, in_channels=2048, out_channels=2048),
        MEMORY,
    ),
    "cells": (other("LSTM", num_layers=65, input_size=1, hidden_size=1), "64 are the most"),
    "prewarming": (other("LSTM", rate=10**7, num_layers=64, input_size=1, hidden_size=1), PREWARM),
    "rate": (other("LSTM", rate=10**9, num_layers=1, input_size=1, hidden_size=1), "a rate in Hz"),
}

# As much as may be; their weights are drawn.
LIMITS = {
    "taps": of(small(kernel_size=4000)),
    "layers": of(small(**TALL)),
    "blocks": other("ConvNet", channels=2, dilations=[1] * 256, batchnorm=True, activation="Tanh"),
    "memory": of(small(kernel_size=2, dilations=[1 << 23] * 8)),
    "signal": of(small(kernel_size=4, dilations=[5_000_000])),
    "groups": of(small(channels=1024, groups_input=1024, kernel_size=7)),
    "channels": of(small(channels=2048, bottleneck=1)),
    "outputs": other("Linear", receptive_field=999, bias=True, in_channels=2048, out_channels=2048),
    "impulse response": other("Linear", receptive_field=6_000_000, bias=True),
    "impulse responses": other(
        "Linear", receptive_field=6_000, bias=True, in_channels=1000, out_channels=1
    ),
    "cells": other("LSTM", 0, 48000.0, num_layers=64, input_size=1, hidden_size=1),
    "hidden": other("LSTM", 0, 48000.0, num_layers=1, input_size=1, hidden_size=700),
}
