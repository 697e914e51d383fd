"""Train a WaveGlow vocoder on a voice.

    python -m experiments.train --config=experiments/configs/waveglow.py:256 \
        --workdir=runs/lj_glow --config.data.corpus=data/lj

The argument is the number of residual channels, `64`, `128`, `256` (NVIDIA's release) or `512`;
`tiny` is for a laptop, `demo` trains it on built-in audio.

Expected, from the WaveFlow paper (LJSpeech, 1M steps, nats per sample): 64 4.804, 128 4.927, 256
5.018, 512 5.026. Expected of `tiny`: see the README.
"""

import dataclasses

from experiments.configs.voice import TINY_WINDOW, Config, built_in, tiny
from wf_jax.flows.waveglow_config import WaveGlowConfig
from wf_jax.options import Text, like, option

CHANNELS = ("64", "128", "256", "512")
NAMES = ("tiny", "demo", *CHANNELS)


@dataclasses.dataclass
class Model:
    """The model: see wf_jax.flows.waveglow_config.WaveGlowConfig."""

    family: str = option(WaveGlowConfig.family, Text())
    groups: int = like(WaveGlowConfig, "groups")
    flows: int = like(WaveGlowConfig, "flows")
    early_every: int = like(WaveGlowConfig, "early_every")
    early_size: int = like(WaveGlowConfig, "early_size")
    layers: int = like(WaveGlowConfig, "layers")
    channels: int = like(WaveGlowConfig, "channels")
    kernel: int = like(WaveGlowConfig, "kernel")
    upsample_hops: int = like(WaveGlowConfig, "upsample_hops")
    compute_dtype: str = like(WaveGlowConfig, "compute_dtype")
    matmul_precision: str = like(WaveGlowConfig, "matmul_precision")


def get_config(argument: str = "256") -> Config:
    """The model that the argument names.

    Raises:
        ValueError: the argument is none of them.
    """
    config = Config(Model())
    config.train.learning_rate, config.train.batch_size = 1e-4, 16
    if argument in ("tiny", "demo"):
        config.data.window = TINY_WINDOW
        config.model = Model(flows=6, early_every=2, layers=5, channels=32)
        config.train = tiny(config.train)
        if argument == "demo":
            built_in(config)
    elif argument in CHANNELS:
        config.model.channels = int(argument)
    else:
        raise ValueError(
            f"waveglow.py:{argument} does not exist; use {', '.join(NAMES)}, e.g. waveglow.py:256"
        )
    return config
