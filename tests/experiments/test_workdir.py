"""A run's folder: one process at a time, one config, the same inputs, whatever its name."""

import fcntl
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from experiments.configs import a2_capture
from experiments.run.config import flat_config
from experiments.run.folder import RunFolder
from experiments.run.lock import FolderLock, LockedError, check_unlocked
from experiments.run.same_run import check_same_run
from wf_jax.errors import UserError
from wf_jax.training import distributed
from wf_jax.training.checkpoints import Checkpoints

HOLDER = """
import sys, time
from pathlib import Path
from experiments.run.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def begin(folder):
    """Writes the files of a run that has begun."""
    (folder / "metrics.jsonl").write_text('{"step": 18}\n')


def test_a_second_process_is_told_who_is_there(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"held\n"
            said = rf"process {process.pid} on .* has trained here since 20.*another --workdir"
            with pytest.raises(UserError, match=said):
                check_unlocked(tmp_path)
            with pytest.raises(UserError, match=said):
                RunFolder(tmp_path).open(a2_capture.get_config())
        finally:
            process.kill()
    check_unlocked(tmp_path)  # the dead do not stop the living
    with RunFolder(tmp_path) as workdir:
        workdir.open(a2_capture.get_config())


def test_a_lock_is_given_back_at_the_end(tmp_path):
    for _ in range(2):
        with RunFolder(tmp_path) as workdir:
            workdir.open(a2_capture.get_config())
            with pytest.raises(UserError, match="wait for it, stop it, or give another"):
                FolderLock(tmp_path)


def test_the_recordings_belong_to_the_run(tmp_path):
    config = a2_capture.get_config()
    with RunFolder(tmp_path) as workdir:
        workdir.open(config, {"di.wav": "1" * 32, "amp.wav": "2" * 32})
    with RunFolder(tmp_path) as workdir:  # nothing was trained yet
        workdir.open(config, {"di.wav": "1" * 32, "amp.wav": "3" * 32})
    begin(tmp_path)
    with (
        RunFolder(tmp_path) as workdir,
        pytest.raises(UserError, match="is another one than this run was trained on"),
    ):
        workdir.open(config, {"di.wav": "1" * 32, "amp.wav": "2" * 32})


@pytest.mark.parametrize("here", [True, False])
def test_processes_of_different_configs_are_refused(tmp_path, monkeypatch, here):
    """Compares with the digest of process 0's config: the fault is this process's or another's."""
    other = (lambda tree: tree + 1) if here else (lambda tree: tree)
    monkeypatch.setattr(distributed, "from_main", other)
    monkeypatch.setattr(distributed, "all_agree", lambda good: False)
    who = "this process" if here else "another process of this run"
    with pytest.raises(UserError, match=f"{who} was started with another config than process 0"):
        RunFolder(tmp_path / "run").open(a2_capture.get_config())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "fades"), [({}, True), ({"fade": 0}, False), ({"optimizer": "adam"}, False)]
)
def test_a_run_of_before_rates_faded_is_told_that_they_do(tmp_path, capsys, options, fades):
    config = a2_capture.get_config()
    for name, value in options.items():
        setattr(config.train, name, value)
    old = flat_config(config)
    del old["train.fade"]
    (tmp_path / "config.json").write_text(json.dumps(old))
    begin(tmp_path)
    with RunFolder(tmp_path) as folder:
        folder.open(config)
    assert ("--config.train.fade=0 goes on as before" in capsys.readouterr().out) == fades
    config.train.fade = 7
    with RunFolder(tmp_path) as folder:
        folder.open(config)  # as other rates may
    assert "goes on as before" not in capsys.readouterr().out


def test_an_option_of_another_version_that_is_gone(tmp_path):
    config = a2_capture.get_config()
    old = flat_config(config) | {"train.mixup": 0.5, "metadata.color": "red"}
    (tmp_path / "config.json").write_text(json.dumps(old))
    begin(tmp_path)
    with pytest.raises(UserError, match=r"with --config\.train\.mixup=0\.5, which there is no"):
        check_same_run(tmp_path, config)
    with (
        RunFolder(tmp_path) as workdir,
        pytest.raises(UserError, match="another version of wf_j"),
    ):
        workdir.open(config)
    del old["train.mixup"]  # what may change may also be gone
    (tmp_path / "config.json").write_text(json.dumps(old))
    with RunFolder(tmp_path) as workdir:
        workdir.open(config)


@pytest.mark.parametrize("damage", ["", '{"train.st', "[]", "\0\0\0"])
def test_a_torn_config_is_made_again_from_a_checkpoint(tmp_path, damage):
    config = a2_capture.get_config()
    with Checkpoints(tmp_path / "checkpoints", config=flat_config(config)) as checkpoints:
        checkpoints.save(3, {"a": np.zeros(2)}, {})
    (tmp_path / "config.json").write_text(damage)
    with RunFolder(tmp_path) as workdir:
        workdir.open(config)
    assert json.loads((tmp_path / "config.json").read_text())["task"] == "capture"
    (tmp_path / "config.json").write_text(damage)
    config.train.batch_size = 3
    with RunFolder(tmp_path) as workdir, pytest.raises(UserError, match="batch_size=0, not 3"):
        workdir.open(config)


@pytest.mark.parametrize("content", ['{"di.wav": ["1"]}', "[" * 100_000, "[]", "{"])
def test_damaged_digests_are_said_to_be(tmp_path, capsys, content):
    begin(tmp_path)
    (tmp_path / "inputs.json").write_text(content)
    with RunFolder(tmp_path) as workdir:
        workdir.open(a2_capture.get_config(), {"di.wav": "1" * 32})
    assert f"{tmp_path / 'inputs.json'}: damaged; whether the files are" in capsys.readouterr().out
    assert json.loads((tmp_path / "inputs.json").read_text()) == {"di.wav": "1" * 32}


@pytest.mark.parametrize("name", ["config.json", "inputs.json"])
def test_pipes_in_a_run_are_not_waited_for(tmp_path, name):
    begin(tmp_path)
    os.mkfifo(tmp_path / name)
    with (
        RunFolder(tmp_path) as workdir,
        pytest.raises(UserError, match=f"{name}: cannot be read: not a regular file"),
    ):
        workdir.open(a2_capture.get_config())


def test_a_lock_that_is_none(tmp_path):
    os.mkfifo(tmp_path / "lock")
    check_unlocked(tmp_path)
    (tmp_path / "lock").unlink()
    with (tmp_path / "lock").open("wb") as file:
        file.write(b"\xff" + b"[" * 100_000)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process trains here"):
            check_unlocked(tmp_path)


def start(folder, error, computed="metrics.jsonl", content=""):
    """Runs a start that makes the usual files, computes one, and is ended by `error`."""
    with RunFolder(folder) as workdir:
        workdir.open(a2_capture.get_config(), {"di.wav": "1" * 32})
        for made in ("pair/di.wav", "checkpoints/made", computed):
            (folder / made).parent.mkdir(exist_ok=True)
            (folder / made).write_text(content if made == computed else "")
        (folder / "checkpoints" / "made").unlink()
        raise error


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("error", [UserError("none fits"), KeyboardInterrupt(), KeyError("a")])
def test_a_refused_start_leaves_no_folder(tmp_path, error):
    with pytest.raises(type(error)):
        start(tmp_path / "pair" / "not" / "there", error)
    assert names(tmp_path) == []


def test_a_refused_start_leaves_a_folder_as_it_was(tmp_path):
    (tmp_path / "pair").mkdir()
    for name in ("notes.txt", "pair/di.wav"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match="none fits"):
        start(tmp_path, UserError("none fits"))
    assert names(tmp_path) == ["notes.txt", "pair", "pair/di.wav"]


def test_a_start_removes_what_a_killed_one_was_writing(tmp_path):
    (tmp_path / "samples" / "step-000002").mkdir(parents=True)
    for name in (".wf_jax-a.json", "samples/step-000002/.wf_jax-b.png", "samples/c.png"):
        (tmp_path / name).touch()
    with RunFolder(tmp_path) as workdir:
        workdir.open(a2_capture.get_config())
    assert [name for name in names(tmp_path) if "." in name] == [
        "config.json",
        "inputs.json",
        "samples/c.png",
    ]


@pytest.mark.parametrize("computed", ["metrics.jsonl", "checkpoints/3"])
def test_a_run_that_has_begun_keeps_all_whatever_ends_it(tmp_path, computed):
    with pytest.raises(UserError, match="too late"):
        start(tmp_path / "run", UserError("too late"), computed, '{"step": 3}\n')
    assert {computed, "config.json", "inputs.json", "lock", "pair"} <= set(names(tmp_path / "run"))


def test_a_lock_that_its_holder_removes_meanwhile_is_not_held(tmp_path, monkeypatch):
    flock = fcntl.flock

    def late(file, how):
        (tmp_path / "lock").unlink()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(LockedError):
        FolderLock(tmp_path)
    monkeypatch.undo()
    lock = FolderLock(tmp_path)
    assert lock.held
    lock.release()


def test_a_run_that_begins_anew_keeps_its_model(tmp_path):
    for name in ("checkpoints/3/state", "model.nam", "report.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old")
    for name in ("metrics.json", "metrics.jsonl"):
        (tmp_path / name).write_text("{}")
    RunFolder(tmp_path).restart()
    assert {path.name for path in tmp_path.iterdir()} == {"model.nam", "report.html"}
    RunFolder(tmp_path).restart()  # with nothing to remove
