"""A third task: config, data, model and results of a toy denoiser in one file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DENOISER = """
import dataclasses
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from typing import ClassVar
from experiments.run.config import RunConfig
from experiments.run.job import Job
from wf_jax.random_streams import random_stream
from wf_jax.training.task import Task

@dataclasses.dataclass
class DenoiserConfig(RunConfig):
    job: ClassVar[str] = "denoiser:DenoiserJob"
    task: str = "denoiser"

def get_config():
    config = DenoiserConfig()
    config.train.learning_rate = 0.05
    return config

class Filter(nnx.Module):
    def __init__(self):
        self.taps = nnx.Param(jnp.zeros((9,)))

    def __call__(self, x):
        return jnp.stack([jnp.convolve(row, self.taps[...], "same") for row in x])

class DenoiserTask(Task):
    steps_per_epoch = evaluate_every = 10
    batch_axes, best_metrics = {"clean": 0, "noisy": 0}, {"": "error/held_out"}

    def __init__(self, train):
        self.batch_size, self.seed = train.batch_size, train.seed

    def init(self):
        return Filter()

    def batch(self, step, rows=slice(None)):
        random = random_stream(self.seed, step)
        clean = np.sin(random.uniform(0, 6, (self.batch_size, 1)) + 0.1 * np.arange(64))
        noisy = clean + random.normal(0, 0.5, clean.shape)
        return {"clean": np.float32(clean[rows]), "noisy": np.float32(noisy[rows])}

    def loss(self, model, batch, axis_name=None):
        error = lax.pmean(((model(batch["noisy"]) - batch["clean"]) ** 2).mean(), axis_name)
        return error, {"error/train": error}

    def evaluate(self, model):
        batch = self.batch(2**20)
        return {"error/held_out": ((model(batch["noisy"]) - batch["clean"]) ** 2).mean()}

class DenoiserJob(Job):
    what = "a denoiser"

    def prepare(self, folder):
        return DenoiserTask(self.config.train)
"""


def run(tmp_path, command, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{command}", *arguments],
        capture_output=True,
        text=True,
        env={
            "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}",
            "PATH": "",
            "HOME": str(tmp_path),
        },
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_third_task_trains_goes_on_sweeps_and_is_listed(tmp_path):
    (tmp_path / "denoiser.py").write_text(DENOISER)
    assert len(DENOISER.strip().splitlines()) < 60
    options = ["--config=denoiser.py", "--config.train.batch_size=4"]
    run(tmp_path, "train", *options, "--workdir=one", "--config.train.steps=20")
    run(tmp_path, "train", *options, "--workdir=one", "--config.train.steps=40")
    records = (tmp_path / "one" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in records] == [10, 20, 30, 40]
    assert (
        json.loads((tmp_path / "one" / "metrics.json").read_text())["best"]["error/held_out"] < 0.2
    )
    (tmp_path / "seeds.py").write_text("get_sweep = lambda: [{'train.seed': 1}, {'train.seed': 2}]")
    sweep = ["--sweep=seeds.py", "--workdir=several", "--config.train.steps=10"]
    said = run(tmp_path, "train", *options, *sweep)
    assert said.count("finished") == 2
    listed = run(tmp_path, "runs", ".")
    assert listed.count("finished") == 3
    assert "error/held_out" in listed
