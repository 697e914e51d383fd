"""Checks of a vocoder's config and corpus, made before JAX and the audio are loaded."""

import dataclasses
from pathlib import Path
from typing import Any

from data_pipeline.corpus_index import CorpusError, read_index
from data_pipeline.synthetic_speech import SAMPLE_RATE as DEMO_RATE
from experiments.configs.voice import recipe
from experiments.run.option_checks import check_training
from wf_jax.audio.mel_settings import MelSettings
from wf_jax.audio.pitch import LOWEST_RATE
from wf_jax.errors import UserError
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.family_configs import CONFIGS
from wf_jax.flows.wavenet_config import CLASSES


class VocoderConfigError(UserError):
    """An option has a value that cannot be used."""


def check(config: Any) -> None:
    """Refuses what would otherwise fail late, or in another's words; reads the index only.

    Raises:
        CorpusError: the corpus is missing or damaged, or cannot be judged.
        OptionError, VocoderConfigError: an option has a value that cannot be used.
    """
    check_training(config, recipe)
    if not config.data.corpus:
        raise VocoderConfigError(
            "--config.data.corpus is missing; make one with python -m experiments.prepare, or try "
            f"the built-in audio with --config=experiments/configs/{config.model.family.lower()}.py"
            ":demo"
        )
    if config.model.compute_dtype == "float64":
        raise VocoderConfigError(
            "--config.model.compute_dtype=float64 is for checks only; choose float32 or bfloat16"
        )
    if config.train.dequantise and getattr(config.model, "head", "") in CLASSES:
        raise VocoderConfigError(
            f"--config.train.dequantise: a {config.model.head} head is of classes already; leave "
            "it out"
        )
    model_config(config, DEMO_RATE if is_demo(config) else _sample_rate(config.data.corpus))


def model_config(config: Any, sample_rate: int) -> FlowConfig:
    """The model that the run's config describes, for audio of `sample_rate` Hz.

    Raises:
        VocoderConfigError: a value does not fit.
    """
    try:
        mel = MelSettings(sample_rate=sample_rate, **dataclasses.asdict(config.mel))
        options = dataclasses.asdict(config.model)
        return CONFIGS[options.pop("family")](mel=mel, **options)
    except ValueError as error:
        raise VocoderConfigError(f"--config: {error}") from None
    except (KeyError, TypeError):
        raise VocoderConfigError(
            f"--config.model.family={config.model.family}: not what this config file is for; name "
            "the family's own, e.g. --config=experiments/configs/waveglow.py"
        ) from None


def is_demo(config: Any) -> bool:
    """Whether the run is of the built-in audio."""
    return config.data.corpus == "demo"


def _sample_rate(corpus: str) -> int:
    """Of the corpus, in Hz.

    Raises:
        CorpusError: there is no corpus, or its clips could not be judged at the end.
    """
    rate = read_index(Path(corpus)).sample_rate
    if rate < LOWEST_RATE:
        raise CorpusError(
            f"{corpus}: a corpus of {rate} Hz; pitch and spectrum are judged from {LOWEST_RATE} Hz "
            "on: prepare it again with a higher --sample_rate"
        )
    return rate
