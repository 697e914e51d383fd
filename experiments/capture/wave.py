"""Captures that are trained together in one program, as fits a GPU: each as it would be alone.

All of a wave have one budget, so that none waits for the others; what differs between their shapes
goes into another wave. A wave's checkpoints lie in a hidden folder of its own, the results in those
of its captures.
"""

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from experiments.capture.examination import Examined, is_done
from experiments.capture.job import CaptureJob
from experiments.capture.members import Member
from experiments.run.folder import RunFolder
from experiments.run.job import Job
from experiments.run.json_files import read_table, write_json
from wf_jax.amps.capture import CaptureTask, together
from wf_jax.training.distributed import say
from wf_jax.training.loop import Result
from wf_jax.whole_files import write_text

FOLDER = ".waves"
_NAMES = "members.json"


class Wave:
    """Some captures of equal shape.

    Attributes:
        folder: of the checkpoints.
        members: the captures.
        size: captures that the program is made for, the last one repeated.
    """

    def __init__(self, place: Path, members: Sequence[Member], size: int):
        """Names the folder after the captures."""
        names = json.dumps([member.name for member in members])
        self.folder = place / FOLDER / hashlib.sha256(names.encode()).hexdigest()[:12]
        self.members, self.size = tuple(members), size

    def __str__(self) -> str:
        """Lists the captures."""
        return ", ".join(member.name for member in self.members)


class WaveJob(Job):
    """Trains the captures of a wave, and writes the results of each into its own folder.

    Attributes:
        diverged: names of the captures that did; known at the end.
    """

    def __init__(self, wave: Wave, jobs: Sequence[CaptureJob]):
        """Takes the job of each capture."""
        self.config, self._wave, self._jobs = jobs[0].config, wave, jobs
        self.diverged: set[str] = set()

    def prepare(self, folder: RunFolder) -> CaptureTask:
        """Reads all pairs; see `CaptureJob.prepare`."""
        places = [RunFolder(place) for place in self._places(folder.local)]
        tasks = [job.prepare(place) for job, place in zip(self._jobs, places, strict=True)]
        self.what = f"{len(tasks)} captures together, {self._jobs[0].what}"
        return together([*tasks, *[tasks[-1]] * (self._wave.size - len(tasks))])

    def inputs(self) -> dict[str, str]:
        """Returns the digests of all files."""
        return inputs_of(self._wave.members)

    def begin(self, folder: RunFolder) -> None:
        """Notes whose wave it is, and prints the findings about each."""
        names = [member.name for member in self._wave.members]
        write_json(folder.local / _NAMES, {"names": names, "size": self._wave.size})
        for job, place in zip(self._jobs, self._places(folder.local), strict=True):
            job.begin(RunFolder(place))

    def finish(self, folder: Path, result: Result) -> None:
        """Writes the results of every capture that did not diverge and has none yet."""
        places = self._places(folder)
        for i, (member, job) in enumerate(zip(self._wave.members, self._jobs, strict=True)):
            if not result.sound[i]:
                self.diverged.add(member.name)
                say(f"{member.name} diverged, and left the others alone")
            elif not is_done(places[i], member, job.inputs()):
                say(f"\n{member.name}")
                try:
                    _finish(job, places[i], result.of(i))
                except (OSError, ValueError) as error:  # and the others have results
                    say(f"{member.name}: {error}")

    def _places(self, folder: Path) -> list[Path]:
        """Returns the folders of the captures, beside that of all waves."""
        return [folder.parent.parent / member.name for member in self._wave.members]


def _finish(job: CaptureJob, place: Path, result: Result) -> None:
    """Writes the run of one capture, as if it had been trained alone."""
    with RunFolder(place) as run:
        run.open(job.config, job.inputs())
        lines = (json.dumps(record) + "\n" for record in result.history)
        write_text(place / "metrics.jsonl", "".join(lines))
        job.finish(place, result)


def waves_of(found: Sequence[Examined], most: int, place: Path) -> Iterator[Wave]:
    """Sorts captures that are to be trained into waves of `most` or fewer, of one size per shape.

    The waves of an earlier start come first and as they were, unless a file was changed.
    """
    members = {examined.member.name: examined.member for examined in found}
    left = [examined for examined in found if examined.state == "ready"]
    for folder in sorted((place / FOLDER).glob("*")):
        wave = _begun(folder, members, place)
        names = {examined.member.name for examined in left}
        if wave is None or not names & {member.name for member in wave.members}:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        yield wave
        left = [e for e in left if e.member not in wave.members]
    left.sort(key=lambda examined: repr(examined.shape))  # stable: else in the user's order
    for _, same in itertools.groupby(left, key=lambda examined: examined.shape):
        group = [examined.member for examined in same]
        count = -(-len(group) // most)
        size = -(-len(group) // count)
        for start in range(0, len(group), size):
            yield Wave(place, group[start : start + size], size)


def inputs_of(members: Sequence[Member]) -> dict[str, str]:
    """Returns the digests of the files of some captures."""
    return {
        f"{member.name}: {path}": digest
        for member in members
        for path, digest in CaptureJob(member.config).inputs().items()
    }


def _begun(folder: Path, members: Mapping[str, Member], place: Path) -> Wave | None:
    """Returns the wave in a folder, if it can go on."""
    noted = read_table(folder / _NAMES)
    names, size = noted.get("names"), noted.get("size")
    if not (isinstance(names, list) and names and isinstance(size, int)):
        return None
    if not all(isinstance(name, str) and name in members for name in names):
        return None
    wave = Wave(place, [members[name] for name in names], size)
    same = read_table(folder / "inputs.json") == inputs_of(wave.members)
    return wave if wave.folder == folder and same else None
