"""A training step of a capture beside the NAM trainer's, which runs under a Python of its own."""

import shutil
import statistics
import subprocess
import time

from experiments.benchmarks.steps import make_task
from wf_jax.errors import UserError
from wf_jax.native.engines import JAX

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
            raise UserError(f"{python}: cannot train; install neural-amp-modeler and torch there")

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

    def __init__(self, engine: str) -> None:
        """Compiles it."""
        import jax

        from wf_jax.training.dispatch import Dispatcher
        from wf_jax.training.settings import Settings

        self._wait = jax.block_until_ready
        self._dispatcher, self._count = (
            Dispatcher(make_task("a2", engine), Settings(), lambda step: 1),
            0,
        )
        self._state = self._dispatcher.create(self._dispatcher.params)
        self.step()

    def step(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self._state, sent = self._dispatcher.send(self._state, self._count, [0.004])
        self._wait((self._state, sent))
        self._count += 1
        return time.perf_counter() - start


def compare_steps(trainer_python: str, rounds: int, engine: str) -> None:
    """Takes both steps in turn and prints medians and their ratio.

    Args:
        trainer_python: a Python that has the trainer.
        rounds: steps of each that count.
        engine: of our passes.

    Raises:
        UserError: there is no such Python, or it has no trainer.
    """
    if shutil.which(trainer_python) is None:
        raise UserError(f"--trainer_python={trainer_python}: no such program; name a Python")
    import jax

    from wf_jax.training.devices import use_every_core

    use_every_core(16 if engine == JAX else 1)  # native passes use all cores of one device
    trainer, ours = Trainer(trainer_python), Ours(engine)
    for model in (trainer, ours):  # warm
        model.step()
    seconds = [(ours.step(), trainer.step()) for _ in range(rounds)]
    trainer.close()
    mine, theirs = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(f"wf_jax  {mine:.3f} s   ({1 / mine:.2f} steps/s), jax {jax.__version__}")
    print(f"trainer {theirs:.3f} s   ({1 / theirs:.2f} steps/s)")
    print(f"ratio   {theirs / mine:.2f} times as fast, medians of {len(seconds)} in turn")
