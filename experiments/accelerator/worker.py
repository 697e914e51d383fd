"""Runs one part in its own process: python -m experiments.accelerator.worker MODULE OPTIONS.

OPTIONS is JSON. The part's results go to rows.jsonl in its folder; the error that stops it is the
last entry there.
"""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from experiments.accelerator.report import ROWS, Options, Report, one_line


def run_part(module: str, options: Options) -> int:
    """Runs the part that is `module`; returns the exit code."""
    report = Report(options.folder / ROWS, options.seconds)
    try:
        importlib.import_module(module).measure(report, options)
    except Exception as error:
        traceback.print_exc()  # for the log; the tables take a line
        report.failed(one_line(error))
        return 1
    return 0


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    code = run_part(sys.argv[1], Options(**{**given, "folder": Path(given["folder"])}))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without waiting for threads that still compile what nobody waits for
