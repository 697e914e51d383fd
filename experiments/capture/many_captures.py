"""Makes many captures with one command: all checks first, then one run after the other.

Each capture is a run in a folder of its own, just as if it were trained alone, with its own split,
latency, level, best parameters and end. Where a device wants more work than one capture has, waves
of them go first (wave.py). Several processes may work in one folder: each locks the next capture
that no other has before it touches it.
"""

import contextlib
import shutil
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import jax
from absl import logging

from experiments.capture.config import CaptureConfig
from experiments.capture.examination import Examined, attempts
from experiments.capture.job import CaptureJob
from experiments.capture.members import members_of
from experiments.capture.outcomes import Outcomes
from experiments.capture.overview import PAGE, TABLE
from experiments.capture.page import CaptureReport
from experiments.capture.preview import write_preview
from experiments.capture.wave import FOLDER as WAVES
from experiments.capture.wave import Wave, WaveJob, begun, groups_of, has_own_checkpoint
from experiments.run.folder import RunFolder
from experiments.run.job import execute, exit_code
from experiments.run.lock import LockedError
from experiments.terminal.exit_codes import AGAIN, INTERRUPTED, PARTIAL
from wf_jax.errors import UserError, first_line, in_one_line, why
from wf_jax.platforms import choices
from wf_jax.plurals import counted
from wf_jax.training.loop import DivergedError
from wf_jax.training.settings import Session

CLEAR_EVERY = 32  # captures; programs hold memory maps, of which a process has a limited number


class MemberJob(CaptureJob):
    """A capture of many: its report is shown in the overview too."""

    def show(self, folder: Path, report: CaptureReport) -> None:
        """Writes the pictures and clips of the overview."""
        write_preview(folder, report)


def train_captures(config: CaptureConfig, workdir: Path, session: Session) -> int:
    """Makes all captures that a config names, in folders below `workdir`.

    Returns:
        0 if all are made; PARTIAL if some are not, or another process has them; 1 if all failed;
        AGAIN or INTERRUPTED after a signal: the same command goes on with the rest.

    Raises:
        UserError: the folder or the manifest cannot be used, or options exclude each other; there
            are several processes.
    """
    if jax.process_count() > 1:
        raise UserError(
            "--distributed: many captures are not split over processes; start the same command "
            "with --distributed=none in each, and each takes what no other has"
        )
    at_once = _at_once(config, session)
    outcomes = Outcomes(_made(workdir), members_of(config))
    found, batch = outcomes.examine(), Batch(config, outcomes, session)
    together = batch.train_together(found, at_once) if at_once > 1 else 0
    return together or batch.train_each() or _finish(outcomes)


class Batch:
    """The training of captures, together and alone."""

    def __init__(self, config: CaptureConfig, outcomes: Outcomes, session: Session):
        """Takes the config of all, and how far each is."""
        self._config, self._outcomes, self._session = config, outcomes, session
        self._workdir, self._members = outcomes.workdir, outcomes.members
        self._slowed: set[str] = set()  # captures that diverged among others
        self._trained = 0

    def train_together(self, found: Sequence[Examined], at_once: int) -> int:
        """Trains waves of captures; what comes to nothing there waits to be trained alone.

        Returns:
            AGAIN or INTERRUPTED after a signal, else 0.
        """
        tried: set[str] = set()
        for wave in begun(self._workdir, found):
            with contextlib.suppress(LockedError), RunFolder(wave.folder) as folder:
                folder.lock()
                tried.update(wave.names)
                refused = self._outcomes.names("refused")
                names = deque(name for name in wave.names if name not in refused)
                with self._outcomes.taken(names, len(names)) as runs:
                    if code := self._train_wave(wave, runs, folder):
                        return code
        left = [one for one in found if one.state == "ready" and one.member.name not in tried]
        for size, group in groups_of(self._workdir, left, at_once):
            names = deque(one.member.name for one in group)
            while names:
                with self._outcomes.taken(names, size) as runs:
                    if len(runs) > 1 and (code := self._new_wave(runs, size)):
                        return code
        return 0

    def train_each(self) -> int:
        """Trains all that wait, then what other processes had and have left.

        Returns:
            AGAIN or INTERRUPTED after a signal, else 0.
        """
        for state in ("waiting", "elsewhere"):
            for name in self._outcomes.names(state):
                if code := self._train(name):
                    return code
        return 0

    def _new_wave(self, runs: dict[str, RunFolder], size: int) -> int:
        for run in runs.values():
            run.restart()
        wave = Wave.of(self._workdir, list(runs), size)
        with RunFolder(wave.folder) as folder:
            return self._train_wave(wave, runs, folder)

    def _train_wave(self, wave: Wave, runs: dict[str, RunFolder], folder: RunFolder) -> int:
        """Trains the captures of locked folders together; returns the exit code of a signal, or 0.

        The wave's checkpoints stay until none of its captures needs them. Captures that are not
        among `runs` leave it, since their places are trained on the audio of others.
        """
        wave = wave.only(runs) if runs else wave
        if runs and (code := self._try_wave(wave, runs, folder)):
            print("they were interrupted; the same command goes on with them", flush=True)
            return code
        unfinished = set(wave.names) - self._slowed - set(self._outcomes.names("finished"))
        if all(has_own_checkpoint(self._workdir / name) for name in unfinished):
            shutil.rmtree(wave.folder, ignore_errors=True)
        return 0

    def _try_wave(self, wave: Wave, runs: dict[str, RunFolder], folder: RunFolder) -> int:
        print(f"together: {', '.join(runs)}", flush=True)
        jobs = {name: (MemberJob(self._members[name].config), run) for name, run in runs.items()}
        job = WaveJob(self._config, wave, jobs)
        try:
            code = exit_code(execute(job, folder, self._session))
            if code in (AGAIN, INTERRUPTED):
                return code
        except DivergedError:
            job.diverged = set(runs)
        except Exception as error:
            logging.debug("a wave failed", exc_info=True)
            print(f"together they failed: {in_one_line(error)}", flush=True)
        self._slowed |= job.diverged
        self._count(len(runs))
        for name, run in runs.items():
            with self._outcomes.noting(name):
                self._outcomes.take(name, run)  # which notes what is finished
        return 0

    def _train(self, name: str) -> int:
        """Trains one capture, unless another process does; returns the exit code of a signal."""
        number = f"{list(self._members).index(name) + 1} of {len(self._members)}"
        with self._outcomes.noting(name), RunFolder(self._workdir / name) as run:
            if not self._outcomes.take(name, run):
                return 0
            print(f"{number}: {name}", flush=True)
            tries = attempts(self._members[name].config)[name in self._slowed :]
            self._count(1)
            code, reason = _restarted(tries, run, self._session)
            if code in (AGAIN, INTERRUPTED):
                print(f"{name} was interrupted; the same command goes on with it", flush=True)
                self._outcomes.note(name, "waiting")
                return code
            if reason:
                self._outcomes.fail(name, reason)
            else:
                self._outcomes.note(name, "finished")
        return 0

    def _count(self, trained: int) -> None:
        """Counts captures; drops compiled programs now and then."""
        before, self._trained = self._trained, self._trained + trained
        if before // CLEAR_EVERY < self._trained // CLEAR_EVERY:
            jax.clear_caches()


def _at_once(config: CaptureConfig, session: Session) -> int:
    """Returns how many captures are trained together."""
    said = config.train.captures_at_once
    if not (config.init_from or session.initial):
        return said or choices().captures
    if said > 1:
        raise UserError(
            f"--config.train.captures_at_once={said}: captures are fine-tuned one after the other; "
            "leave it out, or what they begin from"
        )
    return 1


def _restarted(tries: Sequence[CaptureConfig], run: RunFolder, session: Session) -> tuple[int, str]:
    """Trains one capture; where it diverges, again from its last checkpoint with the next config.

    Returns:
        The exit code, and why it diverged in the end.

    Raises:
        UserError: it cannot be trained.
    """
    try:
        result = execute(MemberJob(tries[0]), run, session)
        if not result.diverged:
            return exit_code(result), ""
        reason = result.stopped
    except DivergedError as error:  # with nothing to keep
        reason = first_line(error)
    if not tries[1:]:
        return 1, reason
    rate = tries[1].train.learning_rate
    print(f"{reason.partition(';')[0]}; again at a rate of {rate:.2g}", flush=True)
    return _restarted(tries[1:], run, session)


def _finish(outcomes: Outcomes) -> int:
    """Says how it ended; returns the exit code."""
    with contextlib.suppress(OSError):
        (outcomes.workdir / WAVES).rmdir()  # if it is empty
    count, done = len(outcomes.members), len(outcomes.names("finished"))
    failed, elsewhere = len(outcomes.names("refused", "failed")), len(outcomes.names("elsewhere"))
    print(f"\n{done} of {counted(count, 'capture')} made, {failed} failed", flush=True)
    if elsewhere:
        print(f"{elsewhere} are trained by another process; the same command looks again")
    print(f"table:    {outcomes.workdir / TABLE}")
    print(f"overview: {outcomes.workdir / PAGE}", flush=True)
    return 0 if done == count else 1 if failed == count else PARTIAL


def _made(workdir: Path) -> Path:
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{workdir}: cannot be made: {why(error)}") from None
    return workdir
