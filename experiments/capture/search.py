"""Captures one amp with several settings, one after the other, and keeps the best.

Each trial is a run of a sweep in a folder of its own; those that differ in rates and seeds alone
share their compiled step.
"""

import csv
import dataclasses
import io
import math
from functools import partial
from operator import attrgetter
from pathlib import Path

import jax

from experiments.capture.config import CaptureConfig
from experiments.run.job import attempt
from experiments.run.reading import judged, read_result
from experiments.run.sweep import configs_of, train_each
from wf_jax.errors import UserError
from wf_jax.training.distributed import say
from wf_jax.training.settings import Session
from wf_jax.whole_files import write_whole

TABLE = "search.csv"
KEPT = ("model.nam", "report.html")


@dataclasses.dataclass(frozen=True)
class Found:
    """A trial that gave a model.

    Attributes:
        name: name of its folder.
        esr: by size.
        minutes: of training.
    """

    name: str
    esr: dict[str, float]
    minutes: float

    @property
    def error(self) -> float:
        """The geometric mean of its sizes' ESR, by which trials are compared."""
        return math.exp(sum(math.log(max(esr, 1e-12)) for esr in self.esr.values()) / len(self.esr))


def search_settings(config: CaptureConfig, workdir: Path, session: Session) -> int:
    """Trains every combination of `config.search` in a folder below `workdir`.

    The best one's model and report, and a table of all, are copied there.

    Returns:
        0 if every trial is finished, 75 or 130 if one was interrupted, else 1.

    Raises:
        UserError: an option or a value cannot be used, or there are several processes.
    """
    if jax.process_count() > 1:
        raise UserError("--config.search: is for one process; leave --distributed out")
    configs = configs_of(config.trials(), dataclasses.replace(config, search=""))
    code = train_each(configs, workdir, partial(attempt, session=session), "search")
    found = sorted(
        filter(None, (_found(workdir / name) for name in configs)), key=attrgetter("error")
    )
    if found:
        best = found[0]
        for name in KEPT:
            data = (workdir / best.name / name).read_bytes()
            write_whole(workdir / name, lambda file, data=data: file.write(data))
        text = _table(found)
        write_whole(workdir / TABLE, lambda file: file.write(text.encode()))
        reached = ", ".join(f"{size} {esr:.4f}" for size, esr in best.esr.items())
        say(f"best: {best.name}, ESR {reached}; copied to {workdir / KEPT[0]}")
    return code


def _found(folder: Path) -> Found | None:
    """Reads a trial; None where it has no model."""
    result = read_result(folder)
    esr = {k.removeprefix("esr/"): v for k, v in judged(result).items() if k.startswith("esr/")}
    whole = all((folder / name).is_file() for name in KEPT)
    return Found(folder.name, esr, float(result.get("minutes") or 0)) if esr and whole else None


def _table(found: list[Found]) -> str:
    """Writes all trials, the best one first."""
    sizes = list(found[0].esr)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["trial", *(f"esr_{size}" for size in sizes), "minutes"])
    for each in found:
        writer.writerow(
            [each.name, *(f"{each.esr.get(s, math.nan):.6g}" for s in sizes), f"{each.minutes:.3g}"]
        )
    return lines.getvalue()
