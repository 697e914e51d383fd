"""Studio as a process of its own, which can be killed, and trainings that take seconds."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from experiments.run.json_files import read_table
from experiments.studio.about import ABOUT
from experiments.studio.states import process_of
from tests.amps.nam_examples import EXAMPLES
from tests.experiments.studio_server import Client

ROOT = Path(__file__).parents[2]
# For a model that compiles in no time (`tiny`).
SMALL = {"train.batch_size": 4, "train.steps": 6, "checkpoints.steps": 2}
PATIENCE = 600.0  # seconds: compiling takes most of it, on a machine with other work


@contextlib.contextmanager
def studio_process(folder: Path, *flags: str) -> Iterator[tuple[Client, subprocess.Popen]]:
    """Starts Studio on a free port; ends it and its trainings, unless it was killed meanwhile."""
    command = [sys.executable, "-m", "experiments.studio", f"--folder={folder}", "--port=0"]
    process = subprocess.Popen(
        [*command, "--noopen", *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", line)
        assert address, process.poll()
        yield Client(int(address[1]), address[2]), process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
            _end_trainings(folder / "runs")
        process.stdout.close()


def _end_trainings(runs: Path) -> None:
    for path in runs.glob(f"*/{ABOUT}"):
        number = process_of(path.parent, read_table(path))
        with contextlib.suppress(ProcessLookupError):
            if number is not None:
                kill(number)


def tiny(client: Client) -> str:
    """Sends a model of 150 parameters to begin with; returns its id."""
    return client.send("tiny.nam", json.dumps(EXAMPLES["gated"]()).encode())["id"]


def until(look: Callable[[], Any], *, seconds: float = PATIENCE) -> Any:
    """Waits until `look` returns something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds:.0f} s")


def state(client: Client, id: str) -> dict[str, Any]:
    """Returns the state of a run."""
    status, found = client.json("GET", f"/capture/{id}")
    assert status == 200, found
    return found


def ended(client: Client, id: str) -> dict[str, Any]:
    """Waits until a run neither trains nor waits."""
    return until(
        lambda: (found := state(client, id))["state"] not in ("running", "waiting") and found
    )


def kill(number: int) -> None:
    """Kills a process at once."""
    os.kill(number, signal.SIGKILL)
