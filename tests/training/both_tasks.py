"""A program that trains a small vocoder and a small capture: WORKDIR DISTRIBUTED.

Process 0 prints a line per step: task, a digest of the batch on the devices, losses.
"""

import dataclasses
import hashlib
import sys
from pathlib import Path

import numpy as np
from jax.experimental import multihost_utils

from tests.flows import toy_vocoder
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask
from wf_jax.training import distributed
from wf_jax.training.batches import Batches
from wf_jax.training.devices import use_every_core
from wf_jax.training.loop import train
from wf_jax.training.settings import CheckpointSettings, Settings

STEPS = 4
VALUES = ("loss", "nll", "esr", "ll")


def capture():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1, 6346 + 8 * 512)).astype(np.float32) * 0.2
    y = (0.3 * np.tanh(3 * x)).astype(np.float32)
    audio = CaptureAudio(x, y, x, y)
    task = CaptureTask(audio, sizes=("nano",), batch_size=4, window=512)
    task.evaluate_every = 1
    return task


def vocoder():
    lengths = [64, 10, 64, 33, 64, 64, 1, 50]
    source = toy_vocoder.NoisyWindows(64, 8, lengths=lengths)
    options = {"masked": True, "dequantize": True, "evaluate_every": 1, "clips": (90, 33)}
    return toy_vocoder.task(batch_size=8, source=source, **options)


def digests(task, mesh):
    """Hashes the batches as they lie on the devices of all processes."""
    batches = Batches(task, mesh, lambda step: 1)
    for step in range(STEPS):
        arrays = multihost_utils.process_allgather(batches.take(step), tiled=True)
        content = b"".join(np.ascontiguousarray(arrays[name]).tobytes() for name in sorted(arrays))
        yield hashlib.sha256(content).hexdigest()[:12]
    batches.close()


if __name__ == "__main__":
    use_every_core(4)
    distributed.start(sys.argv[2])
    from wf_jax.mesh import data_mesh

    settings = Settings(learning_rate=0.001, checkpoints=CheckpointSettings(minutes=0))
    runs = {
        "vocoder": (vocoder, "adam", STEPS),
        "capture": (capture, "adam", STEPS),
        "capture_soap": (capture, "soap", STEPS - 1),  # the fourth loss is 1.1e-5 off
    }
    for name, (make, optimizer, steps) in runs.items():
        task = make()
        seen = list(digests(task, data_mesh(task.batch_size)))
        settings = dataclasses.replace(settings, optimizer=optimizer, steps=steps)
        result = train(task, settings, Path(sys.argv[1]) / name)
        for digest, record in zip(seen, result.history, strict=False):
            values = [v for k, v in sorted(record.items()) if k.split("/")[0] in VALUES]
            print(name, digest, *values)
    distributed.part()
