"""A task that compiles at once: N lines fitted to points; as a program, it trains one."""

import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wf_jax.training.matrices import Axes

TRUTH = np.float32([[1.0, -2.0, 0.5], [0.3, 0.1, -0.7]])


class Lines(nnx.Module):
    def __init__(self, count):
        self.slope = nnx.Param(jnp.zeros((count, 3)))


class ToyTask:
    steps_per_epoch, evaluate_every, batch_size, models = 5, 5, 4, (2,)
    batch_seconds = 0.0
    program = None

    def __init__(self, pause=0.0, broken_after=None):
        self.pause, self.broken_after = pause, broken_after
        self.best_metrics = {"": "esr/line"}
        self.resident = {"truth": TRUTH}
        self.batch_axes = {"x": 0, "truth": None}

    def init(self):
        return Lines(*self.models)

    def batch(self, step, rows):
        time.sleep(self.pause)
        x = np.random.default_rng([7, step]).normal(size=(4, 3)).astype(np.float32)
        if self.broken_after is not None and step >= self.broken_after:
            x *= np.nan
        return {"x": x[rows]}

    @staticmethod
    def axes_of(name, shape):
        return Axes(copies=(0,), rows=(1,), columns=())

    def describe(self, step):
        return f"points {step}"

    def loss(self, lines, batch, axis_name):
        error = batch["x"] @ (lines.slope[...] - batch["truth"]).T  # [B, N]
        loss = lax.pmean(jnp.mean(jnp.square(error), axis=0), axis_name)
        return loss.sum(), {"loss/line": loss}

    def evaluate(self, lines):
        return {"esr/line": jnp.sum(jnp.square(lines.slope[...] - TRUTH), axis=1)}


if __name__ == "__main__":  # WORKDIR DISTRIBUTED PAUSE EPOCHS INTERVAL
    from wf_jax.training import distributed
    from wf_jax.training.devices import use_every_core
    from wf_jax.training.loop import train
    from wf_jax.training.settings import CheckpointSettings, Settings

    use_every_core(4)
    distributed.start(sys.argv[2])
    pause, epochs, interval = float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    checkpoints = CheckpointSettings(steps=interval)
    settings = Settings(epochs=epochs, learning_rate=0.05, checkpoints=checkpoints)
    result = train(ToyTask(pause=pause), settings, Path(sys.argv[1]))
    distributed.part()
    if distributed.is_main():
        print(result.stopped, result.steps, np.asarray(result.models.slope[...]).tobytes().hex())
    sys.exit(distributed.AGAIN if result.again else 0)
