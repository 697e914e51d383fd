"""The metrics of a run while it goes: metrics.jsonl, and one line on the terminal."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from wf_jax.bounded_files import LARGEST_RECORDS
from wf_jax.folders import is_remote, naming, read_text
from wf_jax.json_values import parse_json
from wf_jax.whole_files import write_text


class MetricsFile:
    """metrics.jsonl in the work folder: one JSON object per evaluation."""

    def __init__(self, path: Path, step: int):
        """Opens `path`, keeping of earlier sessions what happened up to `step`."""
        self.path = path
        self.records = [r for r in read_records(path) if r["step"] <= step]
        self._write()

    def append(self, record: dict[str, Any]) -> None:
        """Adds a record and writes it out at once.

        Raises:
            OSError: it cannot be written; names the file.
        """
        self.records.append(record)
        if is_remote(self.path):  # nothing can be added to an object of a remote store
            self._write()
            return
        with naming(self.path), self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def _write(self) -> None:
        write_text(self.path, "".join(json.dumps(r) + "\n" for r in self.records))


def read_records(path: Path) -> list[dict[str, Any]]:
    """Reads the records of a metrics.jsonl, if it exists; skips lines that a killed run left torn.

    Raises:
        OSError: it cannot be read, or is larger than LARGEST_RECORDS; names the file.
    """
    return list(parse_records(read_text(path, LARGEST_RECORDS) or ""))


def parse_records(text: str) -> Iterator[dict[str, Any]]:
    """Parses the lines that are records: JSON objects with the number of a step."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            record = parse_json(line)
            if isinstance(record, dict) and finite(record.get("step")) is not None:
                yield record


def finite(value: Any) -> float | None:
    """Returns the value if it is a finite number, else None."""
    wrong = isinstance(value, bool) or not isinstance(value, int | float)
    return None if wrong or not math.isfinite(value) else value


class Progress:
    """One line that is rewritten on a terminal; in a log file, a line every half minute."""

    def __init__(self, stream: TextIO | None = None):
        """Writes to `stream`, standard error if None."""
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._interval = 0.5 if self._terminal else 30.0  # seconds
        self._next = 0.0
        self._line = self._shown = ""

    def update(self, line: str) -> None:
        """Shows `line` if it is time, in place of the one before."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._interval
            self._show(line)
        self._line = line

    def keep(self, line: str) -> None:
        """Shows `line` and leaves it standing."""
        self._show(line)
        self._end()

    def close(self) -> None:
        """Leaves the last line standing, brought up to date."""
        if self._line and (self._terminal or self._line != self._shown):
            self.keep(self._line)

    def _show(self, line: str) -> None:
        # Clears what a longer line before it leaves: ESC [ K erases to the end of the line.
        self._stream.write(f"\r{line}\x1b[K" if self._terminal else f"{line}\n")
        self._stream.flush()
        self._shown = line

    def _end(self) -> None:
        if self._terminal:
            self._stream.write("\n")
        self._line = ""


def duration(minutes: float) -> str:
    """Formats minutes: 1:05 for 1.09 minutes, 2:00:00 for two hours."""
    seconds = round(60 * max(minutes, 0.0))
    hours, seconds = divmod(seconds, 3600)
    if hours:
        return f"{hours}:{seconds // 60:02d}:{seconds % 60:02d}"
    return f"{seconds // 60}:{seconds % 60:02d}"
