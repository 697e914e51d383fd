"""Runs a battery of hostile files in its own process, so that a crash ends only that."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def counts_of(module: str, seed: int, count: int) -> dict:
    """Counts the results of `count` files; prints them, with the slowest file's CPU seconds.

    Raises:
        AssertionError: a file violates a rule, or a traceback was printed.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, str(seed), str(count)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    broken = [line for line in done.stderr.splitlines() if line.startswith(("file ", "table "))]
    assert not broken, "\n".join(broken)
    for phrase in ("Traceback", "Exception ignored"):
        assert phrase not in done.stderr, done.stderr[-3000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    print(counts)
    return counts
