"""Studio's trainings as folders: what is listed, what may be started, and what damaged ones do."""

import asyncio
import fcntl
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from experiments.run.lock import PATIENCE, FolderLock, take
from experiments.studio import jobs as module
from experiments.studio import run_requests
from experiments.studio.about import ABOUT
from experiments.studio.files import Files
from experiments.studio.jobs import DELETED, Jobs
from experiments.studio.run_requests import RunRequests
from experiments.studio.sources import Sources
from experiments.studio.states import HELD
from experiments.studio.turns import Turns
from wf_jax.errors import UserError

WAITING = {
    "name": "ü",
    "config": "a2_capture",
    "flags": ["--config.x=1"],
    "waiting": True,
    "since": 1.0,
}


class Child:
    """A process that was only asked for."""

    pid = 2**22 + 1  # of none

    def poll(self) -> int:
        return 0


@pytest.fixture
def started(monkeypatch):
    """The commands of the trainings that are started, which none is."""
    commands: list[list[str]] = []

    def start(command: list[str], **options: Any) -> Child:
        commands.append(command)
        return Child()

    monkeypatch.setattr(module.subprocess, "Popen", start)
    return commands


def begin(folder: Path, about: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / ABOUT).write_text(about if isinstance(about, str) else json.dumps(about))
    return folder


def run(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"task": "capture", **config}))
    return folder


def workdirs(commands: list[list[str]]) -> list[str]:
    return [Path(word).name for command in commands for word in command if "--workdir" in word]


def test_the_longest_waiting_is_started(tmp_path, started):
    for name, since in (("b", 2.0), ("a", 3.0), ("c", 1.0)):
        begin(tmp_path / name, WAITING | {"since": since})
    jobs = Jobs(tmp_path)
    for _ in range(4):
        jobs.advance()
    assert workdirs(started) == ["c", "b", "a"]


def test_nothing_is_started_while_one_trains_here_or_in_a_terminal(tmp_path, started):
    begin(tmp_path / "a", WAITING)
    lock = FolderLock(run(tmp_path / "of a terminal"))
    Jobs(tmp_path).advance()
    assert not started
    lock.release()
    Jobs(tmp_path).advance()
    assert len(started) == 1


@pytest.fixture
def program(tmp_path):
    """A config file of a stranger, and what it makes when it is run."""
    made = tmp_path / "it was run"
    path = tmp_path / "program.py"
    path.write_text(f"open({str(made)!r}, 'w')\ndef get_config():\n    return None\n")
    return path, made


def test_programs_of_strangers_are_not_run(tmp_path, started, program):
    path, made = program
    jobs = Jobs(tmp_path / "runs")
    run(tmp_path / "runs" / "a", source=str(path))
    begin(tmp_path / "runs" / "b", {"name": "b", "config": str(path), "flags": ["--config.x=1"]})
    begin(tmp_path / "runs" / "c", WAITING | {"config": str(path)})
    for id in ("a", "b"):
        with pytest.raises(UserError, match=r"--config=.*; continue it in the terminal"):
            jobs.go_on(id, 1.0, 0)
    jobs.advance()
    assert not made.exists()
    assert not started
    assert jobs.state("c")["state"] == "failed"
    assert "continue it in the terminal" in jobs.state("c")["error"]


@pytest.mark.parametrize(
    "source", ["a2_capture:none", "likelihood:tiny", "none", "", ["x"], "../x"]
)
def test_runs_of_unknown_configs_are_told(tmp_path, started, source):
    run(tmp_path / "a", source=source)
    with pytest.raises(UserError, match="--config="):
        Jobs(tmp_path).go_on("a", 1.0, 0)
    assert not started


@pytest.mark.parametrize(
    "flag", ["--sweep=x", "--workdir=/", "--config=x.py", "x", "--configx.y=1"]
)
def test_only_options_of_the_config_are_flags(tmp_path, started, flag):
    jobs = Jobs(tmp_path)
    begin(tmp_path / "a", WAITING | {"flags": ["--config.train.steps=1", flag]})
    begin(tmp_path / "b", WAITING | {"flags": [flag], "waiting": False})
    jobs.advance()
    assert "continue it in the terminal" in jobs.state("a")["error"]
    with pytest.raises(UserError, match="continue it in the terminal"):
        jobs.go_on("b", 0.0, 0)
    assert not started


@pytest.mark.parametrize(
    "about",
    [
        "",
        "{",
        "[]",
        {"waiting": True},
        WAITING | {"since": "now"},
        WAITING | {"since": None},
        WAITING | {"flags": [1]},
        WAITING | {"flags": None},
        WAITING | {"config": 1},
        WAITING | {"name": ["x"]},
        '{"created": Infinity}',
        {"process": -1},
        {"process": 0},
        {"process": True},
        {"process": "1"},
        {"files": []},
    ],
)
def test_a_damaged_one_stops_no_other(tmp_path, started, about):
    jobs = Jobs(tmp_path)
    begin(tmp_path / "damaged", about)
    begin(tmp_path / "other", WAITING | {"since": 2.0})
    jobs.advance()
    assert workdirs(started) == ["other"]
    state = next(state for state in jobs.all() if state["id"] == "damaged")
    assert state["state"] == "failed"
    assert f"{ABOUT}: damaged" in state["error"]
    json.dumps([*jobs.all(), jobs.state("damaged")], allow_nan=False)
    for act in (jobs.stop, lambda id: jobs.go_on(id, 1.0, 0)):
        with pytest.raises(UserError, match="damaged"):
            act("damaged")
    jobs.forget("damaged")
    assert list(jobs.folders()) == ["other"]


def test_one_that_cannot_be_started_says_why_and_the_next_one_is(tmp_path, started):
    (begin(tmp_path / "a", WAITING) / "log.txt").mkdir()
    begin(tmp_path / "b", WAITING | {"since": 2.0})
    jobs = Jobs(tmp_path)
    jobs.advance()
    assert workdirs(started) == ["b"]
    assert jobs.state("a")["state"] == "failed"
    assert "could not be started: Is a directory" in jobs.state("a")["error"]
    (tmp_path / "a" / "log.txt").rmdir()
    jobs.go_on("a", 0.0, 0)
    assert workdirs(started) == ["b", "a"]
    assert "could not" not in jobs.state("a")["error"]


def test_measured_values_that_are_no_numbers_are_none(tmp_path):
    folder = run(tmp_path / "a")
    (folder / "metrics.jsonl").write_text('{"step": 2, "esr/nano": NaN, "minutes": Infinity}\n')
    assert Jobs(tmp_path).state("a")["records"] == [{"step": 2, "esr/nano": None, "minutes": None}]


def test_a_stop_before_the_first_evaluation_keeps_nothing(tmp_path):
    folder = begin(tmp_path / "a", {"stopped": True})
    state = Jobs(tmp_path).state("a")
    assert (state["state"], state["kept"]) == ("stopped", False)
    (folder / "model.nam").write_text("{}")
    assert Jobs(tmp_path).state("a")["kept"]
    (folder / "model.nam").unlink()
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")  # of a vocoder
    assert Jobs(tmp_path).state("a")["kept"]


def test_runs_are_those_right_here(tmp_path, started):
    """Folders of several runs, and what is being deleted, are none."""
    for name in ("rig1", "rig2"):
        run(tmp_path / name / "lead")
    begin(tmp_path / f"{DELETED}1" / "x", WAITING)
    begin(tmp_path / ".hidden", WAITING)
    jobs = Jobs(tmp_path)
    begin(tmp_path / f"{DELETED}2", WAITING)
    jobs.advance()
    assert not jobs.folders()
    assert not started
    for id in ("lead", "rig1/lead", "rig1", ".hidden", f"{DELETED}2", "..", "."):
        with pytest.raises(UserError, match="no run of this id"):
            jobs.forget(id)
    run(tmp_path / "lead")
    jobs.forget("lead")
    assert (tmp_path / "rig1" / "lead").is_dir()
    assert (tmp_path / "rig2" / "lead").is_dir()


@pytest.mark.parametrize("number", [-1, 0, 1, True, None, "9", 2.5])
def test_only_numbers_of_one_process_are_interrupted(tmp_path, monkeypatch, number):
    """A signal to -1 goes to every process of the user."""
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda process, signal: killed.append(process))
    folder = run(tmp_path / "a")
    lock = FolderLock(folder)
    owner = {"host": os.uname().nodename, "process": number, "since": "now"}
    (folder / "lock").write_text(json.dumps(owner))
    with pytest.raises(UserError, match="nothing to stop"):
        Jobs(tmp_path).stop("a")
    lock.release()
    assert not killed


def test_a_look_at_a_lock_is_waited_for(tmp_path):
    """Who looks whether a folder is held holds it for an instant, in another process."""
    path, free = tmp_path / "lock", threading.Event()
    with path.open("a") as looking, path.open("a") as file:

        def end() -> None:
            free.set()
            fcntl.flock(looking, fcntl.LOCK_UN)

        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = threading.Timer(0.3, end)
        timer.start()
        take(file)
        assert free.is_set()
        timer.join()
        with pytest.raises(BlockingIOError):
            fcntl.flock(looking, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_one_that_another_studio_starts_at_this_moment_is_left_to_it(tmp_path, monkeypatch):
    folder = begin(tmp_path / "a", WAITING)
    monkeypatch.setattr(module, "is_alive", lambda folder: False)  # before the other one took it
    with (folder / HELD).open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        Jobs(tmp_path).advance()
    assert json.loads((folder / ABOUT).read_text()) == WAITING


def test_a_lock_that_is_held_is_told_soon(tmp_path):
    lock = FolderLock(tmp_path)
    begun = time.monotonic()
    with pytest.raises(UserError, match="trained here"):
        FolderLock(tmp_path)
    assert PATIENCE <= time.monotonic() - begun < PATIENCE + 0.9
    lock.release()


def test_a_fault_of_one_look_does_not_end_the_queue(tmp_path, monkeypatch, caplog):
    jobs, looks = Jobs(tmp_path), []
    runs = RunRequests(Sources(Files(tmp_path), jobs, tmp_path, Turns()))

    def advance() -> None:
        looks.append(1)
        if len(looks) < 3:
            raise RuntimeError("something unexpected")
        if len(looks) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(jobs, "advance", advance)
    monkeypatch.setattr(run_requests, "SECONDS_BETWEEN", 0.0)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(runs.keep_going())
    assert caplog.text.count("could not be looked for") == 1  # and not each second
