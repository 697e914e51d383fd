"""Trains a WaveFlow vocoder on a corpus.

    python -m experiments.prepare --input=LJSpeech-1.1 --output=data/lj
    python -m experiments.train --config=waveflow:64 --workdir=runs/lj \
        --config.data.corpus=data/lj

The argument names the model: `64`, `96`, `128`, `256` are the paper's residual channels (8 flows,
h = 16), and `64_h8`, `64_h32`, `64_h64`, ... set the squeeze height; `tiny` is for a laptop, `demo`
trains it on built-in audio.

Expected, from the paper (LJSpeech, 1M steps, nats per sample): 64 4.971; with
--config.model.permutation=reverse 64 4.954, 64_h64 5.023, 128_h32 5.055, 256_h32 5.101. Expected of
`tiny`: see docs/benchmarks.md.
"""

import re

from experiments.vocoder.config import (
    TINY_WINDOW,
    VocoderConfig,
    built_in,
    model_options,
    tiny,
)
from wf_jax.flows.waveflow_config import WaveFlowConfig

NAMES = (
    "tiny",
    "demo",
    *(f"{c}{h}" for c in (64, 96, 128, 256) for h in ("", "_h8", "_h32", "_h64")),
)


Model = model_options(WaveFlowConfig)


def get_config(argument: str = "64") -> VocoderConfig:
    """Returns the model that the argument names: CHANNELS, CHANNELS_hHEIGHT, tiny or demo.

    Raises:
        ValueError: the argument is none of them.
    """
    config = VocoderConfig(model=Model(), source=f"waveflow:{argument}")
    if argument in ("tiny", "demo"):
        config.data.window = TINY_WINDOW
        config.model = Model(flows=4, layers=5, channels=16)
        config.train = tiny(config.train)
        if argument == "demo":
            built_in(config)
        return config
    match = re.fullmatch(r"(?:waveflow_)?(64|96|128|256)(?:_h(8|16|32|64))?", argument)
    if match is None:
        raise ValueError(
            f"waveflow:{argument} does not exist; use tiny, demo, or channels 64, 96, 128 or "
            "256 with a height, e.g. waveflow:64 or waveflow:128_h32"
        )
    config.model.channels = int(match[1])
    config.model.height = int(match[2] or 16)
    return config
