"""The config of a vocoder and its checks, which run before JAX and the audio are loaded."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from data_pipeline.corpus_index import read_index
from data_pipeline.synthetic_speech import SAMPLE_RATE as DEMO_RATE
from experiments.run import config as run
from wf_jax.audio.mel_settings import MelSettings
from wf_jax.audio.yin import LOWEST_RATE
from wf_jax.command_lines import command
from wf_jax.errors import UserError
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.family_configs import CONFIGS
from wf_jax.flows.wavenet_config import CLASSES
from wf_jax.options import COUNT, Choice, Text, editable, like, option
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


Mel = editable(MelSettings, without=("sample_rate",))  # the rate is the corpus's


@dataclasses.dataclass
class Train(run.Train):
    """The training options of a vocoder.

    Attributes:
        dequantize: add noise of one int16 step to the audio.
        evaluate_every: steps between evaluations of the held-out clips.
        samples_every: evaluations between audio samples and pictures.
    """

    steps: int = like(Settings, "steps", 1_000_000)
    learning_rate: float = like(Settings, "learning_rate", 2e-4)
    weight_decay: float = like(Settings, "weight_decay", 0.0)
    batch_size: int = option(8, COUNT)
    dequantize: bool = False
    evaluate_every: int = option(2000, COUNT)
    samples_every: int = option(5, COUNT)


@dataclasses.dataclass
class VocoderConfig(run.RunConfig):
    """The config of a vocoder.

    Attributes:
        model: the options of one family, as `model_options` makes them.
        data: the corpus.
        mel: the conditioner's mel.
        train: the training options.
    """

    job: ClassVar[str] = "experiments.vocoder.job:VocoderJob"

    model: Any = None
    task: str = option("vocoder", Choice(("vocoder",)))
    data: Data = dataclasses.field(default_factory=Data)
    mel: Mel = dataclasses.field(default_factory=Mel)
    train: Train = dataclasses.field(default_factory=Train)

    def recipe(self) -> tuple[float, Schedule]:
        """Returns the schedule of the config; Adam decays geometrically, SOAP linearly."""
        train = self.train
        adam = train.optimizer == "adam"
        shape = train.warmup, max(train.warmup, train.hold), train.end, train.fade
        return train.learning_rate, Schedule(*shape, exponential=adam)

    def check(self) -> None:
        """Refuses options and files that would fail later; reads the index only.

        Raises:
            UserError: the corpus is missing or damaged, or cannot be judged; or an option has a
                value that cannot be used.
        """
        super().check()
        if not self.data.corpus:
            raise UserError(
                f"--config.data.corpus is missing; make one with {command('prepare')}, or "
                f"try the built-in audio with --config={self.source.partition(':')[0]}:demo"
            )
        if self.model.compute_dtype == "float64":
            raise UserError(
                "--config.model.compute_dtype=float64 is for checks only; choose float32 or "
                "bfloat16"
            )
        if self.train.dequantize and getattr(self.model, "head", "") in CLASSES:
            raise UserError(
                f"--config.train.dequantize: a {self.model.head} head is of classes already; "
                "leave it out"
            )
        self.flow_config(self.corpus_rate())

    def corpus_rate(self) -> int:
        """Reads the sample rate of the corpus, Hz.

        Raises:
            UserError: the corpus is missing, or its clips could not be judged at the end.
        """
        if self.is_demo:
            return DEMO_RATE
        rate = read_index(Path(self.data.corpus)).sample_rate
        if rate < LOWEST_RATE:
            raise UserError(
                f"{self.data.corpus}: a corpus of {rate} Hz; pitch and spectrum are judged from "
                f"{LOWEST_RATE} Hz on: prepare it again with a higher --sample_rate"
            )
        return rate

    def flow_config(self, sample_rate: int) -> FlowConfig:
        """Returns the model's static description, for audio of `sample_rate` Hz.

        Raises:
            UserError: a value does not fit.
        """
        try:
            mel = MelSettings(sample_rate=sample_rate, **dataclasses.asdict(self.mel))
            options = dataclasses.asdict(self.model)
            return CONFIGS[options.pop("family")](mel=mel, **options)
        except ValueError as error:
            raise UserError(f"--config: {error}") from None
        except (KeyError, TypeError):
            raise UserError(
                f"--config.model.family={self.model.family}: not what this config file is for; "
                "name the family's own, e.g. --config=waveglow"
            ) from None

    @property
    def is_demo(self) -> bool:
        """True if the run uses the built-in corpus."""
        return self.data.corpus == "demo"


def model_options(settings: type[FlowConfig]) -> type:
    """Makes the options of a family's models: those of its static description, and its name."""

    @dataclasses.dataclass
    class Model(editable(settings, without=("mel",))):
        """The options of a model.

        Attributes:
            family: name of its kind; the config's own.
        """

        family: str = option(settings.family, Text())

    return Model


def tiny(train: Train) -> Train:
    """Changes the config to a model that trains on a laptop."""
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


def built_in(config: VocoderConfig) -> VocoderConfig:
    """Changes the config to a short training on the built-in corpus."""
    config.source = f"{config.source.partition(':')[0]}:demo"
    config.data.corpus = "demo"
    config.train.steps, config.train.evaluate_every = 250, 125
    config.train.samples_every = 1000
    return config
