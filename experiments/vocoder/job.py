"""The vocoder job: from a prepared corpus to a model folder, samples and metrics.json."""

from pathlib import Path

import numpy as np

from data_pipeline.corpus import Corpus, Windows
from data_pipeline.corpus_preparation import prepare_corpus
from data_pipeline.synthetic_speech import write_demo_corpus
from experiments.run.folder import RunFolder
from experiments.run.job import Job
from experiments.vocoder.config import VocoderConfig
from experiments.vocoder.results import write_results
from experiments.vocoder.samples import TrainingSamples
from wf_jax.audio.mel import MelSettings
from wf_jax.errors import UserError
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.vocoder_task import HeldOut, VocoderTask, mel_context
from wf_jax.levels import FULL_SCALE, peak_gain
from wf_jax.training.distributed import on_main, say
from wf_jax.training.loop import Result


class VocoderJob(Job):
    """Trains on a corpus, and writes a model folder, samples, metrics.json and report.html."""

    config: VocoderConfig

    def prepare(self, folder: RunFolder) -> VocoderTask:
        """Opens and checks the corpus; makes the built-in one in the run's folder.

        Raises:
            UserError: the corpus or an option cannot be used.
        """
        config = self.config
        if config.is_demo:
            folder.make(lambda: _write_demo_corpus(folder.local))
        place = folder.local / "corpus" if config.is_demo else config.data.corpus
        self._corpus = corpus = Corpus.open(place)
        on_main(corpus.check)
        model = config.flow_config(corpus.sample_rate)
        self.what = f"{model.describe()} on {len(corpus.select('train'))} clips"
        self._task = make_task(config, model, corpus)
        return self._task

    def inputs(self) -> dict[str, str]:
        """Returns the digest of the corpus."""
        return {} if self.config.is_demo else {self.config.data.corpus: self._corpus.index.sha256}

    def publish(self, folder: RunFolder) -> TrainingSamples:
        """Returns the callback that writes samples and keeps the best model so far."""
        return TrainingSamples(folder, self._task, self.config.train.samples_every)

    def finish(self, folder: Path, result: Result) -> None:
        """Writes the model folder, then metrics.json and report.html."""
        write_results(folder, self._task, result, self._corpus, self.config)


def make_task(config: VocoderConfig, model: FlowConfig, corpus: Corpus) -> VocoderTask:
    """Makes the training task on a corpus.

    Raises:
        UserError: the corpus has no clips to train or to judge by.
    """
    training, window = config.train, config.data.window
    clips = corpus.select("train")
    windows = Windows(
        corpus,
        "train",
        window,
        *mel_context(model.mel, window),
        training.batch_size,
        training.seed,
        model.mel.peak_normalize,
    )
    held_out = held_out_clips(corpus, model.mel)
    if not held_out:
        raise UserError(
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
        dequantize=training.dequantize,
        seed=training.seed,
    )


def held_out_clips(corpus: Corpus, settings: MelSettings) -> list[HeldOut]:
    """Returns the clips of the validation split, at the scale that the model sees."""
    clips = []
    for clip in corpus.select("validation"):
        gain = peak_gain(clip.peak) if settings.peak_normalize else 1.0
        audio = corpus.audio(clip) * np.float32(gain / FULL_SCALE)
        clips.append(HeldOut(clip.name, audio, gain))
    return clips


def _write_demo_corpus(folder: Path) -> None:
    if not (folder / "corpus").exists():
        say("making the built-in audio: 24 clips of something like speech")
        write_demo_corpus(folder / "clips")
        prepare_corpus(folder / "clips", folder / "corpus", validation=4)
