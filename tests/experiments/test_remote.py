"""Runs in gs://, against a bucket on this machine (see fake_gcs.py).

Covered: our own files by etils.epath and fsspec, and orbax's, whose arrays tensorstore's driver of
Google Cloud Storage writes and reads over HTTP. Not covered: gcsfs itself and google-cloud-storage
(credentials, retries, quotas, the permission storage.buckets.get, which orbax needs to delete old
checkpoints), buckets with a hierarchical namespace, and several processes in one bucket.
"""

import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline.corpus_preparation import prepare_corpus
from data_pipeline.synthetic_speech import write_demo_corpus
from experiments.configs.waveflow import get_config
from experiments.run import bucket_lock
from experiments.run.folder import RunFolder
from experiments.run.lock import LockedError
from experiments.run.sweep import finished
from tests.experiments import fake_gcs
from wf_jax.errors import UserError
from wf_jax.folders import copy_files, folder_path, is_remote, read_text
from wf_jax.training.checkpoints import Checkpoints
from wf_jax.training.metrics import MetricsFile
from wf_jax.training.profile import Profile
from wf_jax.training.saved_checkpoints import load_params
from wf_jax.whole_files import write_text

ROOT = Path(__file__).parents[2]
_NUMBERS = itertools.count(1)
# Orbax leaves the failed reads to its own event loop.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def server():
    """Starts one server for all tests: tensorstore looks for it once."""
    server = fake_gcs.Server()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        patch.setitem(sys.modules, "google.cloud", None)
        fake_gcs.register()
        yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def bucket(server):
    """Returns a new name for each test, and allows again what was refused."""
    yield f"bucket-{next(_NUMBERS)}"
    server.refused.clear()


def test_a_folder_is_local_or_in_a_bucket(server):
    assert folder_path("runs/a") == Path("runs/a")
    assert not is_remote(folder_path("runs/a"))
    assert str(folder_path("gs://b/runs") / "a") == "gs://b/runs/a"
    assert is_remote(folder_path("gs://b/runs"))
    with pytest.raises(ValueError, match=r"s3://b/runs: give a local folder, or gs://BUCKET"):
        folder_path("s3://b/runs")


def test_texts(server, bucket):
    path = folder_path(f"gs://{bucket}/run") / "notes.txt"
    assert read_text(path, 100) is None
    write_text(path, "größer")
    assert read_text(path, 100) == "größer"
    server.refused.add(("write", bucket))
    with pytest.raises(OSError, match="Forbidden") as error:
        write_text(path, "other")
    assert error.value.filename == str(path)


def test_folders_are_copied_both_ways(server, bucket, tmp_path):
    (tmp_path / "here" / "b").mkdir(parents=True)
    for name in ("a", "b/c"):
        (tmp_path / "here" / name).write_text(name)
    remote = folder_path(f"gs://{bucket}/there")
    copy_files(tmp_path / "here", remote)
    assert server.files(bucket) == {"there/a": b"a", "there/b/c": b"b/c"}
    copy_files(remote, tmp_path / "back")
    assert (tmp_path / "back" / "b" / "c").read_text() == "b/c"


def test_metrics(server, bucket):
    path = folder_path(f"gs://{bucket}/run") / "metrics.jsonl"
    history = MetricsFile(path, 0)
    for step in (5, 10):
        history.append({"step": step})
    assert server.files(bucket) == {"run/metrics.jsonl": b'{"step": 5}\n{"step": 10}\n'}
    assert [record["step"] for record in MetricsFile(path, 5).records] == [5]
    assert server.files(bucket) == {"run/metrics.jsonl": b'{"step": 5}\n'}


def test_a_workdir_keeps_files_here_and_uploads_what_is_new(server, bucket, capsys):
    config = get_config("tiny")
    workdir = RunFolder.named(f"gs://{bucket}/run")
    workdir.open(config)
    assert json.loads(server.files(bucket)["run/config.json"])["train.seed"] == 0
    (workdir.local / "samples").mkdir()
    (workdir.local / "samples" / "a.wav").write_bytes(b"sound")
    (workdir.local / "metrics.json").write_text('{"finished": true}')
    workdir.upload()
    assert server.files(bucket)["run/samples/a.wav"] == b"sound"
    assert finished(workdir.shared)
    assert not finished(folder_path(f"gs://{bucket}/other"))

    server.requests.clear()
    workdir.upload()
    assert not server.requests
    (workdir.local / "samples" / "a.wav").write_bytes(b"louder")
    workdir.finish()
    assert len(server.requests) == 1
    assert server.files(bucket)["run/samples/a.wav"] == b"louder"
    assert f"copied to gs://{bucket}/run" in capsys.readouterr().out

    (workdir.local / "report.html").write_text("page")
    server.refused.add(("write", bucket))
    with pytest.raises(UserError, match=rf"report.html: .*Forbidden.* are in {workdir.local}"):
        workdir.finish()


HOLDER = """
import sys, time
from tests.experiments import fake_gcs
fake_gcs.register()
from experiments.run import bucket_lock
from wf_jax.folders import folder_path
bucket_lock.BEAT_SECONDS = 0.2
lock = bucket_lock.BucketLock(folder_path(sys.argv[1]), print)
print("held" if lock.held else lock.reason, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_second_process_is_told_who_is_there(server, bucket, monkeypatch, elsewhere):
    if elsewhere:  # as another machine sees it: it cannot ask for the process
        monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    monkeypatch.setattr(bucket_lock, "PATIENCE_SECONDS", 3.0)
    folder, lines = folder_path(f"gs://{bucket}/run"), []
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, **server.environment()}
    ) as process:
        try:
            assert process.stdout.readline() == b"held\n"
            said = rf"process {process.pid} on .* has trained here since 20.*another --workdir"
            with pytest.raises(UserError, match=said):
                bucket_lock.BucketLock(folder, lines.append)
            assert "waiting 3 s to see whether it is still there" in lines[0]
        finally:
            process.kill()
    lines.clear()
    lock = bucket_lock.BucketLock(folder, lines.append)  # the dead do not stop the living
    assert lock.held
    assert len(lines) == elsewhere
    lock.release()
    assert server.files(bucket) == {}


def test_of_two_that_come_at_once_one_has_the_lock(server, bucket, monkeypatch):
    folder = folder_path(f"gs://{bucket}/run")
    monkeypatch.setattr(bucket_lock, "_is_dead", lambda text: False)
    monkeypatch.setattr(bucket_lock, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(bucket_lock, "PATIENCE_SECONDS", 2.0)
    with ThreadPoolExecutor(4) as pool:
        tries = [pool.submit(bucket_lock.BucketLock, folder, str) for _ in range(4)]
    held = [one.result() for one in tries if one.exception() is None]
    assert len(held) == 1
    assert {type(one.exception()) for one in tries} == {type(None), LockedError}
    held[0].release()


def test_a_bucket_that_gives_no_lock_says_so(server, bucket, capsys):
    server.refused.add(("read", bucket))
    lock = bucket_lock.BucketLock(folder_path(f"gs://{bucket}/run"), str)
    assert not lock.held
    assert lock.reason


def test_another_config_is_refused_once_there_is_a_result(server, bucket):
    config = get_config("tiny")
    RunFolder.named(f"gs://{bucket}/run").open(config)
    config.train.seed = 5
    RunFolder.named(f"gs://{bucket}/run").open(config)  # nothing has been computed yet
    write_text(folder_path(f"gs://{bucket}/run") / "metrics.jsonl", '{"step": 3}\n')
    config.train.seed = 6
    with pytest.raises(UserError, match=r"started with --config.train.seed=5, not 6"):
        RunFolder.named(f"gs://{bucket}/run").open(config)


def test_a_closed_bucket(server, bucket):
    server.refused.add(("write", bucket))
    with pytest.raises(UserError, match=rf"gs://{bucket}/run: cannot be written: Forbidden"):
        RunFolder.named(f"gs://{bucket}/run").open(get_config("tiny"))


def state(offset=0):
    params = {"layers/0/w": jnp.arange(6.0).reshape(2, 3) + offset}
    return {"best": {"params": params}, "step": jnp.int32(offset)}


def save(folder, steps):
    with Checkpoints(folder, keep=2) as checkpoints:
        for step in steps:
            checkpoints.save(step, state(step), {"minutes": step / 2})


def restore(folder):
    with Checkpoints(folder) as checkpoints:
        return checkpoints.restore(state())


@pytest.mark.slow
def test_checkpoints(server, bucket):
    """Restored values equal the saved ones, and old checkpoints are deleted."""
    folder = folder_path(f"gs://{bucket}/run") / "checkpoints"
    assert restore(folder) is None
    save(folder, [1, 2, 3])
    restored = restore(folder)
    assert (restored.step, restored.notes) == (3, {"minutes": 1.5})
    jax.tree.map(np.testing.assert_array_equal, restored.state, state(3))
    names = {name.split("/")[2] for name in server.files(bucket)}
    assert names == {"2", "3"}
    step, params = load_params(folder)
    assert step == 3
    np.testing.assert_array_equal(params["layers/0/w"], state(3)["best"]["params"]["layers/0/w"])


def test_a_damaged_checkpoint_is_passed_over_and_kept(server, bucket, caplog):
    folder = folder_path(f"gs://{bucket}/run") / "checkpoints"
    save(folder, [1, 2])
    for key, (generation, content) in list(server.objects.items()):
        if key.startswith(f"{bucket}/run/checkpoints/2/state/"):
            server.objects[key] = generation, content[: len(content) // 2]
    damaged = {k: v for k, v in server.files(bucket).items() if "checkpoints/2/" in k}
    assert restore(folder).step == 1
    assert "checkpoint 2 is damaged" in caplog.text
    files = server.files(bucket)
    assert not any(name.startswith("run/checkpoints/2/") for name in files)
    for name, content in damaged.items():
        assert files[name.replace("checkpoints", "damaged_checkpoints", 1)] == content


def test_a_bucket_that_may_not_be_read_is_not_a_damaged_one(server, bucket):
    folder = folder_path(f"gs://{bucket}/run") / "checkpoints"
    save(folder, [1, 2])
    before = server.files(bucket)
    with Checkpoints(folder) as checkpoints:
        server.refused.add(("read", bucket))
        with pytest.raises(UserError, match=r"checkpoints: cannot be read: .* is intact"):
            checkpoints.restore(state())
        server.refused.clear()
    assert server.files(bucket) == before


def test_a_trace(server, bucket):
    with Profile(folder_path(f"gs://{bucket}/run") / "profile", (1, 2)) as profile:
        for step in range(4):
            profile.before(step, 1, jnp.float32(step) + 1)
    assert any(name.endswith(".xplane.pb") for name in server.files(bucket))


# The command


def train(*options, fake=True, programs=MappingProxyType({})):
    start = ["tests.experiments.fake_gcs"] if fake else []
    small = {"model.flows": 2, "model.layers": 2, "model.channels": 4, "data.window": 2000}
    small |= {"train.evaluate_every": 3, "train.samples_every": 1000}
    return subprocess.run(
        [
            *(sys.executable, "-m", *start, "experiments.train"),
            "--config=waveflow:tiny",
            *(f"--config.{name}={value}" for name, value in small.items()),
            *options,
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        env=os.environ | programs,
    )


@pytest.mark.parametrize("option", ["--workdir", "--init_from"])
def test_without_gcsfs_one_line_says_so(tmp_path, option):
    options = {"--workdir": tmp_path / "run", option: "gs://bucket/run"}
    corpus = "--config.data.corpus=none"
    result = train(*(f"{k}={v}" for k, v in options.items()), corpus, fake=False)
    assert result.returncode == 1
    assert result.stderr == "gs://bucket/run needs the package gcsfs: pip install gcsfs\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_in_a_bucket_and_on(server, bucket, tmp_path):
    programs = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs")}
    programs["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    write_demo_corpus(tmp_path / "clips", clips=4, seconds=0.7)
    prepare_corpus(tmp_path / "clips", tmp_path / "corpus", validation=1)
    options = [f"--workdir=gs://{bucket}/run", f"--config.data.corpus={tmp_path / 'corpus'}"]
    first = train(*options, "--config.train.steps=3", programs=programs)
    assert first.returncode == 0, first.stderr
    files = server.files(bucket)
    for name in ("config.json", "metrics.json", "model/params.npz", "report.html"):
        assert f"run/{name}" in files

    more = train(*options, "--config.train.steps=6", programs=programs)
    assert more.returncode == 0, more.stderr
    assert f"continuing at step 3 of gs://{bucket}/run" in more.stderr
    records = [json.loads(line) for line in server.files(bucket)["run/metrics.jsonl"].splitlines()]
    assert [record["step"] for record in records] == [3, 6]
    assert json.loads(server.files(bucket)["run/metrics.json"])["steps"] == 6
