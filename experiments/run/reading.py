"""Reads a training run from its folder: config.json, metrics.jsonl, metrics.json. No jax."""

import dataclasses
import os
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.run.json_files import read_table
from wf_jax.bounded_files import LARGEST_CONFIG, LARGEST_RECORDS, read_bounded, read_json
from wf_jax.errors import UserError
from wf_jax.old_names import current_names
from wf_jax.training.metrics import finite, parse_records

_MOST = 1e30  # of what a run measures
_LONGEST_TASK = 40  # characters
DEPTH = 2  # folders below a named one in which runs are looked for


@dataclasses.dataclass(frozen=True)
class Best:
    """The best value of a metric, and the step of that evaluation where it is known."""

    value: float
    step: int | None


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """The files of a run so far.

    Attributes:
        folder: folder of the run.
        config: option -> value, as {"train.seed": 0}.
        records: one per evaluation, in order.
        result: metrics.json; empty where there is none yet.
    """

    folder: Path
    config: dict[str, Any]
    records: list[dict[str, Any]]
    result: dict[str, Any]

    @property
    def task(self) -> str:
        """The trained task: "capture" or "vocoder"."""
        return self.config["task"]

    @property
    def step(self) -> int:
        """Steps taken, as far as they were written down."""
        return int(max(self._last("step"), number(self._current.get("steps")) or 0))

    @property
    def minutes(self) -> float:
        """Minutes of training, all sessions together."""
        return max(self._last("minutes"), number(self._current.get("minutes")) or 0.0)

    @property
    def total_steps(self) -> int | None:
        """Planned steps; None if the budget is in minutes or not known yet."""
        if self.total_minutes:
            return None
        if steps := number(self.config.get("train.steps")):
            return int(steps)
        epochs = number(self.config.get("train.epochs"))
        steps, epochs_taken = self._pace("epoch")
        total = number(epochs * steps / epochs_taken) if epochs and epochs_taken else None
        return None if total is None else round(total)

    @property
    def total_minutes(self) -> float | None:
        """The budget in minutes; None if it is in steps."""
        return number(self.config.get("train.minutes")) or None

    @property
    def speed(self) -> float | None:
        """Steps per second: the median over the evaluations.

        Older runs do not record it: then from the first evaluation to the last, evaluations
        included. None with fewer than two: the minutes before the first hold the compilation.
        """
        if said := self.curve("speed/steps", "step")[1]:
            return statistics.median(said)
        steps, minutes = self._pace("minutes", since_first=True)
        return number(steps / (60 * minutes)) if steps > 0 and minutes > 0 else None

    @property
    def finished(self) -> bool:
        """True if the whole budget was used."""
        used_up = self._current.get("stopped") == "the budget is used up"
        return self._current.get("finished", used_up) is True

    @property
    def diverged(self) -> bool:
        """True if the run ended because the loss was not finite."""
        return "diverged" in str(self._current.get("stopped"))

    def curve(self, metric: str, axis: str) -> tuple[list[float], list[float]]:
        """Returns `axis` ("step" or "minutes") and `metric` of the records that have both."""
        pairs = [(number(r.get(axis)), number(r.get(metric))) for r in self.records]
        known = [(x, y) for x, y in pairs if x is not None and y is not None]
        return [x for x, _ in known], [y for _, y in known]

    def best(self, metric: str, *, higher: bool) -> Best | None:
        """Returns the kept model: from metrics.json, or the best evaluation so far.

        The two differ where a signal ended the run: that last evaluation is no candidate.
        """
        steps, values = self.curve(metric, "step")
        kept = judged(self._current).get(metric)
        if kept is None:
            if not values:
                return None
            kept = max(values) if higher else min(values)
        nearest = min(zip(values, steps, strict=True), key=lambda p: abs(p[0] - kept), default=None)
        return Best(kept, int(nearest[1]) if nearest else None)

    @property
    def _current(self) -> dict[str, Any]:
        """metrics.json, unless the run went on after it was written."""
        return self.result if (number(self.result.get("steps")) or 0) >= self._last("step") else {}

    def _last(self, key: str) -> float:
        return max((number(record.get(key)) or 0.0 for record in self.records), default=0.0)

    def _pace(self, key: str, *, since_first: bool = False) -> tuple[float, float]:
        """Returns the steps taken and the increase of `key` in the same time."""
        at, steps = self.curve("step", key)
        if not steps:
            return 0.0, 0.0
        start = (steps[0], at[0]) if since_first else (0.0, 0.0)
        return steps[-1] - start[0], at[-1] - start[1]


def find_runs(folder: Path) -> list[Path]:
    """Returns the folder itself if it is a run's, else the runs up to two levels below, by name.

    Raises:
        UserError: there is none.
    """
    if not os.path.isdir(folder):  # which takes a name that is too long for a missing one
        reason = "not a folder" if os.path.exists(folder) else "no such folder"
        raise UserError(f"{folder}: {reason}; name the --workdir of a training, or one above it")
    found = sorted(_search(folder))
    if not found:
        raise UserError(
            f"{folder}: no training run in it or up to {DEPTH} folders below; name the --workdir "
            "of a training, or a folder that holds several"
        )
    return found


def _search(top: Path) -> Iterator[Path]:
    for place, folders, _ in os.walk(top, followlinks=True):
        folder = Path(place)
        if is_run(folder):
            yield folder
            folders.clear()
        elif len(folder.relative_to(top).parts) >= DEPTH:
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]


def is_run(folder: Path) -> bool:
    """Returns whether a folder is a run's: models and others have a config.json without a task."""
    if (folder / "metrics.jsonl").is_file():
        return True
    try:  # a run that has just begun; its bytes tell even where they are damaged
        return b'"task"' in read_bounded(folder / "config.json", LARGEST_CONFIG)
    except (OSError, UserError):
        return False


def read_run(folder: Path) -> Run:
    """Reads a run's files; skips entries that a killed run left half written.

    Raises:
        UserError: its config.json is missing or damaged.
    """
    path = folder / "config.json"
    remedy = "restore it, or leave this folder out"
    try:
        config = current_names(read_json(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; {remedy}") from None
    except ValueError as error:  # not JSON, or not even text
        raise UserError(f"{path}: damaged ({error}); {remedy}") from None
    task = config.get("task") if isinstance(config, dict) else None
    if not isinstance(task, str) or not task.isprintable() or len(task) > _LONGEST_TASK:
        raise UserError(f"{path}: damaged (it names no task); {remedy}")
    return Run(
        folder, config, _records(folder / "metrics.jsonl"), read_table(folder / "metrics.json")
    )


def judged(result: dict[str, Any]) -> dict[str, float]:
    """Returns the judging metrics of the kept model, by their names in metrics.jsonl."""
    found: dict[str, Any] = {}
    for names in (result.get("best"), result.get("esr")):
        if isinstance(names, dict):  # before there was "best", captures had "esr" alone
            prefix = "" if names is result.get("best") else "esr/"
            found |= {prefix + name: number(value) for name, value in names.items()}
    found["ll/validation"] = number(result.get("log_likelihood"))
    found["bits/validation"] = number(result.get("bits"))
    return {name: value for name, value in found.items() if value is not None}


def read_result(folder: Path) -> dict[str, Any]:
    """Reads metrics.json of a run; empty if missing or damaged."""
    return read_table(folder / "metrics.json")


def number(value: Any) -> float | None:
    """Returns the value if it is a finite number that a picture can show, else None."""
    found = finite(value)
    return None if found is None or abs(found) > _MOST else found


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        text = read_bounded(path, LARGEST_RECORDS).decode(errors="replace")
    except OSError:
        return []
    except UserError as error:
        raise UserError(f"{path}: {error}; leave this folder out") from None
    return [r for r in parse_records(text) if number(r["step"]) is not None]
