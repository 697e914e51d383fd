"""Measure what a training step costs the host, beside what it costs the devices.

    python -m experiments.benchmark_dispatch --task=a2 --task=waveflow_64 --task=waveflow_tiny

Per step: the whole time, what the host spends on sending it (its own work; the devices compute
meanwhile, on a CPU on the same cores), what it waits for batches, and the share of both. Steps are
sent as the training loop sends them, one dispatch ahead; medians of rounds.
"""

from typing import Any

import numpy as np
from absl import app, flags

from data_pipeline.synthetic import demo_pair
from experiments.configs.waveflow import get_config
from experiments.terminal.start import no_arguments, parse_flags, set_up

_TASKS = flags.DEFINE_multi_enum(
    "task", ["a2"], ["a2", "waveflow_64", "waveflow_tiny"], "What to measure; may be repeated"
)
_SUBSTEPS = flags.DEFINE_multi_integer("substeps", [1, 8], "Steps per dispatch; may be repeated")
_SECONDS = flags.DEFINE_float("seconds", 20.0, "Of a round, two dispatches at least", 0.1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Rounds that count", 1)


def make_task(name: str) -> Any:
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


def main(argv: list[str]) -> None:
    """Measures and prints a line each."""
    set_up()
    no_arguments(argv, "--task=a2")
    import jax

    from experiments.accelerator.steps import time_steps
    from wf_jax.training.devices import use_every_core

    use_every_core(16)
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}")
    print("task           substeps  step ms  host ms  data ms  host and data of the step")
    for name in _TASKS.value:
        for substeps in _SUBSTEPS.value:
            steps = time_steps(make_task(name), substeps, _ROUNDS.value, _SECONDS.value)
            parts = (steps.seconds, steps.host, steps.data)
            numbers = "  ".join(f"{1e3 * value:7.2f}" for value in parts)
            share = (steps.host + steps.data) / steps.seconds
            print(f"{name:14} {substeps:8}  {numbers}  {share:.1%}", flush=True)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
