"""Joins the reports of several runs on one page, under each other.

    python -m experiments.join_reports --output=report.html RUN_DIR...

Each RUN_DIR holds the report.html that its training wrote.
"""

from pathlib import Path

from absl import flags

from experiments.report.joining import join
from experiments.terminal.start import start_with_names

_OUTPUT = flags.DEFINE_string("output", None, "The page to write", required=True)


def main(names: list[str]) -> None:
    """Joins the reports of the named folders."""
    join(Path(_OUTPUT.value), [Path(name) for name in names])


if __name__ == "__main__":
    start_with_names(main)
