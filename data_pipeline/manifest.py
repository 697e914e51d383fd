"""Lists of captures to make: a CSV file, a folder of recordings over one DI, pairs by name.

A manifest is a CSV file with a header: "output" or "teacher" of each capture, and as one likes
"input", "name", "latency" and columns of metadata. Its paths begin at its own folder; several, one
after the other, stand in one cell with commas between them.
"""

import csv
import dataclasses
import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from data_pipeline.audio_files import SUFFIXES
from data_pipeline.synthetic_playing import BUILT_IN, DEMO
from wf_jax.bounded_files import LARGEST_TABLE, read_bounded
from wf_jax.errors import UserError, short, why

FILES = ("input", "output", "teacher")
COLUMNS = (*FILES, "name", "latency")
MODEL_SUFFIX = ".nam"
_DELIMITERS = ",;\t"
_UNUSUAL = re.compile(r"[^\w.=,+@ -]")
_TAKEN = ("captures.csv", "overview.html")  # by files in the same folder
_LONGEST_NAME = 100  # characters of a folder's name; file systems take 255 bytes


@dataclasses.dataclass(frozen=True)
class Entry:
    """A capture to make.

    Attributes:
        name: the capture's, and its folder's.
        input: the DI; "" for the one that is common to all.
        output: the recording; "" where a teacher plays.
        teacher: the model that plays, or several in a row with commas; "" for a recording.
        latency: samples, or "auto"; "" for what is common to all.
        metadata: other columns that are not empty.
        fault: why it cannot be made, with the remedy; "" if nothing is known against it.
    """

    name: str
    input: str = ""
    output: str = ""
    teacher: str = ""
    latency: str = ""
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    fault: str = ""


def read_manifest(path: Path, metadata: Collection[str]) -> list[Entry]:
    """Reads a manifest.

    Args:
        path: the CSV file, with commas, semicolons or tabs.
        metadata: the columns of metadata that there may be.

    Raises:
        UserError: it cannot be read, has an unknown column, names nothing, or one name twice.
    """
    rows = csv.reader(_text(path).splitlines(), delimiter=_delimiter(path))
    try:
        lines = [(rows.line_num, [cell.strip() for cell in row]) for row in rows]
    except csv.Error as error:
        raise UserError(f"{path}: {error}; save it as CSV") from None
    lines = [(number, row) for number, row in lines if any(row)]
    if len(lines) < 2:
        raise UserError(f"{path}: names no captures; give a line of column names, and one of each")
    header = [name.lower() for name in lines[0][1]]
    _check_header(path, header, metadata)
    return named([_entry(path, header, number, row) for number, row in lines[1:]], path)


def recordings_in(folder: Path, played: Path) -> list[Entry]:
    """Lists the recordings of a folder, but for the DI where it lies there too.

    Args:
        folder: of the recordings.
        played: the DI of all of them, or a folder with a DI of the same name for each.

    Raises:
        UserError: there is none, or the folder cannot be read.
    """
    files = [path for path in _files(folder, SUFFIXES) if path.resolve() != played.resolve()]
    if not files:
        raise UserError(
            f"{folder}: no recordings ({', '.join(SUFFIXES)}); name the folder that holds them"
        )
    if not played.is_dir():
        return named([Entry(path.stem, str(played), str(path)) for path in files], folder)
    played_files = _files(played, SUFFIXES)
    return named([_pair(path, played, played_files) for path in files], folder)


def models_in(folder: Path) -> list[Entry]:
    """Lists the .nam files of a folder, each a teacher.

    Raises:
        UserError: there is none, or the folder cannot be read.
    """
    files = _files(folder, (MODEL_SUFFIX,))
    if not files:
        raise UserError(f"{folder}: no {MODEL_SUFFIX} files; name the folder that holds them")
    return named([Entry(path.stem, teacher=str(path)) for path in files], folder)


def named(entries: Sequence[Entry], source: Path) -> list[Entry]:
    """Gives every entry a name that a folder can have and no other entry has.

    Files of one folder that differ in their suffix alone keep it: "amp.wav" and "amp.flac".

    Raises:
        UserError: two entries still have one name.
    """
    stems = Counter(_folder_name(entry.name) for entry in entries)
    found = []
    for entry in entries:
        name = _folder_name(entry.name)
        if stems[name] > 1 and Path(entry.output or entry.teacher).stem == entry.name:
            name = _folder_name(Path(entry.output or entry.teacher).name)
        found.append(dataclasses.replace(entry, name=name))
    # Some file systems hold A and a for the same folder.
    twice = [n for n, count in Counter(e.name.casefold() for e in found).items() if count > 1]
    if twice:
        raise UserError(f"{source}: two captures are called {twice[0]}; give each its own name")
    return found


def _entry(path: Path, header: Sequence[str], line: int, cells: Sequence[str]) -> Entry:
    """Makes the entry of a line; what is wrong with its cells is a fault of this line alone."""
    row = dict(zip(header, cells, strict=False))
    named = {key: _names(path.parent, row.get(key, ""), key) for key in FILES}
    files = {key: ",".join(names) for key, names in named.items()}
    fault = _fault(header, cells, files)
    stems = [Path(name).stem for name in named["output"] or named["teacher"]]
    name = row.get("name") or "+".join(stems) or f"line {line}"
    others = {k: v for k, v in row.items() if k not in (*FILES, "latency") and v}
    return Entry(
        name,
        **files,
        latency=row.get("latency", ""),
        metadata=others,
        fault=f"{path.name}, line {line}: {fault}" if fault else "",
    )


def _fault(header: Sequence[str], cells: Sequence[str], files: dict[str, str]) -> str:
    """Describes what is wrong with a line, with the remedy; "" if nothing is."""
    if any(cells[len(header) :]):
        return (
            f"{len(cells)} cells, and the first line names {len(header)} columns; put a cell "
            "with commas in quotes"
        )
    if files["output"] and files["teacher"]:
        return "both output and teacher; name one of them"
    if not (files["output"] or files["teacher"]):
        return "neither output nor teacher; name one of them"
    return ""


def _check_header(path: Path, header: Sequence[str], metadata: Collection[str]) -> None:
    known = dict.fromkeys((*COLUMNS, *metadata))
    for name in header:
        if name not in known:
            raise UserError(
                f"{path}: a column {short(name)!r} is unknown; the first line names columns, of "
                f"{', '.join(known)}"
            )
    if not {"output", "teacher"} & set(header):
        raise UserError(f"{path}: no column output or teacher; name one in the first line")
    if len(set(header)) < len(header):
        raise UserError(f"{path}: a column is there twice; leave one out")


def _delimiter(path: Path) -> str:
    first = next(iter(_text(path).splitlines()), "")
    return max(_DELIMITERS, key=first.count)


def _text(path: Path) -> str:
    try:
        return read_bounded(path, LARGEST_TABLE).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text in UTF-8; save it as CSV in UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why(error)}") from None


def _files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Lists the files with one of these suffixes by name; hidden ones are no recordings."""
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {why(error)}") from None
    return [p for p in found if p.suffix.lower() in suffixes and not p.name.startswith(".")]


def _pair(output: Path, folder: Path, inputs: Sequence[Path]) -> Entry:
    same = [path for path in inputs if path.stem == output.stem]
    if len(same) == 1:
        return Entry(output.stem, str(same[0]), str(output))
    found = "no DI" if not same else f"{len(same)} files"
    fault = f"{output.name}: {found} of that name in {folder}; give both one name"
    return Entry(output.stem, output=str(output), fault=fault)


def _names(folder: Path, cell: str, column: str) -> list[str]:
    """Lists the files of a cell, below the manifest's folder; a recording is always one."""
    whole = column == "output" or os.path.exists(folder / cell)  # False for a list too long
    names = [cell] if whole else [name.strip() for name in cell.split(",")]
    return [n if n in (BUILT_IN, DEMO) else str(folder / n) for n in names if n]


def _folder_name(name: str) -> str:
    usual = _UNUSUAL.sub("_", name)[:_LONGEST_NAME].strip(" .") or "_"
    return f"{usual}_" if usual.casefold() in _TAKEN else usual
