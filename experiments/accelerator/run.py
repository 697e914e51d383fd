"""Runs the parts one after the other, each in its own process, and keeps their results."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import experiments
from data_pipeline.corpus import Corpus
from experiments.accelerator.parts import PARTS, Part
from experiments.accelerator.report import ROWS, Options, Report, read_rows
from experiments.accelerator.results import write_results
from experiments.terminal.outputs import check_folder
from wf_jax.errors import UserError
from wf_jax.training.metrics import Progress, duration

LOG, CACHE = "log.txt", "cache"
PATIENCE = 10.0  # seconds that a part may be late before it is ended, and a third of its share
SHOWN = 10.0  # seconds after which the results are written again while a part runs


def examine(output: str, minutes: float, parts: list[str], corpus: str, small: bool) -> int:
    """Runs the named parts, as far as SIGTERM lets it; see `run_parts`.

    Raises:
        UserError: there is no such part or corpus, or a folder cannot be used.
    """
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        known = ", ".join(PARTS)
        raise UserError(f"--parts={','.join(unknown)}: no such part; choose of {known}")
    folder = Path(output)
    check_folder(folder)
    if corpus:
        Corpus.open(corpus).check()
        corpus = os.path.abspath(corpus)
    chosen = {name: part for name, part in PARTS.items() if name in parts}
    # What runs is ended, and what is there kept.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return run_parts(chosen, folder, 60 * minutes, small, corpus)


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

    Raises:
        FileExistsError: a part's folder is there and is something else.
    """
    folders = {name: output.absolute() / name for name in parts}
    for folder in folders.values():
        if folder.exists() and not (folder / ROWS).exists():
            raise FileExistsError(errno.EEXIST, "is no part's folder", str(folder))
    end, bad = time.monotonic() + seconds, 0
    shares = [part.share for part in parts.values()]
    for number, (name, part) in enumerate(parts.items()):
        left = max(end - time.monotonic(), 0.0)
        shutil.rmtree(folders[name], ignore_errors=True)
        folders[name].mkdir(parents=True)
        (folders[name] / ROWS).touch()
        allowed = left * part.share / sum(shares[number:])
        ended = _run_part(name, part, Options(folders[name], allowed, small, corpus), output)
        bad += ended != "ok"
    print(f"{output / 'results.md'}, and the same as results.json")
    return min(bad, 1)


def _run_part(name: str, part: Part, options: Options, output: Path) -> str:
    """Runs one part, stops it when it is late, and returns how it ended."""
    rows, began = options.folder / ROWS, time.monotonic()
    given = json.dumps({**dataclasses.asdict(options), "folder": str(options.folder)})
    command = [sys.executable, "-m", "experiments.accelerator.worker", part.module, given]
    progress, late, shown = Progress(), 4 / 3 * options.seconds + PATIENCE, began
    with (options.folder / LOG).open("w") as log:
        # A group of its own, so that all that it starts can be ended with it.
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=_environment(options), process_group=0
        )
        ended = "cut off"
        try:
            while process.poll() is None and time.monotonic() - began < late:
                time.sleep(0.1)
                progress.update(_line(name, began, len(read_rows(rows)), "..."))
                if time.monotonic() - shown > SHOWN:
                    write_results(output)
                    shown = time.monotonic()
            ended = _how_it_ended(process, rows)
        finally:
            _end(process)
            Report(rows, 0).ended(ended, time.monotonic() - began)
            write_results(output)
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
    """Returns the environment of a part, with the paths to this code and its compiled programs."""
    root = str(Path(experiments.__file__).parents[1])
    variables = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(options.folder.parent / CACHE),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        "PYTHONSAFEPATH": "1",  # the current folder may hold another `experiments`
        "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
    }
    platforms = variables.get("JAX_PLATFORMS", "")
    if platforms and "cpu" not in platforms.split(","):  # what is compared with is computed there
        variables["JAX_PLATFORMS"] = f"{platforms},cpu"
    if version("jax").startswith("0.11."):  # whose CPU programs may wait for themselves for ever
        flags = (variables.get("XLA_FLAGS", ""), "--xla_cpu_multi_thread_eigen=false")
        variables["XLA_FLAGS"] = " ".join(filter(None, flags))
    return variables
