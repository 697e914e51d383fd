"""The state of each of many captures, and the locks on those that this process trains."""

import contextlib
import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import logging

from experiments.capture.examination import Examined, examine_all, is_changed, is_done
from experiments.capture.job import CaptureJob
from experiments.capture.members import Member
from experiments.capture.overview import Outcome, Overview
from experiments.run.decoration import showing
from experiments.run.folder import RunFolder
from experiments.run.lock import LockedError
from wf_jax.errors import in_one_line
from wf_jax.plurals import counted


class Outcomes:
    """The captures of a folder by name; the overview shows what is noted of them.

    Attributes:
        workdir: the folder above those of the captures.
        members: the captures, in order.
    """

    def __init__(self, workdir: Path, members: Sequence[Member]):
        """Takes the captures; nothing is known of them yet."""
        self.workdir, self.members = workdir, {member.name: member for member in members}
        self._overview, self._found = Overview(workdir), dict[str, Outcome]()
        for name in self.members:
            self._set(name, Outcome("waiting"))

    def examine(self) -> list[Examined]:
        """Checks all files, prints the table, and returns what was found."""
        print(f"checks of {counted(len(self.members), 'capture')}:", flush=True)
        width = max(map(len, self.members))
        found = []
        for examined in examine_all(list(self.members.values()), self.workdir):
            print(examined.line(width), flush=True)
            found.append(examined)
            self._set(examined.member.name, _outcome(examined))
        self._write()
        states = [examined.state for examined in found]
        print(f"{states.count('ready')} to be trained, {states.count('refused')} refused\n")
        return found

    def names(self, *states: str) -> list[str]:
        """Lists the captures that are in one of these states."""
        return [name for name, outcome in self._found.items() if outcome.state in states]

    def note(self, name: str, state: str, reason: str = "") -> None:
        """Notes the state of a capture, and brings table and page up to date."""
        self._set(name, dataclasses.replace(self._found[name], state=state, reason=reason))
        self._write()

    @contextlib.contextmanager
    def noting(self, name: str) -> Iterator[None]:
        """Notes that another process has a capture, or why it fails; the others go on."""
        try:
            yield
        except LockedError:
            print(f"{name} is trained by another process", flush=True)
            self.note(name, "elsewhere")
        except Exception as error:
            logging.debug("%s failed", name, exc_info=True)
            self.fail(name, in_one_line(error))

    def fail(self, name: str, reason: str) -> None:
        """Says and notes why a capture failed."""
        print(f"{name} failed: {reason}", flush=True)
        self.note(name, "failed", reason)

    def take(self, name: str, run: RunFolder) -> bool:
        """Locks the folder of a capture; returns whether there is something to train.

        A run of other files is begun anew; its model stays until there is another.

        Raises:
            LockedError: another process has it.
            UserError: one of its files cannot be read, or its folder cannot be made.
            OSError: its old checkpoints cannot be removed.
        """
        run.lock()
        member = self.members[name]
        inputs = CaptureJob(member.config).inputs()
        if is_done(run.local, member, inputs):
            self.note(name, "finished")
            return False
        if is_changed(run.local, inputs):
            run.restart()
        return True

    @contextlib.contextmanager
    def taken(self, names: deque[str], most: int) -> Iterator[dict[str, RunFolder]]:
        """Takes captures off `names`, and holds `most` of them that are free and not done."""
        runs: dict[str, RunFolder] = {}
        with contextlib.ExitStack() as stack:
            while names and len(runs) < most:
                name = names.popleft()
                with self.noting(name), contextlib.ExitStack() as own:
                    run = own.enter_context(RunFolder(self.workdir / name))
                    if self.take(name, run):
                        runs[name] = run
                        stack.push(own.pop_all())
            yield runs

    def _set(self, name: str, outcome: Outcome) -> None:
        self._found[name] = outcome
        self._overview.note(name, outcome)

    def _write(self) -> None:
        """Writes table and page; where that fails, the captures go on."""
        with showing(self.workdir):
            self._overview.write()


def _outcome(examined: Examined) -> Outcome:
    state = "waiting" if examined.state == "ready" else examined.state
    reason = examined.reason if examined.state == "refused" else ""
    return Outcome(state, reason, examined.warnings)
