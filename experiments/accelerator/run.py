"""Runs the parts one after the other, each in a process of its own, and keeps what they find."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import experiments
from experiments.accelerator.parts import Part
from experiments.accelerator.report import ROWS, Options, Report, read_rows
from experiments.accelerator.results import write_results
from wf_jax.training.metrics import Progress, duration

LOG, CACHE = "log.txt", "cache"
PATIENCE = 10.0  # seconds that a part may be late before it is ended, and a third of its share


def run_parts(
    parts: Mapping[str, Part], output: Path, seconds: float, small: bool = False, corpus: str = ""
) -> int:
    """Runs the parts within about `seconds`.

    Args:
        parts: by name, in their order.
        output: of results.md, results.json, and a folder for every part. What an earlier run left
            there of other parts stays in the results.
        seconds: for all of them; each has its share of what is left.
        small: whether to shrink every size.
        corpus: see Options.

    Returns:
        The exit code: 0, or 1 where a part did not come to its end.
    """
    end, bad = time.monotonic() + seconds, 0
    shares = [part.share for part in parts.values()]
    for number, (name, part) in enumerate(parts.items()):
        left = max(end - time.monotonic(), 0.0)
        folder = output.absolute() / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        allowed = left * part.share / sum(shares[number:])
        ended = _run_part(name, part, Options(folder, allowed, small, corpus))
        bad += ended != "ok"
        write_results(output)
    print(f"{output / 'results.md'}, and the same as results.json")
    return min(bad, 1)


def _run_part(name: str, part: Part, options: Options) -> str:
    """Runs one part, ends it when it is late, and says how it ended."""
    rows, began = options.folder / ROWS, time.monotonic()
    given = json.dumps({**dataclasses.asdict(options), "folder": str(options.folder)})
    command = [sys.executable, "-m", "experiments.accelerator.worker", part.module, given]
    progress, late = Progress(), 4 / 3 * options.seconds + PATIENCE
    with (options.folder / LOG).open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=_environment(options), start_new_session=True
        )
        try:
            while process.poll() is None and time.monotonic() - began < late:
                time.sleep(0.1)
                progress.update(_line(name, began, len(read_rows(rows)), "..."))
            ended = _how_it_ended(process, rows)
        finally:
            _end(process)
    Report(rows, 0).ended(ended, time.monotonic() - began)
    progress.keep(_line(name, began, len(read_rows(rows)) - 1, ended))
    return ended


def _line(name: str, began: float, entries: int, ended: str) -> str:
    spent = duration((time.monotonic() - began) / 60)
    return f"{name:<10} {spent:>5}  {entries:3} entries  {ended}"


def _how_it_ended(process: subprocess.Popen, rows: Path) -> str:
    code = process.poll()
    if code is None:
        return "ended: its time was over"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if code == 0:
        return "ok"
    reasons = [entry["failed"] for entry in read_rows(rows) if "failed" in entry]
    return reasons[-1] if reasons else f"ended with code {code}; see {rows.parent / LOG}"


def _end(process: subprocess.Popen) -> None:
    """Ends a part and all processes that it has started."""
    for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue


def _environment(options: Options) -> dict[str, str]:
    """Of a part: it finds this code from any folder, and programs that were compiled before."""
    root = str(Path(experiments.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(options.folder.parent / CACHE),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        "PYTHONPATH": path,
    }
