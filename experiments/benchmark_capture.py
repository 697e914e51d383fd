"""One training step of ours beside the NAM trainer's, alternately, on the same machine.

    python -m experiments.benchmark_capture --trainer_python=PATH

PATH is a Python that has `neural-amp-modeler` installed, in an environment of its own. A step
is forward, backward, both losses and the update of nano and standard: 16 windows of 8192 samples.
"""

import statistics
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax.sharding import NamedSharding

from data_pipeline.synthetic import demo_pair
from experiments.launch import quiet
from wf_jax.amps.capture import CaptureAudio, CaptureTask
from wf_jax.mesh import data_mesh
from wf_jax.modules import split
from wf_jax.training.devices import use_every_core
from wf_jax.training.state import adam_with_l2, create_state, make_step

_PYTHON = flags.DEFINE_string("trainer_python", None, "A Python with neural-amp-modeler")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Steps of each that count", 1)

# Runs under the other Python: takes one step for every line that it reads, and answers with the
# seconds it took. The trainer's package imports tkinter, which a server need not have.
TRAINER = """
import json, sys, time, types
try:
    import tkinter
except ImportError:
    sys.modules["tkinter"] = types.ModuleType("tkinter")
import importlib.resources as resources
import torch
from nam.train.lightning_module import PackedLightningModule
torch.manual_seed(0)
text = resources.files("nam.train").joinpath("_resources/config_model_packed.json").read_text()
module = PackedLightningModule.init_from_config(json.loads(text))
optimizer = module.configure_optimizers()["optimizer"]
x, y = 0.1 * torch.randn(16, 14538), 0.126 * torch.randn(16, 8192)
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    optimizer.zero_grad()
    module.training_step((x, y), 0).backward()
    optimizer.step()
    module.net.apply_mask()
    print(time.perf_counter() - start, flush=True)
"""


class Trainer:
    """The other Python, waiting to take steps."""

    def __init__(self, python: str):
        """Starts it and waits until it has built its model."""
        self._process = subprocess.Popen(
            [python, "-c", TRAINER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._process.stdout.readline().strip() != "ready":
            sys.exit(f"{python}: cannot train; install neural-amp-modeler and torch there")

    def step(self) -> float:
        """Seconds of one step."""
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """Ends it."""
        self._process.stdin.close()
        self._process.wait()


class Ours:
    """Our step, as the training loop takes it."""

    def __init__(self) -> None:
        """Compiles it."""
        di, amp = (x[None].astype(np.float32) for x in demo_pair(20.0))
        task = CaptureTask(CaptureAudio(di, amp, di, amp))
        definition, params = split(task.init())
        optimizer, mesh = adam_with_l2(3.17e-7), data_mesh(task.batch_size)
        self._task, self._count = task, 0
        self._shardings = {k: NamedSharding(mesh, spec) for k, spec in task.batch_specs.items()}
        resident = {k: self._shardings[k] for k in task.resident}
        self._resident = jax.device_put(task.resident, resident)
        self._step = make_step(
            lambda p, b, axis: task.loss(definition(p), b, axis), optimizer, mesh, task.batch_specs
        )
        self._state = create_state(params, optimizer, task.best_metrics, (1,))
        self.step()

    def step(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        batch = self._task.batch(self._count)
        batch = jax.device_put(batch, {k: self._shardings[k] for k in batch})
        self._state, metrics = self._step(
            self._state, {**self._resident, **batch}, jnp.float32(0.004)
        )
        jax.block_until_ready((self._state, metrics))
        self._count += 1
        return time.perf_counter() - start


def main(argv: list[str]) -> None:
    """Takes both steps in turn and prints medians and their ratio."""
    quiet()
    use_every_core(16)
    trainer, ours = Trainer(_PYTHON.value), Ours()
    for model in (trainer, ours):  # warm
        model.step()
    seconds = [(ours.step(), trainer.step()) for _ in range(_ROUNDS.value)]
    trainer.close()
    mine, theirs = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(f"wf_jax  {mine:.3f} s   ({1 / mine:.2f} steps/s), jax {jax.__version__}")
    print(f"trainer {theirs:.3f} s   ({1 / theirs:.2f} steps/s)")
    print(f"ratio   {theirs / mine:.2f} times as fast, medians of {len(seconds)} in turn")


if __name__ == "__main__":
    flags.mark_flag_as_required("trainer_python")
    app.run(main)
