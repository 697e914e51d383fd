"""Damaged run folders: the run goes on, or one line gives the reason."""

import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs import a2_capture
from experiments.run.config import flat_config
from experiments.run.folder import RunFolder
from experiments.run.initial import read_initial
from experiments.run.reading import find_runs, read_run
from experiments.run.same_run import check_same_run
from tests.damaged_folders import battery
from wf_jax.errors import UserError, why
from wf_jax.training.checkpoints import Checkpoints
from wf_jax.training.metrics import MetricsFile

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of memory"),
    # Orbax leaves the failed reads to its own event loop.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CONFIG = a2_capture.get_config()
INPUTS = {"di.wav": "1" * 32, "amp.wav": "2" * 32}


def state():
    params = {"a": jnp.arange(6.0).reshape(2, 3), "b/c": jnp.ones(4)}
    best = {"params": params, "steps": jnp.zeros(2, jnp.int32)}
    return {"params": params, "step": jnp.int32(4), "best": best}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Makes the folder of a capture with a small model."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with RunFolder(folder) as workdir:
        workdir.open(CONFIG, INPUTS)
    with Checkpoints(folder / "checkpoints", config=flat_config(CONFIG)) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state(), {"minutes": 0.5 * step}, 0.1)
    metrics = MetricsFile(folder / "metrics.jsonl", 0)
    for step in (1, 2):
        metrics.append({"step": step, "minutes": 0.5 * step, "esr/nano": 0.3, "epoch": 1.0})
    (folder / "metrics.json").write_text('{"esr": {"nano": 0.3}, "steps": 2, "finished": true}\n')
    for use in USES:
        use(shutil.copytree(folder, folder.parent / use.__name__))
    return folder


def continued(folder):
    """Continues as train does, up to the first step; run_main turns system errors into lines."""
    try:
        _continued(folder)
    except OSError as error:
        raise UserError(f"{error.filename}: {why(error)}") from None


def _continued(folder):
    check_same_run(folder, CONFIG)
    with RunFolder(folder) as workdir:
        workdir.open(CONFIG, INPUTS)
        with Checkpoints(folder / "checkpoints", config=flat_config(CONFIG)) as checkpoints:
            restored = checkpoints.restore(state())
        if restored is None:
            return
        assert isinstance(restored.notes["minutes"], float)
        for one, other in zip(*map(jax.tree.leaves, (restored.state, state())), strict=True):
            np.testing.assert_array_equal(one, other)
        MetricsFile(folder / "metrics.jsonl", restored.step)


def initial(folder):
    """Reads it as --init_from does."""
    for value in read_initial(folder).values():
        assert isinstance(value, np.ndarray)


def compared(folder):
    """Reads it as experiments.runs does."""
    for found in find_runs(folder):
        run = read_run(found)
        assert run.best("esr/nano", higher=False) is None or run.step >= 0
        assert (run.speed, run.minutes, run.total_steps) is not None


USES = (continued, initial, compared)


@pytest.mark.slow
def test_damaged_runs(run, tmp_path):
    assert min(battery([run], tmp_path, 24, 1, USES).values()) > 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(2, 5))
def test_more_damaged_runs(run, tmp_path, seed):
    assert min(battery([run], tmp_path, 100, seed, USES).values()) > 3
