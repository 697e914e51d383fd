"""Several processes as one run, on one machine: two of them with two devices each."""

import random
import re
import signal
import time

import numpy as np
import pytest

from tests.training.processes import curve, finish, free_port, launch, records, wait_for_steps
from wf_jax.errors import UserError
from wf_jax.training import distributed, rendezvous
from wf_jax.training.distributed import AGAIN, NotTogetherError, recognize, start

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NODELIST": "a,b",
}
TPU = {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}
SLICES = {
    "MEGASCALE_NUM_SLICES": "2",
    "MEGASCALE_COORDINATOR_ADDRESS": "a",
    "MEGASCALE_SLICE_ID": "1",
    "TPU_WORKER_ID": "0",
}
BY_JAX = (None, None, None)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        (SLURM, BY_JAX),
        ({**SLURM, "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1"}, None),
        (TPU, BY_JAX),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
        ({**SLICES, "TPU_WORKER_HOSTNAMES": "localhost"}, BY_JAX),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, BY_JAX),
    ],
)
def test_clusters_are_recognized(environment, found):
    assert recognize(environment) == found


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({k: v for k, v in SLURM.items() if "PROCID" not in k}, r"4 tasks.*SLURM_PROCID.*srun"),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, "TPU slice of 2 hosts, but TPU_WORKER_ID is not set"),
        ({"JOB_COMPLETION_INDEX": "3"}, r"pod 3 of an Indexed Job; give --distributed=HOST"),
    ],
)
def test_half_a_cluster_is_an_error(environment, message):
    with pytest.raises(UserError, match=message):
        recognize(environment)


@pytest.mark.parametrize("choice", ["yes", "host,2,0", "host:1,2", "host:80,2,2", "host:80,0,0"])
def test_what_the_flag_takes(choice):
    with pytest.raises(UserError, match=r"INDEX from 0 to COUNT - 1, e\.g\. 10"):
        start(choice)


def test_a_package_alone_is_no_tpu(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert recognize({}) is None


def test_others_that_do_not_come(monkeypatch):
    monkeypatch.setattr(distributed, "START_SECONDS", 1.0)
    said = r"did not find each other within 1 s; .*\(processes 1, 2 did not come\)"
    with pytest.raises(NotTogetherError, match=said):
        start(f"127.0.0.1:{free_port()},3,0")


def test_who_does_not_come_to_a_slurm_job_is_named(monkeypatch, capsys):
    """Waits for what JAX detects by itself as for the flag."""
    monkeypatch.setattr(distributed, "START_SECONDS", 1.5)
    monkeypatch.setattr(rendezvous, "SAID_SECONDS", 0.3)
    job = {**SLURM, "SLURM_STEP_NODELIST": "localhost", "SLURM_PROCID": "0"}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    said = r"--distributed=auto: .*within 1\.5 s; .*\(processes 1, 2, 3 did not come\)"
    with pytest.raises(NotTogetherError, match=said):
        start("auto")
    assert "waiting for processes 1, 2, 3 of this run's 4" in capsys.readouterr().err


def test_a_cluster_that_jax_does_not_know_is_left_to_it(monkeypatch):
    for name in SLURM:
        monkeypatch.delenv(name, raising=False)
    assert distributed._by_jax() == (None, None, None)


# Runs of the toy task


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    """Layouts 2 x 2, 1 x 4 and 1 x 1 give the same losses, and parameters to rounding."""
    layouts = {"two": (2, 2), "four": (1, 4), "one": (1, 1)}
    runs = {name: launch(tmp_path / name, *layout) for name, layout in layouts.items()}
    printed = {}
    for name, run in runs.items():
        codes, printed[name], complaints = finish(run)
        assert codes == [0] * len(run), complaints
    whole = curve(tmp_path / "one")
    assert whole.shape == (12, 3)
    for name in ("two", "four"):
        np.testing.assert_allclose(curve(tmp_path / name), whole, rtol=1e-5)
    assert len(printed["two"]) == 1  # process 0 alone speaks


@pytest.mark.slow
def test_sigterm_to_one_of_two_and_on(tmp_path):
    """Both agree on a step, save, and ask to be started again; the rest is as if unbroken."""
    run = launch(tmp_path / "run", 2, 1, pause=0.02, epochs=400)
    wait_for_steps(tmp_path / "run", 5)
    run[1].send_signal(signal.SIGTERM)
    codes, printed, complaints = finish(run)
    assert codes == [AGAIN, AGAIN], complaints
    step = int(re.fullmatch(r"stopped by SIGTERM (\d+) \w+", printed[0])[1])
    codes, _, complaints = finish(launch(tmp_path / "run", 1, 2, epochs=step // 5 + 6))
    assert codes == [0]
    assert f"continuing at step {step}" in complaints
    finish(launch(tmp_path / "whole", 1, 2, epochs=step // 5 + 6))
    np.testing.assert_allclose(curve(tmp_path / "run"), curve(tmp_path / "whole"), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [pytest.param(0, marks=pytest.mark.exhaustive), 1])
def test_a_dead_peer_ends_the_other(tmp_path, victim):
    run = launch(tmp_path, 2, 1, pause=0.02, epochs=10_000)
    wait_for_steps(tmp_path, 5)
    run[victim].kill()
    began = time.monotonic()
    codes, _, complaints = finish(run, timeout=60)
    assert time.monotonic() - began < 30
    assert codes[victim] == -signal.SIGKILL
    # The coordination service of JAX may be the first to notice, and aborts.
    assert codes[1 - victim] in (AGAIN, -signal.SIGABRT), complaints
    gone = f"process {victim} of this run is gone"
    assert gone in complaints or "another task died" in complaints


@pytest.mark.exhaustive
def test_the_lost_one_of_four_is_named(tmp_path):
    run = launch(tmp_path, 4, 1, pause=0.02, epochs=10_000)
    wait_for_steps(tmp_path, 5, run)
    run[2].kill()
    codes, _, complaints = finish(run, timeout=60)
    assert codes[2] == -signal.SIGKILL
    assert {codes[i] for i in (0, 1, 3)} <= {AGAIN, -signal.SIGABRT}, complaints
    assert "process 2 of this run is gone" in complaints
    assert "process 0 of this run is gone" not in complaints


@pytest.mark.slow
def test_a_second_signal_leaves_at_once(tmp_path):
    (run,) = launch(tmp_path, 1, 1, pause=1.0, epochs=10_000)
    wait_for_steps(tmp_path, 5)
    for _ in range(2):
        run.send_signal(signal.SIGTERM)
        time.sleep(0.7)  # sooner, it might be one that was sent on by a parent
    began = time.monotonic()
    codes, _, _ = finish([run])
    assert codes == [128 + signal.SIGTERM]
    assert time.monotonic() - began < 5


@pytest.mark.exhaustive
def test_chaos(tmp_path):
    """Killed or terminated at random, on changing devices: always to the end, with the same curve.

    The long version is `python -m tests.training.chaos`.
    """
    finish(launch(tmp_path / "whole", 1, 2, epochs=40))
    whole = curve(tmp_path / "whole")
    choose = random.Random(1)
    for number, (kind, processes) in enumerate([("SIGKILL", 1), ("SIGTERM", 2), ("SIGKILL", 2)]):
        workdir = tmp_path / f"{kind}{number}"
        run = launch(workdir, processes, 2 // processes, pause=0.02, epochs=40)
        wait_for_steps(workdir, 5)
        time.sleep(choose.uniform(0, 2))
        reached = records(workdir)[-1]["step"]
        choose.choice(run).send_signal(getattr(signal, kind))
        finish(run)
        codes, _, complaints = finish(launch(workdir, 1, choose.choice([1, 2, 4]), epochs=40))
        assert codes == [0], complaints
        resumed = re.search(r"continuing at step (\d+)", complaints)
        # Checkpoints are every 5 steps; one may be under way, for longer on a busy machine.
        assert reached - (int(resumed[1]) if resumed else 0) <= 20
        np.testing.assert_allclose(curve(workdir), whole, rtol=1e-5)
