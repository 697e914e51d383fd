"""Commands killed (SIGKILL) at any moment: nothing is lost, and nothing is left behind.

Half of the moments are drawn over the whole life of a process, half among the changes that it makes
to files. COUNT kills of each command; `WF_JAX_KILLS` sets another number.
"""

import json
import os
import random
import re
import shutil
import signal
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any, Protocol

import pytest
import soundfile
from orbax.checkpoint import v1 as ocp

from data_pipeline.corpus import Corpus
from data_pipeline.corpus_preparation import prepare_corpus
from data_pipeline.synthetic_pair import demo_pair
from data_pipeline.synthetic_speech import write_demo_corpus
from experiments.run.sweep import complete
from tests.experiments.killed_command import Command
from wf_jax.amps.nam_file import read_nam
from wf_jax.export.manifest import read_files, read_manifest
from wf_jax.flows.model_folder import load_model
from wf_jax.modules import split

COUNT = int(os.environ.get("WF_JAX_KILLS", "100"))
IN_A_ROW = 8  # kills of one run, before it is left in peace
TIMES = re.compile(r"minutes|(time|speed|memory)/.*")  # what no two runs have in common


class Killed(Protocol):
    """A command that is killed, in its own folders."""

    @abstractmethod
    def command(self, folder: Path) -> Command:
        """Returns the command, in a new folder."""

    @abstractmethod
    def check(self, folder: Path) -> None:
        """Raises if anything in the folder is neither old nor new; called after every kill."""

    def done(self, folder: Path) -> bool:
        """Returns whether the result exists, so that the command cannot be given again."""
        return False

    @abstractmethod
    def outcome(self, folder: Path) -> Any:
        """Returns everything that must be the same at the end."""


def kill(killed: Killed, folder: Path, count: int) -> None:
    """Kills a command so many times, and in between ends like an undisturbed one."""
    for name in ("first", "whole"):  # the first compiles
        whole = killed.command(folder / name)
        began = time.monotonic()
        assert whole.run() == 0, whole.said
        length = time.monotonic() - began
    changes, expected = whole.changes, killed.outcome(whole.folder)
    chance, kills, runs = random.Random(0), 0, 0
    while kills < count:
        runs += 1
        command = killed.command(folder / f"run-{runs}")
        for number in range(IN_A_ROW + 1):
            moment: dict[str, Any] = {"seconds": chance.uniform(0, length)}
            if chance.random() < 0.5:
                moment = {"change": chance.randint(1, changes)}
            if number == IN_A_ROW or kills == count:
                moment = {}
            saved = steps(command.folder)
            code = command.run(**moment)
            said = f"run {runs}, {moment}: {command.said}"
            assert "Traceback" not in said
            assert "damaged" not in said
            killed.check(command.folder)
            kills += code == -signal.SIGKILL
            if code == 0 and saved:
                assert f"continuing at step {max(saved)} " in said
            if code == 0 or killed.done(command.folder):
                break
            assert code == -signal.SIGKILL, said
        assert killed.outcome(command.folder) == expected, said
    print(f"{kills} kills in {runs} runs of {length:.1f} s and {changes} changes")


def steps(folder: Path) -> list[int]:
    """Returns the steps of a run's checkpoints."""
    found = [path.name for path in (folder / "run" / "checkpoints").glob("*")]
    return [int(name) for name in found if name.isdigit()]


def names(folder: Path) -> list[str]:
    """Returns all files and folders, except those in checkpoints and of observers."""
    others = re.compile(r"run/checkpoints/\d+/|(said|changes)\.txt")
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(name for name in found if not others.match(name))


class Training(Killed):
    """A run in the folder "run"."""

    def check(self, folder: Path) -> None:
        for path in (folder / "run").glob("[!.]*.json"):
            json.loads(path.read_text())
        for path in (folder / "run").glob("[!.]*.html"):
            assert path.read_text().rstrip().endswith("</html>")

    def outcome(self, folder: Path) -> Any:
        lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        kept = [{k: v for k, v in record.items() if not TIMES.match(k)} for record in records]
        newest = ocp.metadata(folder / "run" / "checkpoints" / str(max(steps(folder))))
        return names(folder), kept, newest.custom_metadata["arrays"], self.model(folder / "run")

    @abstractmethod
    def model(self, run: Path) -> Any:
        """Returns every number of the model."""


class CaptureTraining(Training):
    """Trains the smallest architecture: 12 steps, 4 evaluations, 6 checkpoints."""

    def __init__(self, place: Path):
        self._place = place
        for name, x in zip(("di", "amp"), demo_pair(3.0), strict=True):
            soundfile.write(place / f"{name}.wav", x, 48000, subtype="PCM_24")
        linear = {"architecture": "Linear", "config": {"receptive_field": 8, "bias": False}}
        (place / "linear.json").write_text(json.dumps(linear))

    def command(self, folder: Path) -> Command:
        options = {
            "data.input": self._place / "di.wav",
            "data.output": self._place / "amp.wav",
            "data.validation_seconds": 1,
            "model.nam": self._place / "linear.json",
            "train.batch_size": 1,
            "train.window": 32768,
            "loss.mrstft": 0,  # to be traced fast
            "train.steps": 12,
            "train.optimizer": "adam",
            "checkpoints.steps": 2,
        }
        return training(folder, "a2_capture.py", options)

    def check(self, folder: Path) -> None:
        super().check(folder)
        if (folder / "run" / "model.nam").exists():
            self.model(folder / "run")

    def model(self, run: Path) -> Any:
        return list(read_nam(run / "model.nam").weights)


class VocoderTraining(Training):
    """Trains a tiny model: 6 steps, 3 evaluations with samples, 6 checkpoints."""

    def __init__(self, place: Path):
        self._corpus = place / "corpus"
        write_demo_corpus(place / "clips", clips=4, seconds=0.4)
        prepare_corpus(place / "clips", self._corpus, validation=1)

    def command(self, folder: Path) -> Command:
        options = {
            "data.corpus": self._corpus,
            "data.window": 2000,
            "model.flows": 2,
            "model.layers": 2,
            "model.channels": 4,
            "train.batch_size": 1,
            "train.evaluate_every": 2,
            "train.samples_every": 1,
            "train.steps": 6,
            "checkpoints.steps": 1,
        }
        return training(folder, "waveflow.py:tiny", options)

    def check(self, folder: Path) -> None:
        super().check(folder)
        if (folder / "run" / "model" / "config.json").exists():
            self.model(folder / "run")

    def model(self, run: Path) -> Any:
        return {k: v.tolist() for k, v in split(load_model(run / "model"))[1].items()}


def training(folder: Path, config: str, options: dict[str, Any]) -> Command:
    given = [f"--config.{name}={value}" for name, value in options.items()]
    start = f"--config=experiments/configs/{config}", f"--workdir={folder / 'run'}"
    return Command(folder, "train", *start, *given)


class Preparing(Killed):
    """Prepares a corpus of four clips."""

    def __init__(self, place: Path):
        self._clips = place / "clips"
        write_demo_corpus(self._clips, clips=4, seconds=0.7)

    def command(self, folder: Path) -> Command:
        output = f"--output={folder / 'corpus'}"
        return Command(folder, "prepare", f"--input={self._clips}", output, "--validation=1")

    def done(self, folder: Path) -> bool:
        return (folder / "corpus").exists()

    def check(self, folder: Path) -> None:
        if self.done(folder):
            Corpus.open(folder / "corpus").check()

    def outcome(self, folder: Path) -> Any:
        corpus = folder / "corpus"
        return names(folder), {path.name: path.read_bytes() for path in corpus.iterdir()}


class ManyCaptures(Killed):
    """Makes three captures over one DI with one command."""

    def __init__(self, place: Path):
        self._place, self._made = place, {}
        (place / "wet").mkdir()
        di, amp = demo_pair(3.0)
        soundfile.write(place / "di.wav", di, 48000, subtype="PCM_24")
        for i in range(3):
            soundfile.write(place / "wet" / f"{i}.wav", (1 - i / 4) * amp, 48000, subtype="PCM_24")
        linear = {"architecture": "Linear", "config": {"receptive_field": 8, "bias": False}}
        (place / "linear.json").write_text(json.dumps(linear))

    def command(self, folder: Path) -> Command:
        options = {
            "data.input": self._place / "di.wav",
            "data.output": self._place / "wet",
            "data.validation_seconds": 1,
            "model.nam": self._place / "linear.json",
            "train.batch_size": 2,
            "train.window": 8192,
            "train.steps": 6,
            "train.optimizer": "adam",
        }
        given = [f"--config.{name}={value}" for name, value in options.items()]
        return Command(
            folder, "train", "--config=a2_capture", f"--workdir={folder / 'run'}", *given
        )

    def check(self, folder: Path) -> None:
        """Also raises if a capture that was complete before is another one now."""
        for capture in (folder / "run").glob("[0-9]"):
            if complete(capture):
                model = (capture / "model.nam").read_bytes()
                assert self._made.setdefault(capture, model) == model
                assert (capture / "report.html").read_text().rstrip().endswith("</html>")
                assert len(list((capture / "preview").glob("[!.]*"))) == 4
        assert all((path / "model.nam").exists() for path in self._made if folder in path.parents)

    def outcome(self, folder: Path) -> Any:
        found = [name for name in names(folder) if "/checkpoints/" not in name]
        table = (folder / "run" / "captures.csv").read_text().splitlines()
        models = [folder / "run" / str(i) / "model.nam" for i in range(3)]
        weights = [list(read_nam(model).weights) for model in models]
        return found, [",".join(line.split(",")[:3]) for line in table], weights


class Rebuilding(Killed):
    """Rebuilds the release of a small amp, with a file of somebody else's."""

    def __init__(self, place: Path):
        model = {"receptive_field": 2, "bias": False}
        content = {"version": "0.5.4", "architecture": "Linear", "config": model, "weights": [1, 2]}
        (place / "amp.nam").write_text(json.dumps(content | {"sample_rate": 48000}))
        model, self._release = f"--model={place / 'amp.nam'}", place / "release"
        command = Command(
            place, "export", model, f"--output={self._release}", "--platforms=cpu", "--blocks=64"
        )
        assert command.run() == 0, command.said
        (self._release / "LICENSE").write_text("free")

    def command(self, folder: Path) -> Command:
        if not (folder / "release").exists():
            shutil.copytree(self._release, folder / "release")
        return Command(folder, "export", "--rebuild", f"--output={folder / 'release'}")

    def check(self, folder: Path) -> None:
        read_files(folder / "release", read_manifest(folder / "release"))
        assert (folder / "release" / "LICENSE").read_text() == "free"

    def outcome(self, folder: Path) -> Any:
        manifest = read_manifest(folder / "release")
        return names(folder), {name: file.sha256 for name, file in manifest.files.items()}


OFTEN = [pytest.mark.slow, pytest.mark.exhaustive]
KILLED = [CaptureTraining, VocoderTraining, Rebuilding, Preparing]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("killed", "count"),
    [(Preparing, 6), (ManyCaptures, 6), *(pytest.param(k, COUNT, marks=OFTEN) for k in KILLED)],
)
def test_kills(tmp_path, killed, count):
    (tmp_path / "place").mkdir()
    kill(killed(tmp_path / "place"), tmp_path, count)
