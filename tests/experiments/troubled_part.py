"""A part of the examination that behaves as the name of its folder says."""

import os
import signal
import time

import jax.numpy as jnp

from experiments.accelerator.report import Options, Report


def measure(report: Report, options: Options) -> None:
    report.row("Before", what="found")
    {
        "fine": lambda: None,
        "raises": _raise,
        "memory": lambda: jnp.zeros(2**50).block_until_ready(),
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "late": lambda: time.sleep(600),
        "case": lambda: _cases(report),
        "times": lambda: _times(report, options),
    }[options.folder.name]()
    report.row("After", what="found")


def _raise() -> None:
    raise ValueError("something\nlong")


def _cases(report: Report) -> None:
    for number in (1, 2):
        with report.attempt("Cases", number=number) as row:
            row["value"] = jnp.zeros(2**50 if number == 1 else 2).size


def _times(report: Report, options: Options) -> None:
    report.row("Times", seconds=options.seconds)
