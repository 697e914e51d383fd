"""Trainings as processes of their own, which outlive the page and the server.

A job is the folder of a run with two more files: studio.json, which says how it is started and what
it is called, and log.txt. Everything else is read from the run. Its process holds a lock on the
file "process" as long as it lives, whoever started it.
"""

import contextlib
import os
import re
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
from experiments.run.config import flat_config
from experiments.run.json_files import read_table, write_json
from experiments.run.lock import check_unlocked
from experiments.run.reading import Run, find_runs, read_run
from experiments.studio.captures import flags_of
from experiments.terminal.config_names import load_config
from wf_jax.errors import UserError, printable, short
from wf_jax.json_values import parse_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

ABOUT, LOG, HELD = "studio.json", "log.txt", "process"
RUNNING, WAITING, FINISHED, STOPPED = "running", "waiting", "finished", "stopped"
FAILED, INTERRUPTED = "failed", "interrupted"
DELETED = ".wf_jax-deleted-"
LONGEST_LOG = 20_000  # bytes that are shown


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
        write_json(self._folder / id / ABOUT, about | now)
        self.advance()
        return id

    def advance(self) -> None:
        """Starts the job that has waited longest, if none trains."""
        with self._lock:
            self._children = [child for child in self._children if child.poll() is None]
            folders = self.folders().values()
            if any(_is_alive(folder) for folder in folders):
                return
            waiting = [f for f in folders if read_table(f / ABOUT).get("waiting")]
            if waiting:
                self._start(min(waiting, key=lambda f: read_table(f / ABOUT)["since"]))

    def _start(self, folder: Path) -> None:
        about = read_table(folder / ABOUT)
        command = [sys.executable, "-m", "experiments.train", "--distributed=none"]
        command += [f"--config={about['config']}", f"--workdir={folder}", *about["flags"]]
        with (folder / HELD).open("a") as held, (folder / LOG).open("ab") as log:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
        write_json(folder / ABOUT, about | changes)

    def folders(self) -> dict[str, Path]:
        """Returns the folders of all runs, by id, also of those that a terminal made here."""
        found = {path.parent.name: path.parent for path in self._folder.glob(f"*/{ABOUT}")}
        with contextlib.suppress(UserError):  # there is none yet
            found |= {path.name: path for path in find_runs(self._folder)}
        return found

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
            UserError: there is none of this id, or its files are damaged.
        """
        folder = self.folder(id)
        about = read_table(folder / ABOUT)
        run = _read(folder)
        state = _state(folder, about, run)
        said = _log(folder)
        name = about.get("name") or (run and run.config.get("metadata.name")) or id
        known: dict[str, Any] = {
            "id": id,
            "name": name,
            "state": state,
            "task": run.task if run else "capture",
            "created": about.get("created") or folder.stat().st_mtime,
            "files": about.get("files", {}),
            "step": run.step if run else 0,
            "minutes": run.minutes if run else 0.0,
            "total_steps": run and run.total_steps,
            "total_minutes": run and run.total_minutes,
            "speed": run and run.speed,
            "records": run.records if run else [],
            "best": {},
            "log": said,
            "error": _last_line(said) if state == FAILED else "",
            "results": [n for n in ("model.nam", "report.html") if (folder / n).is_file()],
            "samples": sorted(p.name for p in (folder / "samples").glob("*.wav")),
            "speaks": (folder / "model" / "config.json").is_file(),
        }
        for metric in {key for record in known["records"] for key in record}:
            if not metric.startswith(("esr/", "ll/")):
                continue
            best = run.best(metric, higher=metric.startswith("ll/"))
            known["best"][metric] = best and best.value
        return known

    def all(self) -> Iterator[dict[str, Any]]:
        """Yields the states of all runs, the newest first, without curves and logs."""
        states = []
        for id in self.folders():
            try:
                state = self.state(id)
            except UserError as error:
                state = {"id": id, "name": id, "state": FAILED, "error": str(error), "created": 0.0}
            states.append({k: v for k, v in state.items() if k not in ("records", "log")})
        yield from sorted(states, key=lambda state: -state["created"])

    def stop(self, id: str) -> None:
        """Stops a run as Ctrl-C does, so that it exports the best so far; or its waiting.

        Raises:
            UserError: it does not train, or not on this machine.
        """
        folder = self.folder(id)
        about = read_table(folder / ABOUT)
        if about.get("waiting"):
            write_json(folder / ABOUT, about | {"waiting": False, "stopped": True})
            return
        process = _process(folder, about)
        if process is None:
            raise UserError(f"{about.get('name', id)}: does not train, so there is nothing to stop")
        write_json(folder / ABOUT, about | {"stopped": True})
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGINT)

    def go_on(self, id: str, minutes: float, steps: int) -> None:
        """Continues a run: so many more minutes or steps; of none, with the rest of its budget.

        Raises:
            UserError: it trains already, or cannot go on.
        """
        folder = self.folder(id)
        about, run = read_table(folder / ABOUT), _read(folder)
        name = about.get("name", id)
        if _is_alive(folder) or about.get("waiting"):
            raise UserError(f"{name}: trains or waits already; stop it first")
        if run is not None:
            about["config"] = str(run.config.get("source") or about.get("config"))
            given = {**run.config}
            if minutes:
                given["train.minutes"] = run.minutes + minutes
            elif steps:
                given |= {"train.minutes": 0.0, "train.steps": run.step + steps}
            usual = load_config(about["config"])
            known = flat_config(usual)
            changed = {k: v for k, v in given.items() if k in known and v != known[k]}
            about["flags"] = flags_of(usual, changed)
        elif not about.get("flags"):
            raise UserError(f"{name}: nothing tells how it was started; start it in the terminal")
        about.setdefault("name", name)
        about.setdefault("created", folder.stat().st_mtime)
        write_json(folder / ABOUT, about | {"waiting": True, "since": time.time()})
        self.advance()

    def forget(self, id: str) -> None:
        """Deletes a run.

        Raises:
            UserError: it trains.
        """
        folder = self.folder(id)
        if _is_alive(folder):
            raise UserError(f"{read_table(folder / ABOUT).get('name', id)}: trains; stop it first")
        aside = self._folder / f"{DELETED}{secrets.token_hex(8)}"
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _read(folder: Path) -> Run | None:
    return read_run(folder) if (folder / "config.json").is_file() else None


def _state(folder: Path, about: dict[str, Any], run: Run | None) -> str:
    if _is_alive(folder):
        return RUNNING
    if about.get("waiting"):
        return WAITING
    if run and run.finished:
        return FINISHED
    if run and not run.diverged and (folder / "metrics.json").is_file():
        return STOPPED
    if about.get("stopped"):
        return STOPPED
    return INTERRUPTED if run and run.records and not run.diverged else FAILED


def _is_alive(folder: Path) -> bool:
    """Returns whether a process trains in a folder, started here or in a terminal."""
    try:
        check_unlocked(folder)
    except UserError:
        return True
    return _is_held(folder)


def _is_held(folder: Path) -> bool:
    try:
        with (folder / HELD).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _process(folder: Path, about: dict[str, Any]) -> int | None:
    """Returns the number of the process that trains in a folder, None if there is none here."""
    if _is_held(folder):
        return about.get("process")
    try:
        check_unlocked(folder)
    except UserError:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            owner = parse_json((folder / "lock").read_text())
            if owner["host"] == os.uname().nodename:
                return int(owner["process"])
    return None


def _log(folder: Path) -> str:
    """Returns the end of a log."""
    try:
        with (folder / LOG).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_LOG))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _last_line(log: str) -> str:
    lines = [line.strip() for line in re.split(r"[\r\n]+", log) if line.strip()]
    return lines[-1] if lines else "it ended without a word; see the terminal"
