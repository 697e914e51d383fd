"""Faults around a training command: one line with the remedy, and nothing is lost."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from data_pipeline.corpus_preparation import prepare_corpus
from data_pipeline.synthetic_speech import write_demo_corpus
from experiments.configs.waveflow import get_config
from experiments.run.board import Board
from experiments.run.folder import RunFolder
from experiments.run.settings import read_settings
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import load_model, save_model
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.modules import split
from wf_jax.training.checkpoints import Checkpoints
from wf_jax.training.metrics import MetricsFile
from wf_jax.whole_files import atomic_path

ROOT = Path(__file__).parents[2]
SMALL = {
    "model.flows": 2,
    "model.layers": 2,
    "model.channels": 4,
    "data.window": 2000,
    "train.evaluate_every": 3,
    "train.samples_every": 1000,
}
# Without these root, too, may only do what a file's permissions say.
CAPABILITIES = "-dac_override,-dac_read_search"
AS_ANYONE = ["setpriv", f"--bounding-set={CAPABILITIES}", f"--inh-caps={CAPABILITIES}"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a corpus, and a folder for compiled programs, which the runs share."""
    folder = tmp_path_factory.mktemp("place")
    write_demo_corpus(folder / "clips", clips=4, seconds=0.7)
    prepare_corpus(folder / "clips", folder / "corpus", validation=1)
    return folder


@pytest.fixture(scope="module")
def run(place):
    """Makes a finished run of three steps, in its own folders; to be copied, not changed."""
    workdir = place / "not" / "yet" / "there"
    result = train(place, workdir, "--config.train.steps=3")
    assert result.returncode == 0, result.stderr
    return workdir


def command(place, workdir, *options):
    return [
        *(sys.executable, "-m", "experiments.train"),
        "--config=waveflow:tiny",
        *(f"--workdir={workdir}", f"--config.data.corpus={place / 'corpus'}"),
        *(f"--config.{name}={value}" for name, value in SMALL.items()),
        *options,
    ]


def train(place, workdir, *options, prefix=()):
    keep_programs = {
        "JAX_COMPILATION_CACHE_DIR": str(place / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # to compile fast
    }
    return subprocess.run(
        [*prefix, *command(place, workdir, *options)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        env=os.environ | keep_programs,
    )


def error_line(result):
    """Returns the one line of a command that failed as it should."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    progress = ("step ", "continuing at step ")
    lines = [x for x in result.stderr.splitlines() if x and not x.startswith(progress)]
    assert len(lines) == 1, result.stderr
    return lines[0]


def contents(folder):
    """Hashes every file but the lock, which names its last owner."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


# Commands that fail before they train


@dataclass
class Fault:
    """Options, and the expected line; {w} stands for the workdir, {t} for its parent folder."""

    options: list[str]
    says: str
    workdir: str = "run"
    spoil: object = lambda folder: None  # what is done to the workdir before
    repair: object = lambda folder: None  # and after
    prefix: tuple = ()


def another_model(folder):
    shutil.rmtree(folder / "checkpoints")
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(3, {"average": {"flows/end/bias": jnp.zeros((2, 5))}}, {"minutes": 0.0})


def without_checkpoints(folder):
    (folder.parent / "empty" / "checkpoints").mkdir(parents=True)


def another_task(folder):
    state = {"best": {"params": {"standard/layers/0/kernel": jnp.zeros((2, 5))}}}
    with Checkpoints(folder.parent / "capture" / "checkpoints") as checkpoints:
        checkpoints.save(3, state, {})


def with_mode(mode, name=""):
    return lambda folder: (folder / name).chmod(mode)


def forbidden(name, mode, says):
    path, back = f"{{w}}/{name}".removesuffix("/"), 0o755 if "." not in name else 0o644
    spoil, repair = with_mode(mode, name), with_mode(back, name)
    prefix = AS_ANYONE if os.geteuid() == 0 else ()
    return Fault([], f"{path}: {says}", spoil=spoil, repair=repair, prefix=prefix)


DENIED = "Permission denied; change its permissions, or give another folder"
FAULTS = {
    "a range backwards": Fault(
        ["--profile_steps=15:10"], "--profile_steps=15:10 is not FIRST:LAST, e.g. 10:15"
    ),
    "no such cluster": Fault(
        ["--distributed=nonsense"],
        "--distributed=nonsense is not auto, none or HOST:PORT,COUNT,INDEX with INDEX from 0 to "
        "COUNT - 1, e.g. 10.0.0.2:8476,4,0",
    ),
    "no such sweep": Fault(
        ["--sweep=missing.py"],
        "missing.py: No such file or directory; name a file like "
        "experiments/configs/sweep_learning_rate.py",
    ),
    "a batch in three": Fault(
        ["--config.train.accumulate=3"],
        "--config.train.accumulate=3: a batch of 4 has no 3 equal parts; choose one of 1, 2, 4",
    ),
    "more shards than devices": Fault(
        ["--config.train.shards=5"],
        "--config.train.shards=5 does not divide N devices; choose one of 1,",
    ),
    "a file": Fault([], "{t}/file: is a file; give another folder", workdir="file"),
    "below a file": Fault(
        [], "{t}/file/a: {t}/file is a file; give another folder", workdir="file/a"
    ),
    "another config": Fault(
        ["--config.train.seed=5"],
        "{w}: this run was started with --config.train.seed=0, not 5; give another --workdir, or "
        "the old value to continue",
    ),
    "another model's checkpoints": Fault(
        [],
        "{w}/checkpoints: checkpoint 3 is of another model: average/flows/end/bias is float32 "
        "(2, 2) in the model, float32 (2, 5) in it (N such arrays); give another --workdir or the "
        "old config",
        spoil=another_model,
    ),
    "nowhere to begin from": Fault(
        ["--init_from=/nowhere"],
        "--init_from=/nowhere: no such folder; name the --workdir of a training run, a local "
        "model folder, or a voice of the package",
        workdir="new",
    ),
    "nothing to begin from": Fault(
        ["--init_from={t}/empty"],
        "--init_from={t}/empty: {t}/empty/checkpoints: there is no whole checkpoint to start "
        "from; wait for the first one of that run, or give another folder",
        workdir="new",
        spoil=without_checkpoints,
    ),
    "another task to begin from": Fault(
        ["--init_from={t}/capture"],
        "none of its 1 arrays fits this model: flows/end/bias is not in it; give a run or model "
        "of the same kind",
        workdir="new",
        spoil=another_task,
    ),
    "a folder that may not be written": forbidden("", 0o555, f"cannot be written: {DENIED}"),
    "checkpoints that may not be written": forbidden(
        "checkpoints", 0o555, "may not be written by this user; change its permissions"
    ),
    "a checkpoint that may not be read": forbidden(
        "checkpoints/3", 0, "may not be read by this user; change its permissions"
    ),
    "arrays that may not be read": forbidden(
        "checkpoints/3/state/d", 0, "may not be read by this user; change its permissions"
    ),
    "a config that may not be read": forbidden("config.json", 0, f"cannot be read: {DENIED}"),
}


@pytest.fixture(scope="module")
def seen(run, place, tmp_path_factory):
    """Maps a fault to the command's result, its folder, and the contents before and after."""

    def try_it(fault):
        top = tmp_path_factory.mktemp("fault")
        (top / "file").write_text("not a folder")
        shutil.copytree(run, top / "run")
        fault.spoil(top / "run")
        options = [option.format(t=top) for option in fault.options]
        steps = "--config.train.steps=3"
        before = None if fault.prefix else contents(top / "run")
        result = train(place, top / fault.workdir, steps, *options, prefix=fault.prefix)
        fault.repair(top / "run")
        after = contents(top / "run")
        return SimpleNamespace(result=result, top=top, before=before or contents(run), after=after)

    obeys = _obeys(place / "secret")
    chosen = {name: fault for name, fault in FAULTS.items() if not fault.prefix or obeys}
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(chosen, pool.map(try_it, chosen.values()), strict=True))


def _obeys(path):
    """Returns whether root can be made to obey permissions here."""
    path.touch(0)
    with contextlib.suppress(OSError):
        found = subprocess.run([*AS_ANYONE, "cat", path], capture_output=True, text=True)
        return "Permission denied" in found.stderr
    return False


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_and_changes_nothing(seen, name):
    if name not in seen:
        pytest.skip("root cannot be had to obey permissions here (setpriv)")
    found, fault = seen[name], FAULTS[name]
    line = error_line(found.result)
    says = fault.says.format(t=found.top, w=found.top / "run")
    assert re.search(re.escape(says).replace("N\\ ", r"\d+\ "), line), line
    assert found.after == found.before
    assert not (found.top / "run" / "damaged_checkpoints").exists()


def test_a_batch_that_leaves_a_device_over():
    config = get_config("tiny")
    config.train.batch_size, config.train.shards = 3, 2
    with pytest.raises(ValueError, match=r"^--config.train.batch_size=3: a batch of 3 cannot be"):
        read_settings(config)


# A disk that is full, or cannot be written


class Disk:
    """A small file system of its own, which a child process holds mounted."""

    def __init__(self, folder):
        folder.mkdir()
        mount = f"mount -t tmpfs -o size=4m none '{folder}' && echo ready && exec cat"
        command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.holder, self._mounted = subprocess.Popen(command, **pipes), folder
        self.ready = self.holder.stdout.readline() == b"ready\n"
        self.path = Path(f"/proc/{self.holder.pid}/root{folder}")

    def leave(self, kilobytes):
        """Fills the disk but for this many bytes."""
        free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize
        (self.path / "filler").write_bytes(bytes(free - 1024 * kilobytes))

    def empty(self):
        (self.path / "filler").unlink()

    def remount(self, option):
        inside = ["nsenter", f"--target={self.holder.pid}", "--user", "--mount"]
        command = [*inside, "mount", "-o", f"remount,{option}", self._mounted]
        subprocess.run(command, check=True)


@pytest.fixture
def disk(tmp_path):
    try:
        disk = Disk(tmp_path / "disk")
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    with disk.holder:
        if not disk.ready or not os.access(disk.path, os.W_OK):
            disk.holder.kill()
            pytest.skip(f"no file system can be mounted here: {disk.holder.stderr.read()}")
        yield disk
        disk.holder.kill()


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_start(run, place, disk):
    shutil.copytree(run, disk.path / "run")
    disk.leave(0)
    line = error_line(train(place, disk.path / "run", "--config.train.steps=6"))
    assert line == (
        f"{disk.path}/run: cannot be written: No space left on device; make room, then the same "
        "command goes on"
    )
    assert contents(disk.path / "run") == contents(run)


@pytest.mark.slow
def test_a_disk_that_is_full_in_the_middle_and_then_has_room(run, place, disk):
    """Pictures and best model may be lost without ending a run; a lost checkpoint ends it."""
    workdir, options = (
        disk.path / "run",
        ["--config.train.steps=6", "--config.train.samples_every=1"],
    )
    shutil.copytree(run, workdir)
    saved, shown = contents(workdir / "checkpoints"), contents(workdir / "model")
    (workdir / "samples").write_text("no folder")
    disk.leave(24)
    full = train(place, workdir, *options)
    assert error_line(full) == (
        f"{workdir}/checkpoints: a checkpoint could not be written: No space left on device; make "
        "room, then the same command goes on; what was saved before is intact"
    )
    assert "the training goes on" in full.stdout
    assert {k: v for k, v in contents(workdir / "checkpoints").items() if k[0] == "3"} == saved
    assert contents(workdir / "model") == shown

    disk.empty()
    more = train(place, workdir, *options)
    assert more.returncode == 0, more.stderr
    assert f"continuing at step 3 of {workdir}" in more.stderr
    assert f"{workdir}/samples/step-000006: cannot be written: Not a directory" in more.stdout
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [3, 6]
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["3", "6"]


@pytest.mark.slow
def test_a_disk_that_is_read_only(run, place, disk):
    shutil.copytree(run, disk.path / "run")
    disk.remount("ro")
    line = error_line(train(place, disk.path / "run", "--config.train.steps=6"))
    assert line == (
        f"{disk.path}/run: cannot be written: Read-only file system; give another folder"
    )
    assert contents(disk.path / "run") == contents(run)


def test_metrics_on_a_full_disk_name_the_file(disk):
    history = MetricsFile(disk.path / "metrics.jsonl", 0)
    history.append({"step": 1})
    disk.leave(0)
    with pytest.raises(OSError, match="No space left") as error:
        history.append({"step": 2, "long": "x" * 5000})
    assert error.value.filename == str(history.path)
    disk.empty()
    assert not history.path.read_text().endswith("}\n")  # torn, as by a killed run
    assert [record["step"] for record in MetricsFile(history.path, 10).records] == [1]


def test_tensorboard_on_a_full_disk_is_an_error(disk):
    pytest.importorskip("tensorboardX")
    board = Board(RunFolder(disk.path))
    board(1, None, {"loss/a": 1.0})
    disk.leave(0)
    with pytest.raises(UserError, match="tensorboard: cannot be written: No space left"):
        board.add_audio("a", 1, np.zeros(20_000), 22050)


def test_audio_on_a_full_disk_names_the_file(disk):
    """Covers the one error of libsndfile that does not name its file."""
    disk.leave(8)
    with (
        pytest.raises(OSError, match="No space left") as error,
        atomic_path(disk.path / "a.wav") as path,
    ):
        soundfile.write(path, np.zeros(20_000), 22050)
    assert error.value.filename == str(disk.path / "a.wav")
    assert not (disk.path / "a.wav").exists()


TRACE = """
import sys
from pathlib import Path
import jax.numpy as jnp
from wf_jax.training.profile import Profile
with Profile(Path(sys.argv[1]), (1, 2)) as profile:
    for step in range(4):
        profile.before(step, 1, jnp.float32(step) + 1)
"""


def test_a_trace_on_a_full_disk_does_not_end_a_run(disk):
    """Uses its own process: in jax 0.10 a failed trace counts as running for ever."""
    disk.leave(8)
    start = [sys.executable, "-c", TRACE, str(disk.path / "profile")]
    run = subprocess.run(start, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0
    (line,) = run.stderr.strip().splitlines()
    assert line.startswith(f"{disk.path}/profile: no trace was written: ")
    assert line.endswith("No space left on device")


def test_a_model_is_replaced_whole_or_not_at_all(disk):
    config = WaveFlowConfig(flows=2, layers=2, channels=4)
    params = split(WaveFlow(config, np.random.default_rng(0)))[1]
    save_model(disk.path / "model", config, params)
    before = contents(disk.path / "model")
    for kilobytes in (0, 4, 8, 24):
        disk.leave(kilobytes)
        other = {name: value + 1 for name, value in params.items()}
        with pytest.raises(OSError, match="No space left"):
            save_model(disk.path / "model", config, other)
        assert contents(disk.path / "model") == before
        disk.empty()
    load_model(disk.path / "model")


# Beginning from another run


@pytest.mark.slow
def test_a_run_begins_from_another_and_then_continues_itself(seen, run, place):
    """Covers also a refused start, which left nothing."""
    workdir = seen["another task to begin from"].top / "new"
    assert not workdir.exists()
    options = ["--config.train.learning_rate=1e-20", "--config.train.seed=7"]
    began = train(place, workdir, *options, "--config.train.steps=1", f"--init_from={run}")
    assert began.returncode == 0, began.stderr
    assert re.search(r"^began from (\d+) of \1 arrays$", began.stderr, re.MULTILINE)
    reached, before = (json.loads((f / "metrics.json").read_text()) for f in (workdir, run))
    assert reached["log_likelihood"] == pytest.approx(before["log_likelihood"], abs=1e-5)

    more = train(place, workdir, *options, "--config.train.steps=2", "--init_from=/nowhere")
    assert more.returncode == 0, more.stderr
    assert "continuing at step 1" in more.stderr
    assert "began from" not in more.stderr


@pytest.mark.slow
def test_a_run_begins_from_what_fits_of_another_shape(run, place, tmp_path):
    before = contents(run)
    options = ["--config.model.layers=1", f"--init_from={run}"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command(place, tmp_path / "run", *options), **pipes) as process:
        for line in process.stderr:
            if line.startswith("began from"):
                break
        said = [line, next(process.stderr), next(process.stderr)]
        process.kill()
    assert re.fullmatch(r"began from \d+ of \d+ arrays\n", said[0])
    assert said[1].startswith("  of another shape, not taken: flows/layers/0/out/")
    assert said[2].startswith("  there, but of no use here: flows/layers/1/")
    assert contents(run) == before
