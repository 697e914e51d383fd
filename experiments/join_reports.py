"""Joins the reports of several runs on one page, under each other.

    python -m experiments.join_reports --output=report.html RUN_DIR...

Each RUN_DIR holds the report.html that its training wrote.
"""

from absl import flags

from experiments.report.joining import join
from experiments.terminal.start import start

flags.DEFINE_string("output", None, "The page to write")

if __name__ == "__main__":
    start(join)
