"""Reads how far a run is from its folder, and whether a process trains in it."""

import contextlib
import os
import re
from pathlib import Path
from typing import Any

from experiments.run.json_files import read_table
from experiments.run.lock import LockedError, check_unlocked
from experiments.run.reading import Run, number, read_run
from experiments.studio.about import ABOUT, is_process, read_about
from wf_jax.bounded_files import LARGEST_CONFIG, read_bounded
from wf_jax.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOG, HELD = "log.txt", "process"
RUNNING, WAITING, FINISHED, STOPPED = "running", "waiting", "finished", "stopped"
FAILED, INTERRUPTED = "failed", "interrupted"
LIVE = (RUNNING, WAITING)
LONGEST_LOG = 20_000  # bytes that are shown


def describe(id: str, folder: Path) -> dict[str, Any]:
    """Returns what is known of a run, as JSON has it; one whose files are damaged has failed."""
    about, run = {}, None
    try:
        about = read_about(folder)
        run = read(folder)
        fault = about.get("fault", "")
    except UserError as error:
        fault = str(error)
    state = FAILED if fault and not is_alive(folder) else _state(folder, about, run)
    said = _log(folder)
    name = about.get("name") or (run and run.config.get("metadata.name")) or id
    results = [n for n in ("model.nam", "report.html") if (folder / n).is_file()]
    speaks = (folder / "model" / "config.json").is_file()
    return {
        "id": id,
        "name": str(name),
        "state": state,
        "task": run.task if run else "capture",
        "created": about.get("created") or folder.stat().st_mtime,
        "files": about.get("files", {}),
        "step": run.step if run else 0,
        "minutes": run.minutes if run else 0.0,
        "total_steps": run and run.total_steps,
        "total_minutes": run and run.total_minutes,
        "speed": run and run.speed,
        "records": [_finite(record) for record in run.records] if run else [],
        "best": _best(run) if run else {},
        "log": said,
        "error": fault or (_last_line(said) if state == FAILED else ""),
        "results": results,
        "samples": sorted(p.name for p in (folder / "samples").glob("*.wav")),
        "speaks": speaks,
        "kept": speaks or "model.nam" in results,
    }


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    """Returns a record as JSON has it, which knows no infinite numbers."""
    return {k: number(v) if isinstance(v, float) else v for k, v in record.items()}


def _best(run: Run) -> dict[str, float | None]:
    metrics = {key for record in run.records for key in record if key.startswith(("esr/", "ll/"))}
    found = {metric: run.best(metric, higher=metric.startswith("ll/")) for metric in metrics}
    return {metric: best and best.value for metric, best in found.items()}


def read(folder: Path) -> Run | None:
    """Reads a run; None before it has a config."""
    return read_run(folder) if (folder / "config.json").is_file() else None


def mentions(folder: Path, word: str) -> bool:
    """Returns whether a run was started with options that hold a word."""
    for name in (ABOUT, "config.json"):
        with contextlib.suppress(OSError, UserError):
            if word.encode() in read_bounded(folder / name, LARGEST_CONFIG):
                return True
    return False


def _state(folder: Path, about: dict[str, Any], run: Run | None) -> str:
    if is_alive(folder):
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


def is_alive(folder: Path) -> bool:
    """Returns whether a process trains in a folder, started here or in a terminal."""
    try:
        check_unlocked(folder)
    except LockedError:
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


def process_of(folder: Path, about: dict[str, Any]) -> int | None:
    """Returns the number of the process that trains in a folder, None if there is none here."""
    if _is_held(folder):
        return about.get("process")
    try:
        check_unlocked(folder)
    except LockedError:
        owner = read_table(folder / "lock")
        if owner.get("host") == os.uname().nodename and is_process(owner.get("process")):
            return owner["process"]
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
