"""Writes the rows of a part of the examination to disk at once.

A row is a line of JSON in a file, so that a killed part leaves its earlier results.
"""

import contextlib
import dataclasses
import gc
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wf_jax.json_values import parse_json

Row = dict[str, Any]  # column -> text, number or None
NOT_BEGUN = "not begun: no time left"
ROWS = "rows.jsonl"
# As XLA says it, CUDA, and libraries that want room to work in.
NO_MEMORY = ("RESOURCE_EXHAUSTED", "OUT_OF_MEMORY", "Failed to allocate", "scratch allocator")


@dataclasses.dataclass(frozen=True)
class Options:
    """The task of a part.

    Attributes:
        folder: folder for its files (traces, models, samples); made before it starts.
        seconds: its share of the time.
        small: whether every size is shrunk, for a rehearsal on a CPU.
        corpus: a prepared corpus; "" for the built-in speech.
    """

    folder: Path
    seconds: float
    small: bool = False
    corpus: str = ""


class Report:
    """The tables of one part: rows by table, in the order in which they were found."""

    def __init__(self, path: Path, seconds: float):
        """Appends to the file `path`; the time ends `seconds` from now."""
        self._path, self._end = path, time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Seconds until the time is over; negative after that."""
        return self._end - time.monotonic()

    def row(self, table: str, **cells: Any) -> None:
        """Adds a row; numbers in the unit that their column names."""
        self._append({"table": table, "cells": cells})

    def note(self, line: str) -> None:
        """Adds a line that stands below the tables."""
        self._append({"note": line})

    def failed(self, reason: str) -> None:
        """Records in one line why the part failed."""
        self._append({"failed": reason})

    def ended(self, how: str, seconds: float) -> None:
        """Closes the part with "ok" or the reason of its end."""
        self._append({"ended": how, "seconds": round(seconds, 1)})

    @contextlib.contextmanager
    def attempt(self, table: str, **cells: Any) -> Iterator[Row]:
        """Adds a row of `cells` and of the cells that the block adds.

        An exception becomes its "error": one line, and the part goes on.
        """
        gc.collect()  # what a case before that failed held in cycles must not be missing
        row = dict(cells)
        try:
            yield row
        except Exception as error:
            row["error"] = one_line(error)
        self.row(table, **row)

    def in_time(self, table: str, cases: Sequence[Row]) -> Iterator[Row]:
        """Yields the cells that each case begins with while there is time, most valuable first.

        The others become rows that say so.
        """
        for case in cases:
            if self.seconds_left > 0:
                yield case
            else:
                self.row(table, **case, error=NOT_BEGUN)

    def _append(self, entry: Row) -> None:
        with self._path.open("a") as file:
            file.write("\n" + json.dumps(entry) + "\n")  # on a line of its own after a torn one


def one_line(error: BaseException) -> str:
    """Returns an error's kind and first line; "out of memory" in plain words."""
    lines = str(error).strip().splitlines() or [""]
    if isinstance(error, MemoryError) or any(phrase in str(error) for phrase in NO_MEMORY):
        return "out of memory"
    return f"{type(error).__name__}: {lines[0][:160]}"


def read_rows(path: Path) -> list[Row]:
    """Reads the entries of a report's file; a torn last line is skipped."""
    entries = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            entries.append(parse_json(line))
    return entries
