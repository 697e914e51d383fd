"""Trains a WaveGlow vocoder on a corpus.

    python -m experiments.train --config=waveglow:256 \
        --workdir=runs/lj_glow --config.data.corpus=data/lj

The argument is the number of residual channels, `64`, `128`, `256` (NVIDIA's release) or `512`;
`tiny` is for a laptop, `demo` trains it on built-in audio.

Expected, from the WaveFlow paper (LJSpeech, 1M steps, nats per sample): 64 4.804, 128 4.927, 256
5.018, 512 5.026. Expected of `tiny`: see docs/flows.md.
"""

from experiments.vocoder.config import (
    TINY_WINDOW,
    VocoderConfig,
    built_in,
    model_options,
    tiny,
)
from wf_jax.flows.waveglow_config import WaveGlowConfig

CHANNELS = ("64", "128", "256", "512")
NAMES = ("tiny", "demo", *CHANNELS)


Model = model_options(WaveGlowConfig)


def get_config(argument: str = "256") -> VocoderConfig:
    """Returns the model that the argument names.

    Raises:
        ValueError: the argument is none of them.
    """
    config = VocoderConfig(model=Model(), source=f"waveglow:{argument}")
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
            f"waveglow:{argument} does not exist; use {', '.join(NAMES)}, e.g. waveglow:256"
        )
    return config
