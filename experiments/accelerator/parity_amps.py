"""Compares amps with float64: a signal rendered whole, and the same in blocks of 64."""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.accelerator.amps import new_a2
from experiments.accelerator.parity_checks import (
    Check,
    Errors,
    Jit,
    cast,
    device_jit,
    host_jit,
    on_host,
    relative,
)
from wf_jax.amps import a2
from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_models import new_model
from wf_jax.amps.player import Player

TABLE = "Parity: amps"
WHOLE, STREAMED, BLOCK = "whole", "in blocks of 64", 64
# Float32 on every device; ten times what a CPU shows.
TOLERANCES = {WHOLE: 1.5e-5, STREAMED: 1.5e-5}


@dataclasses.dataclass(frozen=True)
class Case:
    """A model with fresh weights, and the length of its signal.

    Attributes:
        name: name of the row.
        build: makes it.
        samples: length of the signal, whole blocks.
    """

    name: str
    build: Callable[[], AmpModel]
    samples: int

    def check(self, small: bool) -> Check:
        """Returns the row of a case."""
        return Check(
            TABLE, {"model": self.name}, partial(_errors, self, device_jit(small)), TOLERANCES
        )


def cases(folder: Path, small: bool) -> dict[str, Case]:
    """Returns the cases by a short name; `folder` takes the files of architectures."""
    layers, samples = (3, 8 * BLOCK) if small else (len(a2.DILATIONS), 150 * BLOCK)
    found = {
        f"A2 {size}": Case(f"A2 {size}, {layers} layers", partial(new_a2, size, layers), samples)
        for size in (("nano",) if small else tuple(a2.CHANNELS))
    }
    for name, document in _documents(small).items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(document))
        found[name] = Case(name, partial(new_model, path, np.random.default_rng(0)), samples)
    return found


def _documents(small: bool) -> dict[str, dict[str, Any]]:
    """The architectures of A1 standard, of an LSTM and of a ConvNet."""
    dilations = [1, 2] if small else [2**i for i in range(10)]
    arrays = [_a1_array(1, 16, 8, dilations, False), _a1_array(16, 8, 1, dilations, True)]
    lstm = {"num_layers": 1, "input_size": 1, "hidden_size": 24}
    convnet = {"channels": 16, "dilations": dilations, "batchnorm": False, "activation": "Tanh"}
    a1 = {"layers": arrays, "head": None, "head_scale": 0.02}
    configs = {
        "A1, 4 layers" if small else "A1 standard": ("WaveNet", a1),
        "LSTM": ("LSTM", lstm),
        "ConvNet": ("ConvNet", convnet),
    }
    return {k: {"architecture": name, "config": v} for k, (name, v) in configs.items()}


def _a1_array(
    inputs: int, channels: int, outputs: int, dilations: list[int], bias: bool
) -> dict[str, Any]:
    return {
        "input_size": inputs,
        "condition_size": 1,
        "head_size": outputs,
        "channels": channels,
        "kernel_size": 3,
        "dilations": dilations,
        "activation": "Tanh",
        "gated": False,
        "head_bias": bias,
    }


def _play(model: AmpModel, x: jax.Array) -> jax.Array:
    return model(x)


def _errors(case: Case, jit: Jit) -> Errors:
    model = case.build()
    x = np.float32(0.2) * np.random.default_rng(1).standard_normal((1, case.samples), np.float32)
    with on_host():
        exact = jax.device_get(host_jit(_play)(*cast((model, x), "float64")))
    player = Player(model, BLOCK, engine="jax")
    streamed = [player(block) for block in np.split(x[0], case.samples // BLOCK)]
    return {
        WHOLE: relative(jit(_play)(model, x), exact),
        STREAMED: relative(np.concatenate(streamed), exact[0]),
    }
