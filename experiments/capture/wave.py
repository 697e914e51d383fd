"""Captures that are trained together in one program, as fits a GPU: each as it would be alone.

All of a wave have one budget, so that none waits for the others; what differs between their shapes
goes into another wave. While they train, a wave's checkpoints lie in a hidden folder of its own,
and all else in the folders of its captures, which get their share of the last checkpoint at the
end: from then on each is a run as if it had been alone.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.capture.config import CaptureConfig
from experiments.capture.examination import Examined
from experiments.capture.job import CaptureJob
from experiments.run.config import flat_config
from experiments.run.folder import RunFolder
from experiments.run.job import Job, Publish
from experiments.run.json_files import write_json
from experiments.run.same_run import was_opened
from experiments.run.settings import read_settings
from wf_jax.amps.capture_task import CaptureTask, together
from wf_jax.bounded_files import read_json
from wf_jax.errors import in_one_line
from wf_jax.training.checkpoints import Checkpoints, Restored
from wf_jax.training.dispatch import Dispatcher
from wf_jax.training.distributed import say
from wf_jax.training.loop import Result, record_of
from wf_jax.training.metrics import MetricsFile
from wf_jax.training.saved_checkpoints import saved_steps
from wf_jax.training.state import TrainState

FOLDER = ".waves"
_NAMES = "members.json"


@dataclasses.dataclass(frozen=True)
class Wave:
    """Some captures of equal shape.

    Attributes:
        folder: of the checkpoints.
        places: the name of the capture at each place in the program; None where it has the audio
            of another one, and nothing is made of its result.
    """

    folder: Path
    places: tuple[str | None, ...]

    @classmethod
    def of(cls, workdir: Path, names: Sequence[str], size: int) -> "Wave":
        """Returns a new wave; its folder is named after the captures."""
        digest = hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()
        return cls(workdir / FOLDER / digest[:12], (*names, *[None] * (size - len(names))))

    @property
    def names(self) -> list[str]:
        """The captures in order."""
        return [name for name in self.places if name is not None]

    def only(self, names: Container[str]) -> "Wave":
        """Returns the wave without all others."""
        places = tuple(name if name in names else None for name in self.places)
        return dataclasses.replace(self, places=places)


class WaveJob(Job):
    """Trains the captures of a wave, and writes the results of each into its own folder.

    Attributes:
        diverged: names of the captures that did; known at the end.
    """

    def __init__(
        self, config: CaptureConfig, wave: Wave, jobs: Mapping[str, tuple[CaptureJob, RunFolder]]
    ):
        """Takes the config of all, and the job and the locked folder of each."""
        self.config, self._wave, self._jobs = config, wave, jobs
        self.diverged: set[str] = set()

    def prepare(self, folder: RunFolder) -> CaptureTask:
        """Reads all pairs; see `CaptureJob.prepare`."""
        del folder
        tasks = {name: job.prepare(run) for name, (job, run) in self._jobs.items()}
        some = next(iter(tasks))
        self.what = f"{len(tasks)} captures together, {self._jobs[some][0].what}"
        self._alone = tasks[some]
        self._task = together([tasks[name or some] for name in self._wave.places])
        return self._task

    def begin(self, folder: RunFolder) -> None:
        """Notes whose wave it is, opens the run of each, and prints the findings about it."""
        write_json(folder.local / _NAMES, list(self._wave.places))
        for job, run in self._jobs.values():
            run.open(job.config, job.inputs())
            job.begin(run)

    def publish(self, folder: RunFolder) -> Publish:
        """Returns the callback that writes numbers, page and sounds of each into its folder."""
        del folder
        shown = {name: job.publish(run) for name, (job, run) in self._jobs.items()}
        files: dict[str, MetricsFile] = {}

        def publish(step: int, models: Any, record: dict[str, Any]) -> None:
            models = jax.device_get(models)
            for i, name in self._placed():
                own, place = record_of(record, i), self._jobs[name][1].local
                if name not in files:
                    files[name] = MetricsFile(place / "metrics.jsonl", step - 1)
                files[name].append(own)
                shown[name](step, jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], models), own)

        return publish

    def finish(self, folder: Path, result: Result) -> None:
        """Writes the results of every capture that did not diverge."""
        last = self._newest(folder / "checkpoints") if result.finished else None
        alone = jax.tree.structure(self._fresh(self._alone)) if last else None
        for i, name in self._placed():
            if not result.sound[i]:
                self.diverged.add(name)
                say(f"{name} diverged, and left the others alone")
                continue
            say(f"\n{name}")
            job, run = self._jobs[name]
            try:
                if last:
                    share = dataclasses.replace(last, state=last.state.of(i, alone))
                    _hand_over(share, job.config, run.local)
                job.finish(run.local, result.of(i))
            except Exception as error:  # and the others have results
                say(f"{name}: {in_one_line(error)}")

    def _placed(self) -> Iterator[tuple[int, str]]:
        """Yields the place and the name of each capture."""
        return ((i, name) for i, name in enumerate(self._wave.places) if name is not None)

    def _newest(self, folder: Path) -> Restored | None:
        """Reads the last checkpoint of all."""
        when = self.config.checkpoints
        with Checkpoints(folder, keep=when.keep, keep_best=when.keep_best) as checkpoints:
            return checkpoints.restore(self._fresh(self._task))

    def _fresh(self, task: CaptureTask) -> TrainState:
        with Dispatcher(task, read_settings(self.config), lambda step: 1) as dispatcher:
            return dispatcher.create(dispatcher.params)


def begun(workdir: Path, found: Sequence[Examined]) -> Iterator[Wave]:
    """Yields the waves of earlier starts, each with what is left of it, which may be nothing.

    A capture is left whose files and options are those of before, and which has not gone on alone.
    So is one that another process has, and one that is refused, which may be mended.
    """
    left = {one.member.name for one in found if _is_left(workdir / one.member.name, one)}
    for folder in sorted((workdir / FOLDER).glob("*/")):
        yield Wave(folder, _places(folder)).only(left)


def groups_of(
    workdir: Path, waiting: Sequence[Examined], most: int
) -> Iterator[tuple[int, list[Examined]]]:
    """Sorts captures by their shapes, but for those that have begun alone.

    Yields:
        How many of a group are trained together, `most` or fewer, and the group.
    """
    left = [one for one in waiting if not has_own_checkpoint(workdir / one.member.name)]
    left.sort(key=lambda one: repr(one.shape))  # stable: else in the user's order
    for _, same in itertools.groupby(left, key=lambda one: one.shape):
        group = list(same)
        yield -(-len(group) // -(-len(group) // most)), group


def has_own_checkpoint(folder: Path) -> bool:
    """Returns whether the capture in a folder goes on alone."""
    return bool(saved_steps(folder / "checkpoints"))


def _is_left(folder: Path, one: Examined) -> bool:
    if one.state == "ready" and not was_opened(folder, one.member.config, one.inputs):
        return False
    return one.state != "finished" and not has_own_checkpoint(folder)


def _hand_over(share: Restored, config: CaptureConfig, folder: Path) -> None:
    """Saves the share of one capture as its own checkpoint."""
    with Checkpoints(folder / "checkpoints", config=flat_config(config)) as checkpoints:
        checkpoints.save(share.step, share.state, share.notes)


def _places(folder: Path) -> tuple[str | None, ...]:
    """Reads which captures a wave has; none where that is damaged."""
    try:
        noted = read_json(folder / _NAMES)
    except (OSError, ValueError):
        return ()
    known = isinstance(noted, list) and all(isinstance(n, str | None) for n in noted)
    return tuple(noted) if known else ()
