"""Checks the files of many captures in parallel, before any of them is trained on."""

import dataclasses
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from absl import logging

from experiments.capture.config import CaptureConfig
from experiments.capture.job import CaptureJob
from experiments.capture.members import Member
from experiments.run.folder import RunFolder
from experiments.run.json_files import read_table
from experiments.run.lock import LockedError, check_unlocked
from experiments.run.same_run import check_same_run, has_begun
from experiments.run.sweep import complete, has_options
from wf_jax.errors import in_one_line
from wf_jax.platforms import available_cores

MOST_AT_ONCE = 8  # pairs in memory, of some 100 MB for three minutes
RESTARTS = 2  # of a capture that diverges
SLOWER = 0.25  # of the learning rate, at each of them


@dataclasses.dataclass(frozen=True)
class Examined:
    """Keeps the findings about a capture before its training.

    Attributes:
        member: the capture.
        state: "ready" to be trained, "finished" by an earlier start, "refused", or "elsewhere":
            another process has it.
        reason: why it is refused, in one line; or what is found in favor of it.
        warnings: of the checks.
        changed: whether an earlier start trained on other files of these names.
        inputs: the digests of its files.
        shape: what captures that are trained together have in common; see `CaptureJob.shape`.
    """

    member: Member
    state: Literal["ready", "finished", "refused", "elsewhere"]
    reason: str = ""
    warnings: tuple[str, ...] = ()
    changed: bool = False
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    shape: Hashable = None

    def line(self, width: int) -> str:
        """Describes it in one line, the names padded to `width`."""
        said = ["changed since it was captured"] if self.changed else []
        said += filter(None, [self.reason, *(f"WARNING {warning}" for warning in self.warnings)])
        return f"  {self.member.name:{width}}  {self.state:9}  {'; '.join(said)}".rstrip()


def examine_all(members: Sequence[Member], workdir: Path) -> Iterator[Examined]:
    """Checks all captures, several at once; yields them in their order as they are done."""
    # The config's own checks change the filters of warnings, which threads share.
    faults = [member.fault or _fault(member, workdir / member.name) for member in members]
    threads = ThreadPoolExecutor(min(available_cores(), MOST_AT_ONCE))
    try:
        folders = [workdir / member.name for member in members]
        yield from threads.map(_examine, members, folders, faults)
    finally:
        threads.shutdown(cancel_futures=True)


def attempts(config: CaptureConfig) -> list[CaptureConfig]:
    """Returns the config of a capture, and those that it is tried with again where it diverges."""
    rate = config.recipe()[0]
    rates = [rate * SLOWER ** (i + 1) for i in range(RESTARTS)]
    trains = [dataclasses.replace(config.train, learning_rate=rate) for rate in rates]
    return [config, *(dataclasses.replace(config, train=train) for train in trains)]


def is_done(folder: Path, member: Member, inputs: Mapping[str, str]) -> bool:
    """Returns whether a capture is complete, of these files (their digests) and options."""
    if not complete(folder) or is_changed(folder, inputs):
        return False
    return any(has_options(folder, config) for config in attempts(member.config))


def is_changed(folder: Path, inputs: Mapping[str, str]) -> bool:
    """Returns whether the run in a folder was trained on other files of the same names."""
    known = read_table(folder / "inputs.json")
    return has_begun(folder) and any(known.get(n, digest) != digest for n, digest in inputs.items())


def _fault(member: Member, folder: Path) -> str:
    """Describes what is wrong with options and headers."""
    try:
        member.config.check()
        check_same_run(folder, member.config)
    except Exception as error:  # of whatever kind: the others go on
        return _line(member, error)
    return ""


def _examine(member: Member, folder: Path, fault: str) -> Examined:
    if fault:
        return Examined(member, "refused", fault)
    job = CaptureJob(member.config)
    try:
        check_unlocked(folder)
        inputs = job.inputs()
        if is_done(folder, member, inputs):
            return Examined(member, "finished")
        capture = job.load(RunFolder(folder), said=lambda line: None)
        changed = is_changed(folder, inputs)
    except LockedError:
        return Examined(member, "elsewhere")
    except Exception as error:
        return Examined(member, "refused", _line(member, error))
    warnings = tuple(found.line() for found in capture.findings if found.level == "warning")
    latency = capture.latency.describe(capture.sample_rate)
    return Examined(member, "ready", latency, warnings, changed, inputs, job.shape(capture))


def _line(member: Member, error: Exception) -> str:
    logging.debug("%s is refused", member.name, exc_info=error)
    return in_one_line(error)
