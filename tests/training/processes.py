"""Runs the toy task in separate processes."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(module, workdir, processes, devices, *arguments, **environment):
    """Starts `module` with WORKDIR DISTRIBUTED and arguments; `devices` in each process."""
    address = f"127.0.0.1:{free_port()},{processes}"
    environment = {"JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(ROOT), **environment}
    return [
        subprocess.Popen(
            [
                *(sys.executable, "-m", module, str(workdir)),
                f"{address},{index}" if processes > 1 else "none",
                *map(str, arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment},
        )
        for index in range(processes)
    ]


def launch(workdir, processes, devices, *, pause=0.0, epochs=12, interval=5):
    """Starts the toy task; pauses before each step and saves every `interval` steps."""
    return start("tests.training.toy", workdir, processes, devices, pause, epochs, interval)


def finish(run, timeout=120):
    """Returns exit codes, process 0's output, and all complaints."""
    said = [process.communicate(timeout=timeout) for process in run]
    # Threads of Gloo write at once, and into each other's lines.
    lines = said[0][0].splitlines()
    printed = [line for line in lines if line and not re.search(r"\[Gloo\]|peer ranks", line)]
    return [process.returncode for process in run], printed, "".join(err for _, err in said)


def records(workdir):
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def wait_for_steps(workdir, steps, run=()):
    """Waits until that many are recorded, or a process has ended."""
    deadline = time.monotonic() + 90
    while not any(record["step"] >= steps for record in records(workdir)):
        assert time.monotonic() < deadline, "the run did not start"
        if any(process.poll() is not None for process in run):
            return
        time.sleep(0.02)


def curve(workdir):
    return np.array([[r["step"], r["loss/line"], r["esr/line"]] for r in records(workdir)])
