"""A vocoder that trains in seconds; as a program, on a given number of devices."""

import sys
from pathlib import Path

import jax
import numpy as np

from tests.flows import small
from wf_jax.flows.vocoder_task import HeldOut, VocoderTask, mel_context


class NoisyWindows:
    """Windows of noise, each of its own amplitude; from step `broken_after` on one is NaN."""

    def __init__(self, window, batch_size, *, lengths=None, gain=1.0, broken_after=None):
        self.window, self.batch_size, self.gain = window, batch_size, gain
        self.lengths = lengths or [window] * batch_size
        self.broken_after = broken_after

    def batch(self, step, rows):
        rng = np.random.default_rng([3, step])
        before, after = mel_context(small.MEL, self.window)
        audio = rng.uniform(-0.5, 0.5, (self.batch_size, before + self.window + after))
        for row, length in zip(audio, self.lengths, strict=True):
            if length < self.window:
                row[before + length :] = 0
        if self.broken_after is not None and step >= self.broken_after:
            audio[1, before] = np.nan
        return {
            "audio": audio.astype(np.float32)[rows],
            "length": np.array(self.lengths, np.int32)[rows],
            "gain": np.full(len(rows), self.gain, np.float32),
        }

    def names(self, step):
        return [f"clip{step}{'abcdefgh'[i]}" for i in range(self.batch_size)]


def held_out(*samples):
    rng = np.random.default_rng(4)
    return [HeldOut(f"held{n}", (0.1 * rng.standard_normal(n)).astype(np.float32)) for n in samples]


def task(*, settings=None, window=64, batch_size=2, source=None, clips=(90,), **options):
    values = {"steps_per_epoch": 3, "evaluate_every": 3, **options}
    return VocoderTask(
        settings or small.config(channels=3),
        source or NoisyWindows(window, batch_size),
        held_out(*clips),
        window=window,
        batch_size=batch_size,
        **values,
    )


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
    from wf_jax.mesh import data_mesh
    from wf_jax.training.loop import train
    from wf_jax.training.settings import Settings

    windows = NoisyWindows(64, 8, lengths=[64, 10, 64, 33, 64, 64, 1, 50])
    result = train(
        task(batch_size=8, source=windows, masked=True, dequantize=True, evaluate_every=1),
        Settings(steps=3, learning_rate=0.01, clip_norm=1.0),
        Path(sys.argv[2]),
    )
    assert data_mesh(8).size == int(sys.argv[1])
    for record in result.history:
        print(record["nll/train"], record["gradient_norm"], record["ll/validation"])
