"""Trains a small source-filter flow on one voice, on a laptop.

    python -m experiments.prepare --input=recordings --output=data/voice
    python -m experiments.train --config=voice --workdir=runs/voice \
        --config.data.corpus=data/voice --config.train.minutes=60

The argument names what is trained: `small`; `demo` trains it on built-in audio, for as short as a
run with --init_from=kerstin needs.

Expected: see docs/benchmarks.md.
"""

from experiments.vocoder.config import VocoderConfig, built_in, model_options
from wf_jax.flows.source_filter_config import SourceFilterConfig

NAMES = ("small", "demo")
WINDOW = 4096  # samples: whole hops

Model = model_options(SourceFilterConfig)


def get_config(argument: str = "small") -> VocoderConfig:
    """Returns the recipe that the argument names.

    Raises:
        ValueError: there is none of this name.
    """
    if argument not in NAMES:
        raise ValueError(f"voice:{argument} does not exist; use {' or '.join(NAMES)}")
    config = VocoderConfig(model=Model(), source=f"voice:{argument}")
    config.data.window = WINDOW
    train = config.train
    train.optimizer = "soap"
    train.steps, train.learning_rate, train.hold, train.end = 5_000, 0.01, 0.5, 0.05
    train.warmup = 0.02
    train.batch_size, train.clip_norm, train.average_decay = 4, 5.0, 0.98
    train.evaluate_every = 500
    if argument == "demo":
        built_in(config)
        train.steps, train.evaluate_every = 50, 25
    return config
