"""What a training step costs the host, beside what it costs the devices.

    python -m experiments.benchmark_dispatch --task=a2 --task=waveflow_64 --task=waveflow_tiny

Per step: the whole time, what the host spends on sending it (its own work; the devices compute
meanwhile, on a CPU on the same cores), what it waits for batches, and the share of both. Steps are
sent as the training loop sends them, one dispatch ahead; medians of rounds.
"""

import statistics
import time
from typing import Any

import jax
import numpy as np
from absl import app, flags

from data_pipeline.synthetic import demo_pair
from experiments.configs.waveflow import get_config
from experiments.launch import quiet
from experiments.noise_windows import NoiseWindows
from experiments.vocoder import model_config
from wf_jax.amps.capture import CaptureAudio, CaptureTask
from wf_jax.flows.vocoder import VocoderTask
from wf_jax.training.devices import use_every_core
from wf_jax.training.dispatch import Dispatcher
from wf_jax.training.settings import Settings

_TASKS = flags.DEFINE_multi_enum(
    "task", ["a2"], ["a2", "waveflow_64", "waveflow_tiny"], "What to measure; may be repeated"
)
_SUBSTEPS = flags.DEFINE_multi_integer("substeps", [1, 8], "Steps per dispatch; may be repeated")
_STEPS = flags.DEFINE_integer("steps", 48, "Steps of a round", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Rounds that count", 1)


def make_task(name: str) -> Any:
    """The task of this name, on made-up audio."""
    if name == "a2":
        di, amp = (x[None].astype(np.float32) for x in demo_pair(20.0))
        return CaptureTask(CaptureAudio(di, amp, di, amp))
    config = get_config(name.removeprefix("waveflow_"))
    model, window, batch = model_config(config, 22050), config.data.window, config.train.batch_size
    noise = NoiseWindows(model.mel, window, batch)
    sizes = {"window": window, "batch_size": batch}
    return VocoderTask(model, noise, [], **sizes, steps_per_epoch=1, evaluate_every=1)


def measure(name: str, substeps: int) -> tuple[float, float, float]:
    """Seconds per step: the whole, the host's own, and waiting for batches."""
    settings = Settings(substeps=substeps)
    dispatches = max(_STEPS.value // substeps, 2)
    with Dispatcher(make_task(name), settings, lambda step: substeps) as dispatcher:
        state, step, rounds = dispatcher.create(dispatcher.params), 0, []
        for _ in range(_ROUNDS.value + 1):  # the first one compiles
            previous, own, start, waited = None, 0.0, time.perf_counter(), 0.0
            for _ in range(dispatches):
                began = time.perf_counter()
                state, sent = dispatcher.send(state, step, [1e-4] * substeps)
                own += time.perf_counter() - began
                step += substeps
                jax.device_get(previous)
                previous = sent
            jax.block_until_ready(previous)
            steps = dispatches * substeps
            waited = dispatcher.clock.report()["time/data"]
            rounds.append(((time.perf_counter() - start) / steps, own / steps - waited, waited))
            dispatcher.clock.start()
    whole, host, data = (statistics.median(c) for c in zip(*rounds[1:], strict=True))
    return whole, host, data


def main(argv: list[str]) -> None:
    """Measures and prints a line each."""
    quiet()
    use_every_core(16)
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}")
    print("task           substeps  step ms  host ms  data ms  host and data of the step")
    for name in _TASKS.value:
        for substeps in _SUBSTEPS.value:
            whole, host, data = measure(name, substeps)
            numbers = "  ".join(f"{1e3 * value:7.2f}" for value in (whole, host, data))
            print(f"{name:14} {substeps:8}  {numbers}  {(host + data) / whole:.1%}", flush=True)


if __name__ == "__main__":
    app.run(main)
