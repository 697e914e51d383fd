"""A2, the current Neural Amp Modeler architecture: one layer array, 23 layers, 3 or 8 channels."""

import numpy as np

from wf_jax.amps.layers import Activation
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import LayerArrayConfig, WaveNetConfig

CHANNELS = {"nano": 3, "standard": 8}
KERNEL_SIZES = (6,) * 14 + (15, 15) + (6,) * 7
DILATIONS = (*(1, 3, 7, 17, 41, 101, 239) * 2, 1, 13, *(1, 3, 7, 17, 41, 101, 239))
HEAD_KERNEL_SIZE = 16
HEAD_SCALE = 0.01


def config(size: str, sample_rate: float = 48000.0) -> WaveNetConfig:
    """The configuration of A2 "nano" (1,870 parameters) or "standard" (12,145).

    Raises:
        ValueError: size is neither.
    """
    if size not in CHANNELS:
        raise ValueError(f"A2 size {size!r} does not exist; choose one of {', '.join(CHANNELS)}")
    channels = CHANNELS[size]
    array = LayerArrayConfig(
        input_size=1,
        condition_size=1,
        channels=channels,
        bottleneck=channels,
        kernel_sizes=KERNEL_SIZES,
        dilations=DILATIONS,
        activations=(Activation("LeakyReLU", 0.01),) * len(DILATIONS),
        head_channels=1,
        head_kernel_size=HEAD_KERNEL_SIZE,
        head_bias=True,
    )
    return WaveNetConfig((array,), sample_rate)


def create(size: str, rng: np.random.Generator, sample_rate: float = 48000.0) -> WaveNet:
    """A freshly initialised A2 model; `sample_rate` in Hz."""
    return WaveNet(config(size, sample_rate), head_scale=HEAD_SCALE, rng=rng)
