"""A task that compiles at once: N lines fitted to points. Run as a program it trains one."""

import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.sharding import PartitionSpec

TRUTH = np.float32([[1.0, -2.0, 0.5], [0.3, 0.1, -0.7]])


class Lines(nnx.Module):
    def __init__(self, count):
        self.slope = nnx.Param(jnp.zeros((count, 3)))


class ToyTask:
    steps_per_epoch, evaluate_every, batch_size, models = 5, 5, 4, (2,)

    def __init__(self, pause=0.0, broken_after=None):
        self.pause, self.broken_after = pause, broken_after
        self.best_metrics = {"": "esr/line"}
        self.resident = {"truth": TRUTH}
        self.batch_specs = {"x": PartitionSpec("data"), "truth": PartitionSpec()}

    def init(self):
        return Lines(*self.models)

    def batch(self, step):
        time.sleep(self.pause)
        x = np.random.default_rng([7, step]).normal(size=(4, 3)).astype(np.float32)
        if self.broken_after is not None and step >= self.broken_after:
            x *= np.nan
        return {"x": x}

    def describe(self, step):
        return f"points {step}"

    def loss(self, lines, batch, axis_name):
        error = batch["x"] @ (lines.slope[...] - batch["truth"]).T  # [B, N]
        loss = lax.pmean(jnp.mean(jnp.square(error), axis=0), axis_name)
        return loss.sum(), {"loss/line": loss}

    def evaluate(self, lines):
        return {"esr/line": jnp.sum(jnp.square(lines.slope[...] - TRUTH), axis=1)}


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 2)
    from wf_jax.training import loop

    loop.CHECKPOINT_SECONDS = 0.0
    result = loop.train(
        ToyTask(pause=float(sys.argv[2])),
        loop.Settings(epochs=int(sys.argv[3]), learning_rate=0.05),
        Path(sys.argv[1]),
    )
    print(result.stopped, result.steps, np.asarray(result.models.slope[...]).tobytes().hex())
