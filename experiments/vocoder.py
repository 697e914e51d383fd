"""The vocoder job: from a prepared corpus to a model folder, samples and metrics.json."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipeline.corpus import Corpus, Windows
from data_pipeline.corpus_index import CorpusError
from data_pipeline.corpus_preparation import prepare_corpus
from data_pipeline.synthetic_speech import write_demo_corpus
from experiments.configs.voice import recipe
from experiments.launch import say
from experiments.settings import length, read_settings
from experiments.vocoder_results import Samples, write_results
from experiments.workdir import Workdir, WorkdirError, flat_config
from wf_jax.audio.mel import MelSettings
from wf_jax.errors import UserError
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.families import CONFIGS
from wf_jax.flows.vocoder import HeldOut, VocoderTask, context
from wf_jax.flows.wavenet_config import CLASSES
from wf_jax.platforms import choices
from wf_jax.training.checkpoint_faults import CheckpointError
from wf_jax.training.dispatch import SettingsError
from wf_jax.training.distributed import is_main, on_main, part
from wf_jax.training.loop import DivergedError, NotJudgedError, Result, train
from wf_jax.training.settings import Session, Settings


class VocoderConfigError(UserError):
    """An option has a value that cannot be used."""


ERRORS = (
    CheckpointError,
    CorpusError,
    DivergedError,
    NotJudgedError,
    SettingsError,
    VocoderConfigError,
    WorkdirError,
)


def run(config: Any, workdir: Workdir, session: Session) -> Result:
    """Trains, and writes the results into `workdir`.

    Raises:
        ERRORS: each with one line that says what to do.
    """
    settings = _validate(config)
    if _is_demo(config):
        workdir.make(lambda: _write_demo_corpus(workdir.local))
    corpus = Corpus.open(workdir.local / "corpus" if _is_demo(config) else config.data.corpus)
    on_main(corpus.check)
    model = model_config(config, corpus.sample_rate)
    task = make_task(config, model, corpus)
    workdir.open(config)
    say(
        f"training {model.describe()} for {length(settings)} on {len(corpus.select('train'))} "
        f"clips; {jax.device_count()} {jax.default_backend()} devices; the first step compiles"
    )
    if jax.default_backend() != "cpu":
        decided = dataclasses.replace(choices(), substeps=settings.substeps)
        say(f"decided for {jax.default_backend()}: {decided.describe()}")
    publish = Samples(workdir, task, config.train.samples_every) if is_main() else None
    result = train(
        task, settings, workdir.shared, publish, session=session, config=flat_config(config)
    )
    part()
    if result.again or not is_main():
        return result
    write_results(workdir.local, task, result, corpus, config)
    workdir.finish()
    return result


def check(config: Any) -> None:
    """Whether a run of this config could begin.

    Raises:
        CorpusError, VocoderConfigError: it could not.
    """
    _validate(config)
    rate = 22050 if _is_demo(config) else Corpus.open(config.data.corpus).sample_rate
    model_config(config, rate)


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


def make_task(config: Any, model: FlowConfig, corpus: Corpus) -> VocoderTask:
    """The training task on a corpus.

    Raises:
        CorpusError: it has no clips to train or to judge by.
    """
    training, window = config.train, config.data.window
    clips = corpus.select("train")
    windows = Windows(
        corpus,
        "train",
        window,
        *context(model.mel, window),
        training.batch_size,
        training.seed,
        model.mel.peak_normalise,
    )
    held_out = held_out_clips(corpus, model.mel)
    if not held_out:
        raise CorpusError(
            f"{corpus.folder}: no clips are held out to judge by; prepare it again with "
            "--validation=1 or more"
        )
    samples = sum(clip.samples for clip in clips)
    return VocoderTask(
        model,
        windows,
        held_out,
        window=window,
        batch_size=training.batch_size,
        steps_per_epoch=max(samples // (window * training.batch_size), 1),
        evaluate_every=training.evaluate_every,
        masked=any(clip.samples < window for clip in clips),
        dequantise=training.dequantise,
        seed=training.seed,
    )


def held_out_clips(corpus: Corpus, settings: MelSettings) -> list[HeldOut]:
    """The clips of the validation split, at the scale that the model sees."""
    clips = []
    for clip in corpus.select("validation"):
        gain = 0.999 / clip.peak if settings.peak_normalise and not clip.silent else 1.0
        audio = corpus.audio(clip) * np.float32(gain / 32768)
        clips.append(HeldOut(clip.name, audio, gain))
    return clips


def _write_demo_corpus(folder: Path) -> None:
    if not (folder / "corpus").exists():
        say("making the built-in audio: 24 clips of something like speech")
        write_demo_corpus(folder / "clips")
        prepare_corpus(folder / "clips", folder / "corpus", validation=4)


def _is_demo(config: Any) -> bool:
    return config.data.corpus == "demo"


def _validate(config: Any) -> Settings:
    """Refuses what would otherwise fail late, or in another's words."""
    if not config.data.corpus:
        raise VocoderConfigError(
            "--config.data.corpus is missing; make one with python -m experiments.prepare, or try "
            f"the built-in audio with --config=experiments/configs/{config.model.family.lower()}.py"
            ":demo"
        )
    try:
        settings = read_settings(config, recipe)
    except ValueError as error:
        raise VocoderConfigError(str(error)) from None
    for name in ("steps", "evaluate_every", "samples_every"):
        if not getattr(config.train, name) > 0:
            raise VocoderConfigError(
                f"--config.train.{name}={getattr(config.train, name)} is not > 0"
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
    if not 0 <= config.train.average_decay < 1:
        raise VocoderConfigError("--config.train.average_decay is not in 0 to 1; 0.999 is usual")
    if config.data.window < 1:
        raise VocoderConfigError(f"--config.data.window={config.data.window} is not > 0")
    return dataclasses.replace(settings, weight_decay=0.0)
