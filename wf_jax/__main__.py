"""The program `wf-jax`, and `python -m wf_jax`: one word for each thing that the project does."""

import contextlib
import os
import sys


def main() -> int:
    """Runs the word that was typed; returns the exit code."""
    _prefer_own_packages()
    from experiments.terminal.dispatch import run

    return run("" if __name__ == "__main__" else sys.argv[0], sys.argv[1:])


def _prefer_own_packages() -> None:
    """Imports nothing from the current folder, which may hold another package `experiments`."""
    with contextlib.suppress(OSError):  # the current folder was deleted
        here = os.path.realpath(os.getcwd())
        if here != os.path.dirname(os.path.dirname(os.path.realpath(__file__))):
            sys.path[:] = [path for path in sys.path if os.path.realpath(path) != here]


if __name__ == "__main__":
    sys.exit(main())
