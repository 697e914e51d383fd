"""Checks the files of many captures in parallel, before any of them is trained on."""

import dataclasses
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from experiments.capture.job import CaptureJob
from experiments.capture.members import Member
from experiments.run.folder import RunFolder
from experiments.run.json_files import read_table
from experiments.run.same_run import check_same_run, has_begun
from experiments.run.sweep import complete, has_options
from wf_jax.errors import UserError, first_line, why
from wf_jax.training.devices import available_cores

MOST_AT_ONCE = 8  # pairs in memory, of some 100 MB for three minutes
RESTARTED = ("train.learning_rate",)  # which a run that diverged has smaller than its config


@dataclasses.dataclass(frozen=True)
class Examined:
    """Keeps the findings about a capture before its training.

    Attributes:
        member: the capture.
        state: "ready" to be trained, "finished" by an earlier start, or "refused".
        reason: why it is refused, in one line; or what is found in favor of it.
        warnings: of the checks.
        changed: whether an earlier start trained on other files of these names.
        shape: what captures that are trained together have in common; see `CaptureJob.shape`.
    """

    member: Member
    state: Literal["ready", "finished", "refused"]
    reason: str = ""
    warnings: tuple[str, ...] = ()
    changed: bool = False
    shape: Hashable = None

    def line(self, width: int) -> str:
        """Describes it in one line, the names padded to `width`."""
        said = ["changed since it was captured"] if self.changed else []
        said += filter(None, [self.reason, *(f"WARNING {warning}" for warning in self.warnings)])
        return f"  {self.member.name:{width}}  {self.state:8}  {'; '.join(said)}".rstrip()


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


def is_done(folder: Path, member: Member, inputs: Mapping[str, str]) -> bool:
    """Returns whether a capture is complete, of these files (their digests) and options."""
    same = has_options(folder, member.config, but=RESTARTED)
    return complete(folder) and same and not _changed(folder, inputs)


def _fault(member: Member, folder: Path) -> str:
    """Describes what is wrong with options and headers."""
    try:
        member.config.check()
        check_same_run(folder, member.config)
    except UserError as error:
        return first_line(error)
    return ""


def _examine(member: Member, folder: Path, fault: str) -> Examined:
    if fault:
        return Examined(member, "refused", fault)
    job = CaptureJob(member.config)
    try:
        inputs = job.inputs()
        if is_done(folder, member, inputs):
            return Examined(member, "finished")
        capture = job.load(RunFolder(folder), said=lambda line: None)
    except UserError as error:
        return Examined(member, "refused", first_line(error))
    except OSError as error:
        return Examined(member, "refused", f"{error.filename}: {why(error)}")
    warnings = tuple(found.line() for found in capture.findings if found.level == "warning")
    latency = capture.latency.describe(capture.sample_rate)
    changed = _changed(folder, inputs)
    return Examined(member, "ready", latency, warnings, changed, job.shape(capture))


def _changed(folder: Path, inputs: Mapping[str, str]) -> bool:
    """Returns whether the run in a folder was trained on other files of the same names."""
    known = read_table(folder / "inputs.json")
    return has_begun(folder) and any(known.get(n, digest) != digest for n, digest in inputs.items())
