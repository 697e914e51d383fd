"""Makes many captures with one command: all checks first, then one run after the other.

Each capture is a run in a folder of its own, just as if it were trained alone, with its own split,
latency, level, best parameters and end. Where a device wants more work than one capture has, waves
of them go first (wave.py). Several processes may work in one folder: each takes the next capture
that no other has.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import jax

from experiments.capture.config import CaptureConfig
from experiments.capture.examination import Examined, examine_all, is_done
from experiments.capture.job import CaptureJob
from experiments.capture.members import Member, members_of
from experiments.capture.overview import Outcome, Overview
from experiments.capture.page import CaptureReport
from experiments.capture.preview import write_preview
from experiments.capture.wave import FOLDER as WAVES
from experiments.capture.wave import Wave, WaveJob, waves_of
from experiments.run.decoration import showing
from experiments.run.exit_codes import AGAIN, INTERRUPTED, PARTIAL
from experiments.run.folder import RunFolder
from experiments.run.job import Job, execute, exit_code
from experiments.run.lock import check_unlocked
from wf_jax.errors import UserError, first_line, why
from wf_jax.platforms import choices
from wf_jax.training.loop import DivergedError
from wf_jax.training.settings import Session

RESTARTS = 2  # of a capture that diverges
SLOWER = 0.25  # of the learning rate, at each of them
_MADE = ("metrics.json", "report.html", "preview", "model.nam", "metrics.jsonl", "checkpoints")


class MemberJob(CaptureJob):
    """A capture of many: its report is shown in the overview too."""

    def show(self, folder: Path, report: CaptureReport) -> None:
        """Writes the pictures and clips of the overview."""
        write_preview(folder, report)


def train_captures(config: CaptureConfig, workdir: Path, session: Session) -> int:
    """Makes all captures that a config names, in folders below `workdir`.

    Returns:
        0 if all are made, PARTIAL if some are not, 1 if none is; AGAIN or INTERRUPTED after a
        signal: the same command goes on with the rest.

    Raises:
        UserError: the folder or the manifest cannot be used; there are several processes.
    """
    if jax.process_count() > 1:
        raise UserError(
            "--distributed: many captures are not split over processes; start the same command "
            "with --distributed=none in each, and each takes what no other has"
        )
    members = members_of(config)
    _make(workdir)
    board = Board(workdir, members)
    found = board.examine()
    most = config.train.captures_at_once or choices().captures
    for wave in waves_of(found, most, workdir) if most > 1 else ():
        code = board.train_wave(wave, session)
        if code in (AGAIN, INTERRUPTED):
            return code
    for member in members:
        code = board.train(member, session)
        if code in (AGAIN, INTERRUPTED):
            return code
    return board.finish()


class Board:
    """The captures of a folder, and how far each is; the overview shows it."""

    def __init__(self, workdir: Path, members: Sequence[Member]):
        """Takes the captures; nothing is known of them yet."""
        self._workdir, self._members = workdir, members
        self._outcomes = {member.name: Outcome("waiting") for member in members}
        self._overview = Overview(workdir)
        self._slowed: set[str] = set()  # captures that diverged among others

    def examine(self) -> list[Examined]:
        """Checks all files, prints the table, and returns what was found."""
        print(f"checks of {len(self._members)} captures:", flush=True)
        width = max(len(member.name) for member in self._members)
        found = []
        for examined in examine_all(self._members, self._workdir):
            print(examined.line(width), flush=True)
            found.append(examined)
        for examined in found:
            folder = self._workdir / examined.member.name
            if examined.changed and _is_free(folder):
                _forget(folder)
            self._set(examined.member, _outcome(examined))
        self._write()
        states = [examined.state for examined in found]
        print(f"{states.count('ready')} to be trained, {states.count('refused')} refused\n")
        return found

    def train_wave(self, wave: Wave, session: Session) -> int:
        """Trains some captures together; what comes to nothing there is trained alone later."""
        if not _is_free(wave.folder):
            print(f"trained by another process: {wave}", flush=True)
            for member in wave.members:
                self._note(member, "elsewhere")
            return 0
        print(f"together: {wave}", flush=True)
        job = WaveJob(wave, [MemberJob(member.config) for member in wave.members])
        code, reason, diverged = _attempt(job, wave.folder, session)
        if code in (AGAIN, INTERRUPTED):
            print("they were interrupted; the same command goes on with them", flush=True)
            return code
        if reason:
            print(f"together they failed: {reason}", flush=True)
        for member in wave.members:
            if self._is_done(member):
                self._note(member, "finished")
            elif diverged or member.name in job.diverged:
                self._slowed.add(member.name)
        shutil.rmtree(wave.folder, ignore_errors=True)
        return 0

    def train(self, member: Member, session: Session) -> int:
        """Trains one capture that waits, unless another process does; returns the exit code."""
        if self._outcomes[member.name].state != "waiting":
            return 0
        folder, names = self._workdir / member.name, list(self._outcomes)
        label = f"{names.index(member.name) + 1} of {len(names)}: {member.name}"
        if not _is_free(folder):
            print(f"{label} is trained by another process", flush=True)
            return self._note(member, "elsewhere")
        if self._is_done(member):  # by another process, meanwhile
            return self._note(member, "finished")
        print(label, flush=True)
        config = _slower(member.config) if member.name in self._slowed else member.config
        code, reason = _restarted(config, folder, session)
        if code in (AGAIN, INTERRUPTED):
            print(f"{member.name} was interrupted; the same command goes on with it", flush=True)
            return self._note(member, "waiting", code=code)
        if reason:
            print(f"{member.name} failed: {reason}", flush=True)
        return self._note(member, "failed" if code else "finished", reason, code)

    def finish(self) -> int:
        """Says how it ended; returns the exit code."""
        with contextlib.suppress(OSError):
            (self._workdir / WAVES).rmdir()  # if it is empty
        states = [outcome.state for outcome in self._outcomes.values()]
        failed = sum(state in ("refused", "failed") for state in states)
        done = states.count("finished")
        elsewhere = states.count("elsewhere")
        print(f"\n{done} of {len(states)} captures made, {failed} failed", flush=True)
        if elsewhere:
            print(f"{elsewhere} are trained by another process")
        print(f"table:    {self._workdir / 'captures.csv'}")
        print(f"overview: {self._workdir / 'overview.html'}", flush=True)
        return 0 if not failed else PARTIAL if done else 1

    def _is_done(self, member: Member) -> bool:
        with contextlib.suppress(OSError, UserError):  # a file that is gone by now
            inputs = CaptureJob(member.config).inputs()
            return is_done(self._workdir / member.name, member, inputs)
        return False

    def _note(self, member: Member, state: str, reason: str = "", code: int = 0) -> int:
        before = self._outcomes[member.name]
        self._set(member, dataclasses.replace(before, state=state, reason=reason))
        self._write()
        return code

    def _set(self, member: Member, outcome: Outcome) -> None:
        self._outcomes[member.name] = outcome
        self._overview.note(member.name, outcome)

    def _write(self) -> None:
        """Writes table and page; where that fails, the captures go on."""
        with showing(self._workdir):
            self._overview.write()


def _is_free(folder: Path) -> bool:
    """Returns whether no other process trains in a folder."""
    try:
        check_unlocked(folder)
    except UserError:
        return False
    return True


def _outcome(examined: Examined) -> Outcome:
    state = "waiting" if examined.state == "ready" else examined.state
    reason = examined.reason if examined.state == "refused" else ""
    return Outcome(state, reason, examined.warnings)


def _restarted(config: CaptureConfig, folder: Path, session: Session) -> tuple[int, str]:
    """Trains one capture; where it diverges, again from its last checkpoint with a smaller rate.

    Returns:
        The exit code, and why it failed.
    """
    for left in reversed(range(RESTARTS + 1)):
        code, reason, diverged = _attempt(MemberJob(config), folder, session)
        if not (diverged and left):
            break
        config = _slower(config)
        rate = config.train.learning_rate
        print(f"{reason.partition(';')[0]}; again at a rate of {rate:.2g}", flush=True)
    return code, reason


def _attempt(job: Job, folder: Path, session: Session) -> tuple[int, str, bool]:
    """Carries out a run; returns its exit code, why it failed, and whether it diverged."""
    try:
        with RunFolder(folder) as run:
            result = execute(job, run, session)
        reason = result.stopped if result.diverged else ""
        return exit_code(result), reason, result.diverged
    except OSError as error:
        return 1, f"{error.filename or folder}: {why(error)}", False
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        return 1, first_line(error), isinstance(error, DivergedError)


def _slower(config: CaptureConfig) -> CaptureConfig:
    rate = SLOWER * config.recipe()[0]
    return dataclasses.replace(config, train=dataclasses.replace(config.train, learning_rate=rate))


def _forget(folder: Path) -> None:
    """Removes a run of other files; its checkpoints last, by which a next start knows it."""
    for name in _MADE:
        path = folder / name
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _make(workdir: Path) -> None:
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{workdir}: cannot be made: {why(error)}") from None
