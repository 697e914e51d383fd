"""Trainings as processes of their own, which outlive the page and the server.

A job is the folder of a run with two more files: studio.json, which says how it is started and what
it is called, and log.txt. Everything else is read from the run. Its process holds a lock on the
file "process" as long as it lives, whoever started it.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import experiments
from experiments.run.config import RunConfig, flat_config
from experiments.run.lock import take
from experiments.run.reading import Run, is_run
from experiments.studio.about import ABOUT, check_start, read_about, write_about
from experiments.studio.captures import flags_of
from experiments.studio.states import (
    HELD,
    LIVE,
    LOG,
    describe,
    is_alive,
    mentions,
    process_of,
    read,
)
from experiments.terminal.config_names import load_config
from wf_jax.errors import UserError, printable, short, why

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

DELETED = ".wf_jax-deleted-"


class Jobs:
    """The runs of a folder; one trains at a time, the others wait for it."""

    def __init__(self, folder: Path):
        """Makes the folder if it is missing; removes what a killed server was deleting.

        Raises:
            UserError: the system has no locks of files.
        """
        if fcntl is None:
            raise UserError("Studio needs locks of files, which Linux and macOS have")
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{DELETED}*"):
            shutil.rmtree(left, ignore_errors=True)
        self._children: list[subprocess.Popen] = []
        self._lock = threading.Lock()

    def add(self, config: str, flags: Sequence[str], name: str, files: dict[str, str]) -> str:
        """Adds a job, which is started when none trains; returns its id.

        Args:
            config: name of the config.
            flags: its --config flags.
            name: for people.
            files: names of its files, for people, by what they are to the job.
        """
        id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        (self._folder / id).mkdir()
        about = {"name": name, "config": config, "flags": list(flags), "files": files}
        now = {"created": time.time(), "since": time.time(), "waiting": True}
        write_about(self._folder / id, about | now)
        self.advance()
        return id

    def advance(self) -> None:
        """Starts the job that has waited longest, if none trains; one that cannot start fails."""
        with self._lock:
            self._children = [child for child in self._children if child.poll() is None]
            waiting = [(about["since"], f) for f, about in self._begun() if about.get("waiting")]
            if waiting and any(is_alive(folder) for folder in self.folders().values()):
                return
            for _, folder in sorted(waiting):
                try:
                    return self._start(folder)
                except BlockingIOError:  # another Studio of this folder has started it meanwhile
                    return
                except OSError as error:
                    with contextlib.suppress(OSError):  # it waits on, and the next one is tried
                        fault = f"could not be started: {why(error)}"
                        write_about(folder, read_about(folder) | {"waiting": False, "fault": fault})

    def _begun(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Yields the folders that have a studio.json, and what it says; no damaged ones."""
        for folder in self.folders().values():
            with contextlib.suppress(UserError):
                yield folder, read_about(folder)

    def _start(self, folder: Path) -> None:
        about = read_about(folder)
        command = [sys.executable, "-m", "experiments.train", "--distributed=none"]
        command += [f"--config={about['config']}", f"--workdir={folder}", *about["flags"]]
        with (folder / HELD).open("a") as held, (folder / LOG).open("ab") as log:
            take(held)
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=Path(experiments.__file__).parents[1],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                pass_fds=[held.fileno()],
            )
        self._children.append(child)
        changes = {"process": child.pid, "waiting": False, "stopped": False}
        write_about(folder, about | changes)

    def folders(self) -> dict[str, Path]:
        """Returns the folders of all runs right here, by name; those of a terminal too."""
        places = (path for path in self._folder.iterdir() if not path.name.startswith("."))
        return {path.name: path for path in places if (path / ABOUT).is_file() or is_run(path)}

    def folder(self, id: str) -> Path:
        """Returns the folder of a run.

        Raises:
            UserError: there is none of this id.
        """
        found = self.folders().get(id)
        if found is None:
            raise UserError(f"{printable(short(id, 40))}: no run of this id; it may be deleted")
        return found

    def state(self, id: str) -> dict[str, Any]:
        """Returns what is known of a run, as JSON has it.

        Raises:
            UserError: there is none of this id.
        """
        return describe(id, self.folder(id))

    def all(self) -> Iterator[dict[str, Any]]:
        """Yields the states of all runs, the newest first, without curves and logs."""
        states = []
        for id, folder in self.folders().items():
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                state = describe(id, folder)
                states.append({k: v for k, v in state.items() if k not in ("records", "log")})
        yield from sorted(states, key=lambda state: -state["created"])

    def user_of(self, file: str) -> str | None:
        """Returns the name of a run that trains or waits with a file of this id; None for none."""
        for id, folder in self.folders().items():
            if mentions(folder, file) and (state := describe(id, folder))["state"] in LIVE:
                return state["name"]
        return None

    def stop(self, id: str) -> None:
        """Stops a run as Ctrl-C does, so that it exports the best so far; or its waiting.

        Raises:
            UserError: it does not train, or not on this machine.
        """
        folder = self.folder(id)
        with self._lock:
            about = read_about(folder)
            process = None if about.get("waiting") else process_of(folder, about)
            if process is None and not about.get("waiting"):
                name = about.get("name", id)
                raise UserError(f"{name}: does not train, so there is nothing to stop")
            write_about(folder, about | {"waiting": False, "stopped": True})
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGINT)

    def go_on(self, id: str, minutes: float, steps: int) -> None:
        """Continues a run: so many more minutes or steps; of none, with the rest of its budget.

        Raises:
            UserError: it trains already, or cannot go on.
        """
        folder = self.folder(id)
        with self._lock:
            about, run = read_about(folder), read(folder)
            name = about.get("name", id)
            if is_alive(folder) or about.get("waiting"):
                raise UserError(f"{name}: trains or waits already; stop it first")
            if run is None and not about.get("flags"):
                raise UserError(f"{name}: nothing tells how it was started; use the terminal")
            about["config"] = str((run and run.config.get("source")) or about.get("config"))
            check_start(about["config"], [] if run else about["flags"])
            if run is not None:
                about["flags"] = _flags(about["config"], run, minutes, steps)
            about.setdefault("created", folder.stat().st_mtime)
            about |= {"waiting": True, "since": time.time(), "fault": ""}
            write_about(folder, about)
        self.advance()

    def forget(self, id: str) -> None:
        """Deletes a run.

        Raises:
            UserError: it trains.
        """
        folder, aside = self.folder(id), self._folder / f"{DELETED}{secrets.token_hex(8)}"
        with self._lock:
            if is_alive(folder):
                raise UserError(f"{describe(id, folder)['name']}: trains; stop it first")
            folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _flags(config: str, run: Run, minutes: float, steps: int) -> list[str]:
    """Returns the flags that continue a run of this config; raises UserError if it is unknown."""
    try:
        usual = load_config(config)
    except ValueError as error:
        raise UserError(f"--config={config}: {error}") from None
    if not isinstance(usual, RunConfig):
        raise UserError(f"--config={config}: no training's; start it in the terminal")
    given = {**run.config}
    if minutes:
        given["train.minutes"] = run.minutes + minutes
    elif steps:
        given |= {"train.minutes": 0.0, "train.steps": run.step + steps}
    known = flat_config(usual)
    return flags_of(usual, {k: v for k, v in given.items() if k in known and v != known[k]})
