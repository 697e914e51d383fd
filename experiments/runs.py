"""Compares training runs: a table, and a picture of their curves.

    python -m experiments.runs runs/amp runs/louder
    python -m experiments.runs runs --x=minutes --output=curves.svg

Each folder is a run's, or holds runs up to two folders below. Runs that still train, or were
stopped, are compared as far as they got.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

from experiments.run.reading import Run, find_runs, read_run
from experiments.run.table import Table, compare, json_lines, text
from experiments.terminal.start import parse_flags, set_up
from wf_jax.errors import UserError
from wf_jax.whole_files import atomic_path

KINDS = (".png", ".svg")

_OUTPUT = flags.DEFINE_string(
    "output", None, "The picture, .png or .svg; runs.png in the folder above all runs if left out"
)
_X = flags.DEFINE_enum("x", "step", ["step", "minutes"], "What the curves are drawn over")
_JSON = flags.DEFINE_bool("json", False, "Print a JSON object per run in place of the table")


def main(argv: list[str]) -> None:
    """Compares the runs in the named folders."""
    set_up()
    try:
        damaged = _compare([Path(name) for name in argv[1:]])
    except UserError as error:
        sys.exit(str(error))
    except BrokenPipeError:  # `| head`: what it wanted to read it has read
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        damaged = []
    if damaged:
        sys.exit("\n".join(damaged))


def _compare(named: Sequence[Path]) -> list[str]:
    """Prints the table and writes the picture, and a line for each run that cannot be compared."""
    # With `runs/*` the shell names the last picture too.
    folders = [path for path in named if path.suffix not in KINDS or not path.is_file()]
    if not folders:
        raise UserError("nothing to compare: name the folders of runs, or one that holds them")
    output = Path(_OUTPUT.value) if _OUTPUT.value else _common(folders) / "runs.png"
    if output.suffix.lower() not in KINDS:
        raise UserError(f"--output={output}: not a .png or .svg; end its name with one of them")
    runs, damaged = _read(folders)
    if not runs:
        raise UserError(*damaged.values())
    tables = compare(runs)
    if _JSON.value:
        lines = [line for table in tables for line in json_lines(table)]
        lines += [json.dumps({"folder": str(path), "state": "damaged"}) for path in damaged]
    else:
        blocks = ["\n".join(text(table)) for table in tables]
        lines = ["\n\n".join(blocks), *(f"\n{path}: damaged, left out" for path in damaged)]
    print("\n".join(lines), flush=True)
    _draw(tables, output)
    return list(damaged.values())


def _read(folders: Sequence[Path]) -> tuple[list[Run], dict[Path, str]]:
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


def _draw(tables: Sequence[Table], output: Path) -> None:
    from experiments.run.curves import curves, has_curves  # matplotlib takes longer than all else

    drawn = [table for table in tables if has_curves(table)]
    if not drawn:
        print("no picture: none of these runs has been evaluated yet", file=sys.stderr)
        return
    content = curves(drawn, _X.value, output.suffix[1:].lower())
    try:
        with atomic_path(output) as path:
            path.write_bytes(content)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{output}: cannot be written: {reason}; name another --output") from None
    print(f"curves: {output}", file=sys.stderr if _JSON.value else sys.stdout)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
