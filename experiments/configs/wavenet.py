"""Trains a WaveNet, or an autoregressive flow, on a corpus.

    python -m experiments.train --config=wavenet:gaussian \
        --workdir=runs/lj_net --config.data.corpus=data/lj

The argument is the head: `gaussian`, `affine` (the same density in a flow's terms, which learns
faster at first), `gaussian_mixture`, `logistic_mixture` or `softmax`, each with 30 layers of 128
channels; `flow` is the autoregressive flow of 3 x 10 layers. `tiny_` before any of them is for a
laptop; `demo` trains `tiny_gaussian` on built-in audio. A window of 16,000 samples
takes 2.1 GB at 30 layers: --config.train.accumulate=4 computes a batch of 8 in four parts.

Expected, from the WaveFlow paper (LJSpeech, 1M steps, nats per sample): gaussian 5.059, flow 5.161.
Expected of the tiny ones: see docs/flows.md.
"""

from experiments.vocoder.config import (
    TINY_WINDOW,
    VocoderConfig,
    built_in,
    model_options,
    tiny,
)
from wf_jax.flows.wavenet_config import WaveNetConfig

HEADS = ("gaussian", "affine", "gaussian_mixture", "logistic_mixture", "softmax", "flow")
NAMES = (*HEADS, *(f"tiny_{head}" for head in HEADS), "demo")


Model = model_options(WaveNetConfig)


def get_config(argument: str = "gaussian") -> VocoderConfig:
    """Returns the model that the argument names.

    Raises:
        ValueError: the argument is none of them.
    """
    if argument not in NAMES:
        raise ValueError(f"wavenet:{argument} does not exist; use {', '.join(NAMES)}")
    if argument == "demo":
        return built_in(get_config("tiny_gaussian"))
    config, head = (
        VocoderConfig(model=Model(), source=f"wavenet:{argument}"),
        argument.removeprefix("tiny_"),
    )
    is_tiny = argument != head
    if is_tiny:
        config.data.window = TINY_WINDOW
        config.model = Model(layers=10, channels=32)
        config.train = tiny(config.train)
    if head == "flow":
        config.model.flows, config.model.layers, head = 3, 10, "affine"
        config.model.channels = 16 if is_tiny else 128
    config.model.head = head
    return config
