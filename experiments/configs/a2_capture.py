"""Capture an amp as a Neural Amp Modeler A2 model, nano and standard together.

    python -m experiments.train --config=experiments/configs/a2_capture.py --workdir=runs/amp \
        --config.data.input=di.wav --config.data.output=amp.wav --config.train.minutes=10

`a2_capture.py:demo` captures the built-in amp instead and needs no files.

Expected of a minute of DI through a high-gain amp: ESR 0.051 (nano) and 0.022 (standard) after 300
steps; of the demo 0.003 and 0.001 after 209. With train.optimizer=adam 0.050 and 0.023 after 2,300
steps, the demo 0.008 and 0.002 after 500.
"""

import dataclasses

from experiments.configs.running import OWN, SEED, Checkpoints
from wf_jax.amps.loss_weights import LossWeights
from wf_jax.amps.nam_metadata import Gear
from wf_jax.options import COUNT, Choice, Items, Number, Text, WrittenNumber, like, option
from wf_jax.training.schedule import Schedule
from wf_jax.training.settings import Settings

SIZES = ("nano", "standard")
_CHANNEL = Number(0, 1024)
_LATENCY = WrittenNumber(
    Number(-10_000_000, 10_000_000, usual=95), "a number of samples", word="auto", whole=True
)


@dataclasses.dataclass
class Data:
    """The recorded pair.

    Attributes:
        input: the DI file that was played into the amp; "demo" for the built-in pair.
        output: the recording of the amp.
        input_channel: of a multi-channel input file, counted from 1; 0 for a mono file.
        output_channel: the same for the output file.
        latency: samples by which the output lags the input, or "auto" to measure it.
        start_seconds: first second of both files that is used, over a user's own DI.
        stop_seconds: where that ends; 0 for the end of the files.
        correct_drift: resample the output where its clock differs from the input's.
        validation_seconds: held out at the end, over a user's own DI.
        ignore_checks: train although checks failed.
        loudness_probe: WAV to measure loudness and gain with; "" for the built-in one.
    """

    input: str = option("", Text())
    output: str = option("", Text())
    input_channel: int = option(0, _CHANNEL)
    output_channel: int = option(0, _CHANNEL)
    latency: str = option("auto", _LATENCY)
    start_seconds: float = option(0.0, Number(0, 100_000))
    stop_seconds: float = option(0.0, Number(0, 100_000))
    correct_drift: bool = False
    validation_seconds: float = option(9.0, Number(0, 100_000, above=True))
    ignore_checks: bool = False
    loudness_probe: str = option("", Text())


@dataclasses.dataclass
class Model:
    """What is trained.

    Attributes:
        sizes: of A2: nano and standard.
        nam: a .nam file, or JSON with its "architecture" and "config": train fresh models of that
            architecture in place of A2.
    """

    sizes: tuple[str, ...] = option(SIZES, Items(Choice(SIZES), least=1, most=2, different=True))
    nam: str = option("", Text())


@dataclasses.dataclass
class Train:
    """How it is trained: see wf_jax.training.settings.Settings and wf_jax.amps.capture.

    Attributes:
        epochs: length of the run, unless `steps` or `minutes` is above 0.
        steps: length in steps.
        minutes: length in minutes.
        optimizer: soap, or adam for the NAM trainer's recipe to the letter.
        learning_rate: at its peak; -1 for the optimizer's own, see `recipe`.
        warmup: share of the run over which the rate rises; -1 for the optimizer's own.
        hold: share of the run at which it begins to fall; -1 for the optimizer's own.
        end: what is left of the peak at the end; -1 for the optimizer's own.
        weight_decay: L2, added to the gradient.
        batch_size: windows per step.
        window: samples of a window.
        accumulate: parts of a batch, computed one after the other for their memory's sake.
        substeps: steps per dispatch; 0 for what suits the device.
        shards: devices that the state of a large model is split over.
        seed: of weights and windows.
    """

    epochs: int = like(Settings, "epochs")
    steps: int = like(Settings, "steps")
    minutes: float = like(Settings, "minutes")
    optimizer: str = like(Settings, "optimizer", "soap")
    learning_rate: float = like(Settings, "learning_rate", OWN, also=OWN)
    warmup: float = like(Schedule, "warmup", OWN, also=OWN)
    hold: float = like(Schedule, "hold", OWN, also=OWN)
    end: float = like(Schedule, "end", OWN, also=OWN)
    weight_decay: float = like(Settings, "weight_decay")
    batch_size: int = option(16, COUNT)
    window: int = option(8192, COUNT)
    accumulate: int = like(Settings, "accumulate")
    substeps: int = like(Settings, "substeps", 0)
    shards: int = like(Settings, "shards")
    seed: int = option(0, SEED)


def recipe(train: Train) -> tuple[float, Schedule]:
    """Learning rate and schedule: the optimizer's own, but for what the config says itself."""
    if train.optimizer == "soap":
        rate, own = 0.02, Schedule(warmup=0.05, hold=0.6, end=0.02)
    else:
        # The NAM trainer's: times 0.994 per epoch; the same fall over a run in steps or minutes.
        stairs = 0 if train.steps or train.minutes else train.epochs
        rate, own = 0.004, Schedule(end=0.994**train.epochs, even_ratios=True, stairs=stairs)
    said = {name: getattr(train, name) for name in ("warmup", "hold", "end")}
    schedule = dataclasses.replace(own, **{k: v for k, v in said.items() if v != OWN})
    return rate if train.learning_rate == OWN else train.learning_rate, schedule


@dataclasses.dataclass
class Loss:
    """Weights of the loss's terms beside the MSE: see wf_jax.amps.capture.LossWeights."""

    mrstft: float = like(LossWeights, "mrstft")
    pre_emphasis: float = like(LossWeights, "pre_emphasis")
    pre_emphasis_mse: float = like(LossWeights, "pre_emphasis_mse")
    pre_emphasis_mrstft: float = like(LossWeights, "pre_emphasis_mrstft")


@dataclasses.dataclass
class Metadata:
    """What the .nam file says of the gear: see wf_jax.amps.nam_metadata.Gear."""

    name: str = like(Gear, "name")
    modeled_by: str = like(Gear, "modeled_by")
    gear_make: str = like(Gear, "gear_make")
    gear_model: str = like(Gear, "gear_model")
    gear_type: str = like(Gear, "gear_type")
    tone_type: str = like(Gear, "tone_type")
    input_level_dbu: str = like(Gear, "input_level_dbu")
    output_level_dbu: str = like(Gear, "output_level_dbu")


@dataclasses.dataclass
class Config:
    """A capture run; `init_from` names a .nam file to fine-tune, of any architecture."""

    task: str = option("capture", Choice(("capture",)))
    init_from: str = option("", Text())
    data: Data = dataclasses.field(default_factory=Data)
    model: Model = dataclasses.field(default_factory=Model)
    train: Train = dataclasses.field(default_factory=Train)
    loss: Loss = dataclasses.field(default_factory=Loss)
    checkpoints: Checkpoints = dataclasses.field(default_factory=Checkpoints)
    metadata: Metadata = dataclasses.field(default_factory=Metadata)


def get_config(argument: str = "") -> Config:
    """The default capture, or with the argument "demo" the built-in one.

    Raises:
        ValueError: the argument is neither.
    """
    config = Config()
    if argument == "demo":
        config.data = Data(input="demo")
        config.train.minutes = 1.5
    elif argument:
        raise ValueError(f"a2_capture.py:{argument} does not exist; use a2_capture.py:demo")
    return config
