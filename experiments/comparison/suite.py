"""Compares flows: trains the members one after the other, then measures them."""

import dataclasses
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from experiments.comparison.figures import draw
from experiments.comparison.members import Entry, members_of
from experiments.comparison.page import write_comparison_page
from experiments.comparison.speaking_speed import real_time
from experiments.comparison.table import Line, table
from experiments.run.decoration import decorating
from experiments.run.job import attempt
from experiments.run.json_files import write_json
from experiments.run.reading import number, read_result
from experiments.run.sweep import finished, train_each
from experiments.terminal.exit_codes import AGAIN, INTERRUPTED
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import load_model
from wf_jax.training.settings import Session
from wf_jax.whole_files import write_text

MEASURED = ("parameters", "steps", "minutes", "log_likelihood", "bits")  # of every member


def compare(config: Any, folder: Path) -> int:
    """Trains the unfinished members, then compares the finished ones.

    Args:
        config: see experiments.configs.likelihood.
        folder: folder of the comparison; each member is trained in a folder below.

    Returns:
        The exit code: 0 if all members are compared, 75 or 130 if it was interrupted, else 1.

    Raises:
        UserError: before anything is trained, for what no training could mend.
    """
    entries = members_of(config)
    configs = {
        name: (f"member {i + 1} of {len(entries)}: {name}", entry.run)
        for i, (name, entry) in enumerate(entries.items())
    }
    code = train_each(configs, folder, partial(attempt, session=Session()), "comparison")
    if code in (AGAIN, INTERRUPTED):
        return code
    missing = [name for name in entries if not finished(folder / name)]
    if missing:
        print(
            f"left out: {', '.join(missing)}; the same command tries again, and with "
            "--config.only=NAME,NAME takes those alone",
            file=sys.stderr,
        )
    write_comparison(folder, {k: v for k, v in entries.items() if k not in missing})
    return code


def write_comparison(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Measures the trained members in `folder`, and writes and prints the table."""
    if not entries:
        return
    lines = [_line(folder, name, entry) for name, entry in entries.items()]
    text = "\n".join(table(lines)) + "\n"
    write_json(folder / "likelihood.json", [dataclasses.asdict(line) for line in lines])
    write_text(folder / "likelihood.md", text)
    print(f"\n{text}")
    print(f"table:   {folder / 'likelihood.md'}")
    with decorating(folder / "likelihood.md"):
        draw(folder / "likelihood.png", lines)
        write_comparison_page(folder / "likelihood.html", lines, folder)
    print(f"picture: {folder / 'likelihood.png'}")
    print(f"page:    {folder / 'likelihood.html'}")


def _line(folder: Path, name: str, entry: Entry) -> Line:
    result, model = read_result(folder / name), load_model(folder / name / "model")
    config = model.config
    if missing := [key for key in MEASURED if number(result.get(key)) is None]:
        raise UserError(
            f"{folder / name / 'metrics.json'}: damaged, it has no {missing[0]}; remove it, and the"
            " same command writes it again"
        )
    return Line(
        name=name,
        family=config.family,
        described=config.describe(),
        parameters=result["parameters"],
        steps=result["steps"],
        minutes=result["minutes"],
        log_likelihood=result["log_likelihood"],
        bits=result["bits"],
        sequential_steps=config.sequential_steps(config.mel.sample_rate),
        real_time=real_time(model),
        paper=entry.paper,
    )
