"""Sets runs side by side: prints their table and draws their curves."""

import os
import sys
from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import TextIO

from experiments.run.reading import Run, find_runs, read_run
from experiments.run.table import Table, compare, json_lines, text
from experiments.terminal.pipes import reader_may_leave
from wf_jax.errors import UserError
from wf_jax.whole_files import atomic_path

KINDS = (".png", ".svg")


def compare_runs(
    names: Sequence[str], output: str | None = None, x: str = "step", json: bool = False
) -> None:
    """Prints a table of runs and draws their curves.

    Raises:
        UserError: there is no run, or the picture cannot be written; or, at the end, some runs are
            damaged.
    """
    # With `runs/*` the shell names the last picture too.
    named = [Path(name) for name in names]
    folders = [path for path in named if path.suffix not in KINDS or not path.is_file()]
    if not folders:
        raise UserError("nothing to compare: name the folders of runs, or one that holds them")
    picture = Path(output) if output else _common(folders) / "runs.png"
    if picture.suffix.lower() not in KINDS:
        raise UserError(f"--output={picture}: not a .png or .svg; end its name with one of them")
    runs, damaged = read_runs(folders)
    if not runs:
        raise UserError(*damaged.values())
    tables = compare(runs)
    with reader_may_leave():
        print("\n".join(_lines(tables, damaged, json)), flush=True)
        _draw(tables, picture, x, sys.stderr if json else sys.stdout)
    if damaged:
        raise UserError(*damaged.values())


def _lines(tables: Sequence[Table], damaged: Mapping[Path, str], as_json: bool) -> list[str]:
    if as_json:
        lines = [line for table in tables for line in json_lines(table)]
        return lines + [dumps({"folder": str(path), "state": "damaged"}) for path in damaged]
    blocks = ["\n".join(text(table)) for table in tables]
    return ["\n\n".join(blocks), *(f"\n{path}: damaged, left out" for path in damaged)]


def read_runs(folders: Sequence[Path]) -> tuple[list[Run], dict[Path, str]]:
    """Reads every run once; also returns the faults of damaged ones."""
    found = {path.resolve(): path for folder in folders for path in find_runs(folder)}
    runs, damaged = [], {}
    for path in found.values():
        try:
            runs.append(read_run(path))
        except UserError as error:
            damaged[path] = str(error)
    return runs, damaged


def _common(folders: Sequence[Path]) -> Path:
    """Returns the folder above all, or the only one named; relative where it is below here."""
    common = Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))
    if common == Path(common.anchor):  # runs with nothing in common are not reported at the root
        return Path()
    here = Path.cwd()
    return common.relative_to(here) if common.is_relative_to(here) else common


def _draw(tables: Sequence[Table], output: Path, x: str, said: TextIO) -> None:
    from experiments.run.curves import curves, has_curves  # matplotlib takes longer than all else

    drawn = [table for table in tables if has_curves(table)]
    if not drawn:
        print("no picture: none of these runs has been evaluated yet", file=sys.stderr)
        return
    content = curves(drawn, x, output.suffix[1:].lower())
    try:
        with atomic_path(output) as path:
            path.write_bytes(content)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{output}: cannot be written: {reason}; name another --output") from None
    print(f"curves: {output}", file=said)
