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
from experiments.run.decoration import DecorationError
from experiments.run.folder import Workdir, WorkdirError, flat_config
from experiments.run.settings import length, read_settings
from experiments.terminal.start import say
from experiments.vocoder.options import VocoderConfigError, check, is_demo, model_config
from experiments.vocoder.results import Samples, write_results
from wf_jax.audio.mel import MelSettings
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.vocoder import HeldOut, VocoderTask, context
from wf_jax.options import OptionError
from wf_jax.platforms import choices
from wf_jax.training.checkpoint_faults import CheckpointError
from wf_jax.training.dispatch import SettingsError
from wf_jax.training.distributed import is_main, on_main, part
from wf_jax.training.loop import DivergedError, NotJudgedError, Result, train
from wf_jax.training.settings import Session

ERRORS = (
    CheckpointError,
    CorpusError,
    DecorationError,
    DivergedError,
    OptionError,
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
    check(config)
    settings = dataclasses.replace(read_settings(config, recipe), weight_decay=0.0)
    if is_demo(config):
        workdir.make(lambda: _write_demo_corpus(workdir.local))
    corpus = Corpus.open(workdir.local / "corpus" if is_demo(config) else config.data.corpus)
    on_main(corpus.check)
    model = model_config(config, corpus.sample_rate)
    task = make_task(config, model, corpus)
    inputs = {} if is_demo(config) else {config.data.corpus: corpus.index.sha256}
    workdir.open(config, inputs)
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
    try:
        write_results(workdir.local, task, result, corpus, config)
    finally:
        workdir.finish()
    return result


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
