"""Decides the length of a run where its config has another one than was asked for."""

from collections.abc import Container
from typing import Any

LENGTHS = ("minutes", "steps", "epochs")  # the first of them above 0 counts


def keep_asked(train: Any, asked: Container[str]) -> None:
    """Sets to 0 what a config has of lengths that would win over the one that was asked for.

    So `a2_capture:demo`, which has minutes, trains the steps of `--config.train.steps=100`.

    Args:
        train: the training options; changed in place.
        asked: names of options that were given, as "train.steps".
    """
    given = [name for name in LENGTHS if f"train.{name}" in asked and getattr(train, name)]
    for name in LENGTHS[: LENGTHS.index(given[0])] if given else ():
        if before := getattr(train, name, 0):
            setattr(train, name, type(before)(0))
