"""Compares flows on speech: one family after the other on the same corpus and budget.

    python -m experiments.prepare --input=LJSpeech-1.1 --output=data/lj
    python -m experiments.compare --config=likelihood \
        --workdir=runs/families --config.data.corpus=data/lj

The argument names the members: `tiny` are for two minutes each on two CPU cores, `paper` are rows
of the WaveFlow paper's table 4, `demo` are the tiny ones on the built-in audio, for half a minute
each. `--config.train.minutes` or `--config.train.steps` is the budget of each member.

Expected of `tiny`: see docs/flows.md. Expected of `paper` (LJSpeech, 1M steps): the column beside
it; the paper's WaveGlows had batches of 16, here all have the same.
"""

import dataclasses
from typing import Any

from experiments.configs import waveflow, waveglow, wavenet
from experiments.run.config import Checkpoints
from experiments.vocoder.config import TINY_WINDOW, Data, Mel, Train, tiny


@dataclasses.dataclass(frozen=True)
class Member:
    """A model of the comparison.

    Attributes:
        model: the options of its family.
        paper: the row of the paper's table 4 that it stands for, by its id there; "" for none.
        learning_rate: the member's own; 0 for the common one.
    """

    model: Any
    paper: str = ""
    learning_rate: float = 0.0


@dataclasses.dataclass
class Config:
    """The config of a comparison.

    Attributes:
        data: the corpus, of all.
        mel: the conditioner's mel, shared by all.
        train: the training options of each.
        checkpoints: when each is saved.
        members: members by name.
        only: names of the members to take; all if empty.
    """

    data: Data = dataclasses.field(default_factory=Data)
    mel: Mel = dataclasses.field(default_factory=Mel)
    train: Train = dataclasses.field(default_factory=Train)
    checkpoints: Checkpoints = dataclasses.field(default_factory=Checkpoints)
    members: dict[str, Member] = dataclasses.field(default_factory=dict)
    only: tuple[str, ...] = ()


def get_config(argument: str = "tiny") -> Config:
    """Returns the comparison that the argument names.

    Raises:
        ValueError: the argument is none of them.
    """
    config = Config()
    if argument == "paper":
        config.members = _paper()
        config.train.evaluate_every = 10_000
    elif argument in ("tiny", "demo"):
        config.members = _tiny()
        config.data.window = TINY_WINDOW
        config.train = tiny(config.train)
        config.train.minutes, config.train.evaluate_every = 2.0, 300
        config.train.samples_every = 1000  # the time of each is for training
        if argument == "demo":
            config.data.corpus, config.train.minutes = "demo", 0.5
    else:
        raise ValueError(f"likelihood:{argument} does not exist; use tiny, demo or paper")
    return config


def _tiny() -> dict[str, Member]:
    flow = {"flows": 4, "layers": 5, "channels": 16}
    glow = waveglow.get_config("tiny").model
    nets = {head: wavenet.get_config(f"tiny_{head}").model for head in wavenet.HEADS}
    return {
        "waveflow_h2": Member(waveflow.Model(height=2, permutation="reverse", **flow)),
        "waveflow_h8": Member(waveflow.Model(height=8, **flow), "h"),
        "waveflow_h16": Member(waveflow.Model(height=16, **flow), "i"),
        "waveflow_h32": Member(waveflow.Model(height=32, **flow), "j"),
        "waveglow": Member(glow, "c"),
        "wavenet_gaussian": Member(nets["gaussian"], "a"),
        "wavenet_affine": Member(nets["affine"], "a"),
        "wavenet_logistic_mixture": Member(nets["logistic_mixture"]),
        "autoregressive_flow": Member(nets["flow"], "b"),
    }


def _paper() -> dict[str, Member]:
    members = {
        "wavenet_gaussian": Member(wavenet.get_config("gaussian").model, "a"),
        "autoregressive_flow": Member(wavenet.get_config("flow").model, "b"),
    }
    for channels, row in (("64", "c"), ("128", "d"), ("256", "f"), ("512", "g")):
        model = waveglow.get_config(channels).model
        members[f"waveglow_{channels}"] = Member(model, row, learning_rate=1e-4)
    for name, row in (
        ("64_h8", "h"),
        ("64", "i"),
        ("64_h32", "j"),
        ("64_h64", "k"),
        ("128", "q"),
        ("128_h32", "r"),
        ("256_h32", "t"),
    ):
        model = dataclasses.replace(waveflow.get_config(name).model, permutation="reverse")
        members[f"waveflow_{name}"] = Member(model, row)
    return members
