"""Makes amp models with random weights, whole or cut down to a few layers."""

import dataclasses

import numpy as np

from wf_jax.amps import a2
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import WaveNetConfig
from wf_jax.amps.weights import Uniform


def new_a2(size: str, layers: int = len(a2.DILATIONS)) -> WaveNet:
    """Makes a fresh A2 model, or only its first `layers`, which compile quickly."""
    (array,) = a2.config(size).arrays
    short = dataclasses.replace(
        array,
        kernel_sizes=array.kernel_sizes[:layers],
        dilations=array.dilations[:layers],
        activations=array.activations[:layers],
    )
    weights = Uniform(np.random.default_rng(0))
    return WaveNet(WaveNetConfig((short,), 48000.0), head_scale=a2.HEAD_SCALE, weights=weights)
