"""Times training steps of a task as the training loop takes them: one dispatch ahead."""

import dataclasses
import itertools
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from data_pipeline.synthetic_pair import demo_pair
from experiments.configs.waveflow import get_config
from wf_jax.native.engines import AUTO
from wf_jax.training.settings import Settings

if TYPE_CHECKING:
    from wf_jax.amps.capture_task import CaptureTask
    from wf_jax.flows.vocoder_task import VocoderTask

TASKS = ("a2", "waveflow_64", "waveflow_tiny")


@dataclasses.dataclass(frozen=True)
class Steps:
    """The costs of a training step.

    Attributes:
        first: seconds until the first dispatch was done; it compiles.
        seconds: seconds per step, median of the rounds.
        host: the host's part of them, spent on sending.
        data: the part of them spent waiting for a batch.
        flops: FLOP per step, over all devices.
        devices: number of devices.
        memory: bytes that its program needs on a device.
    """

    first: float
    seconds: float
    host: float
    data: float
    flops: float
    devices: int
    memory: int

    def cells(self, audio_seconds: float, peak: float) -> dict[str, float]:
        """Returns the cells of a table.

        Args:
            audio_seconds: seconds of audio per step.
            peak: FLOP/s of one device, which 100 % are of.
        """
        return {
            "ms per step": 1e3 * self.seconds,
            "x real time": audio_seconds / self.seconds,
            "GFLOP per step": self.flops / 1e9,
            "share of the peak, %": 100 * self.flops / self.seconds / self.devices / peak,
            "memory, GiB": self.memory / 2**30,
            "host, ms": 1e3 * self.host,
            "waiting for batches, ms": 1e3 * self.data,
            "first dispatch, s": self.first,
        }


def time_steps(
    task: "CaptureTask | VocoderTask",
    substeps: int = 1,
    rounds: int = 3,
    seconds: float = 0.7,
    trace: str = "",
    optimizer: str = Settings.optimizer,
) -> Steps:
    """Takes steps in rounds of about `seconds`; the median of the rounds counts.

    Args:
        task: the task to train.
        substeps: per dispatch.
        rounds: number of rounds.
        seconds: duration of one round; two dispatches at least.
        trace: folder for a profiler's trace of one more round, of four dispatches; "" for none.
        optimizer: its name.
    """
    import jax

    from wf_jax.training.dispatch import Dispatcher

    settings = Settings(substeps=substeps, weight_decay=0.0, optimizer=optimizer)
    with Dispatcher(task, settings, lambda step: substeps) as dispatcher:
        state, step = dispatcher.create(dispatcher.params), 0

        def take(dispatches: int) -> tuple[float, float, float]:
            """Seconds per step: total, sending, and waiting for batches."""
            nonlocal state, step
            dispatcher.clock.start()
            previous, sending, start = None, 0.0, time.perf_counter()
            for _ in range(dispatches):
                began = time.perf_counter()
                state, sent = dispatcher.send(state, step, [1e-4] * substeps)
                sending += time.perf_counter() - began
                step += substeps
                jax.device_get(previous)
                previous = sent
            jax.block_until_ready((state, previous))
            waited = dispatcher.clock.report()["time/data"]
            each = dispatches * substeps
            return (time.perf_counter() - start) / each, sending / each - waited, waited

        first = take(1)[0] * substeps
        once = take(2)[0] * substeps  # the first dispatches settle
        count = max(2, round(seconds / max(once, 1e-4)))
        found = [take(count) for _ in range(rounds)]
        whole, host, data = (statistics.median(column) for column in zip(*found, strict=True))
        if trace:
            with jax.profiler.trace(trace):
                take(4)
        return Steps(
            first, whole, host, data, dispatcher.flops, dispatcher.devices, dispatcher.memory
        )


def measure(
    task: list[str], optimizer: list[str], substeps: list[int], seconds: float, rounds: int
) -> None:
    """Times steps of TASKS and prints a line each."""
    import jax

    from wf_jax.training.devices import use_every_core

    use_every_core(1 if set(task) == {"a2"} else 16)  # native passes use all cores of one device
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}")
    print(
        "task           optimizer  substeps  step ms  host ms  data ms  host and data of the step"
    )
    for name, count, rule in itertools.product(task, substeps, optimizer):
        steps = time_steps(make_task(name), count, rounds, seconds, optimizer=rule)
        parts = (steps.seconds, steps.host, steps.data)
        numbers = "  ".join(f"{1e3 * value:7.2f}" for value in parts)
        share = (steps.host + steps.data) / steps.seconds
        print(f"{name:14} {rule:9}  {count:8}  {numbers}  {share:.1%}", flush=True)


def make_task(name: str, engine: str = AUTO) -> "CaptureTask | VocoderTask":
    """The task of this name, on made-up audio; `engine` of the passes of a capture."""
    from experiments.benchmarks.noise_windows import noise_task
    from wf_jax.amps.capture_task import CaptureAudio, CaptureTask

    if name == "a2":
        di, amp = (x[None].astype(np.float32) for x in demo_pair(20.0))
        return CaptureTask(CaptureAudio(di, amp, di, amp), engine=engine)
    config = get_config(name.removeprefix("waveflow_"))
    model, window, batch = config.flow_config(22050), config.data.window, config.train.batch_size
    return noise_task(model, window, batch)
