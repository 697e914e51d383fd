"""The host's share of a training step: sending it, and waiting for its batch."""

from typing import TYPE_CHECKING

import numpy as np

from data_pipeline.synthetic import demo_pair
from experiments.configs.waveflow import get_config

if TYPE_CHECKING:
    from wf_jax.amps.capture import CaptureTask
    from wf_jax.flows.vocoder import VocoderTask

TASKS = ("a2", "waveflow_64", "waveflow_tiny")


def measure(task: list[str], substeps: list[int], seconds: float, rounds: int) -> None:
    """Times steps of TASKS and prints a line each."""
    import jax

    from experiments.benchmarks.steps import time_steps
    from wf_jax.training.devices import use_every_core

    use_every_core(16)
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}")
    print("task           substeps  step ms  host ms  data ms  host and data of the step")
    for name in task:
        for count in substeps:
            steps = time_steps(make_task(name), count, rounds, seconds)
            parts = (steps.seconds, steps.host, steps.data)
            numbers = "  ".join(f"{1e3 * value:7.2f}" for value in parts)
            share = (steps.host + steps.data) / steps.seconds
            print(f"{name:14} {count:8}  {numbers}  {share:.1%}", flush=True)


def make_task(name: str) -> "CaptureTask | VocoderTask":
    """The task of this name, on made-up audio."""
    from experiments.benchmarks.noise_windows import NoiseWindows
    from wf_jax.amps.capture import CaptureAudio, CaptureTask
    from wf_jax.flows.vocoder import VocoderTask

    if name == "a2":
        di, amp = (x[None].astype(np.float32) for x in demo_pair(20.0))
        return CaptureTask(CaptureAudio(di, amp, di, amp))
    config = get_config(name.removeprefix("waveflow_"))
    model, window, batch = config.flow_config(22050), config.data.window, config.train.batch_size
    noise = NoiseWindows(model.mel, window, batch)
    sizes = {"window": window, "batch_size": batch}
    return VocoderTask(model, noise, [], **sizes, steps_per_epoch=1, evaluate_every=1)
