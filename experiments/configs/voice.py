"""What the configs of all vocoders have in common: data, mel and how they are trained."""

import dataclasses
from typing import Any

from experiments.configs.running import SEED, Checkpoints
from wf_jax.audio.mel_settings import MelSettings
from wf_jax.options import COUNT, Choice, Text, like, option
from wf_jax.training.schedule import Schedule
from wf_jax.training.settings import Settings


@dataclasses.dataclass
class Data:
    """The corpus.

    Attributes:
        corpus: a folder that `experiments.prepare` wrote; "demo" for the built-in audio.
        window: training samples per window.
    """

    corpus: str = option("", Text())
    window: int = option(16000, COUNT)


@dataclasses.dataclass
class Mel:
    """What the conditioner sees: see wf_jax.audio.mel.MelSettings. The rate is the corpus's."""

    fft_size: int = like(MelSettings, "fft_size")
    hop: int = like(MelSettings, "hop")
    window_length: int = like(MelSettings, "window_length")
    bands: int = like(MelSettings, "bands")
    low_hz: float = like(MelSettings, "low_hz")
    high_hz: float = like(MelSettings, "high_hz")
    floor: float = like(MelSettings, "floor")
    center: bool = MelSettings.center
    peak_normalise: bool = MelSettings.peak_normalise


@dataclasses.dataclass
class Train:
    """How it is trained.

    Attributes:
        steps: length of the run, unless `minutes` is above 0.
        minutes: wall-clock budget, from the end of the first step on, evaluations included.
        optimizer: adam or soap.
        learning_rate: at its peak.
        warmup: share of the run over which the rate rises.
        hold: share of the run at which it begins to fall.
        end: what is left of the peak at the end; 1 for a constant rate.
        batch_size: windows per step, over all devices.
        clip_norm: greatest norm of the gradient; 0 for no limit.
        average_decay: of the moving average of the weights, per step; 0 for none.
        dequantise: add noise of one int16 step to the audio.
        evaluate_every: steps between evaluations of the held-out clips.
        samples_every: evaluations between audio samples and pictures.
        accumulate: parts of a batch, computed one after the other for their memory's sake.
        substeps: steps per dispatch, for a model whose step is shorter than the host's work; 0 for
            what suits the device.
        shards: devices that the state of a large model is split over.
        seed: of weights, windows and noise.
    """

    steps: int = option(1_000_000, COUNT)
    minutes: float = like(Settings, "minutes")
    optimizer: str = like(Settings, "optimizer")
    learning_rate: float = like(Settings, "learning_rate", 2e-4)
    warmup: float = like(Schedule, "warmup")
    hold: float = like(Schedule, "hold")
    end: float = like(Schedule, "end")
    batch_size: int = option(8, COUNT)
    clip_norm: float = like(Settings, "clip_norm")
    average_decay: float = like(Settings, "average_decay")
    dequantise: bool = False
    evaluate_every: int = option(2000, COUNT)
    samples_every: int = option(5, COUNT)
    accumulate: int = like(Settings, "accumulate")
    substeps: int = like(Settings, "substeps", 0)
    shards: int = like(Settings, "shards")
    seed: int = option(0, SEED)


@dataclasses.dataclass
class Config:
    """A vocoder run.

    Attributes:
        model: the options of one family, as its own config file has them.
        task: what `experiments.train` runs.
        data: the corpus.
        mel: of the conditioner.
        train: how it is trained.
        checkpoints: when it is saved.
    """

    model: Any
    task: str = option("vocoder", Choice(("vocoder",)))
    data: Data = dataclasses.field(default_factory=Data)
    mel: Mel = dataclasses.field(default_factory=Mel)
    train: Train = dataclasses.field(default_factory=Train)
    checkpoints: Checkpoints = dataclasses.field(default_factory=Checkpoints)


def recipe(train: Train) -> tuple[float, Schedule]:
    """The rate and schedule that `train` says; Adam's falls in even ratios, SOAP's evenly."""
    adam = train.optimizer == "adam"
    hold = max(train.warmup, train.hold)
    return train.learning_rate, Schedule(train.warmup, hold, train.end, even_ratios=adam)


def tiny(train: Train) -> Train:
    """For models that learn on a laptop."""
    return dataclasses.replace(
        train,
        steps=5_000,
        learning_rate=4e-3,
        end=0.05,
        batch_size=4,
        clip_norm=5.0,
        average_decay=0.99,
        evaluate_every=500,
    )


TINY_WINDOW = 4000


def built_in(config: Config) -> Config:
    """The config, changed to a short training on the built-in audio."""
    config.data.corpus = "demo"
    config.train.steps, config.train.evaluate_every = 250, 125
    config.train.samples_every = 1000
    return config
