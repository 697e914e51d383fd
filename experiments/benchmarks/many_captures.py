"""Captures per hour, N of them: in turn by one program, and together in one."""

import json
import time
from pathlib import Path

import numpy as np

from data_pipeline.synthetic_pair import demo_pair
from experiments.benchmarks.cases import Options
from experiments.benchmarks.machine import environment
from experiments.benchmarks.steps import time_steps
from experiments.benchmarks.tables import draw_captures
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask
from wf_jax.whole_files import write_whole

STEPS = 300  # of 8 windows; README has what an amp is like after them
HELD_OUT = 9  # seconds


def run(options: Options) -> None:
    """Measures, prints a table, and writes it and a picture where --output says."""
    import jax

    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}")
    print(f"{STEPS} steps of SOAP, 8 windows of 8192 samples, nano and standard")
    first, alone = _start(1), _steps(1, options)
    again = _start(1)
    print(f"first capture: {first:.1f} s before its steps; every other: {again:.1f} s")
    print("captures   in turn   together: step   start   per hour   share of the work in turn")
    rows = []
    for count in map(int, options.captures):
        in_turn = first + (count - 1) * again + count * STEPS * alone
        start = first if count == 1 else _start(count)  # compiles, so before the steps
        step = _steps(count, options) if count > 1 else alone
        together = start + STEPS * step
        rows.append(
            {
                "captures": count,
                "step_seconds": step,
                "start_seconds": start,
                "in_turn_per_hour": 3600 * count / in_turn,
                "together_per_hour": 3600 * count / together,
            }
        )
        print(
            f"{count:8}   {rows[-1]['in_turn_per_hour']:7.1f}   {step:14.2f}   {start:5.1f}   "
            f"{rows[-1]['together_per_hour']:8.1f}   {step / count / alone:.2f}",
            flush=True,
        )
    if options.output:
        text = json.dumps({"steps": STEPS, "rows": rows, "environment": environment()}, indent=1)
        write_whole(options.output, lambda file: file.write(text.encode()))
        draw_captures(Path(options.output).with_suffix(".png"), rows, f"{STEPS} steps each")


def _start(count: int) -> float:
    """Returns the seconds until the first step and an evaluation are done."""
    import jax

    from wf_jax.training.dispatch import Dispatcher
    from wf_jax.training.settings import Settings

    began, task = time.perf_counter(), _task(count)
    with Dispatcher(task, Settings(optimizer="soap", weight_decay=0.0), lambda step: 1) as sender:
        state, sent = sender.send(sender.create(sender.params), 0, [1e-4])
        jax.block_until_ready((sent, task.evaluate(sender.module(state.judged))))
    return time.perf_counter() - began


def _steps(count: int, options: Options) -> float:
    """Returns the seconds of a step of so many captures."""
    found = time_steps(
        _task(count), rounds=options.rounds, seconds=options.seconds, optimizer="soap"
    )
    return found.seconds


def _task(count: int) -> CaptureTask:
    di, amp = (x.astype(np.float32) for x in demo_pair(20.0 + HELD_OUT))
    split = HELD_OUT * 48000
    parts = (di[:-split], amp[:-split], di[-split:], amp[-split:])
    return CaptureTask(CaptureAudio(*(np.tile(part, (count, 1)) for part in parts)), batch_size=8)
