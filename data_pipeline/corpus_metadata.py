"""Reads metadata.csv, in LJSpeech's layout and variants: the list of recordings in order.

A line is "id|text|normalized text". Others have a header line, write x.wav or wavs/x.wav for the id
x, save as UTF-16, or compose the letters of names in another way than the file system.
"""

import codecs
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wf_jax.bounded_files import LARGEST_TABLE, read_bounded
from wf_jax.errors import UserError, printable

_MARKS = {  # at the beginning of a file, the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_HEADERS = re.compile(
    r"#?\s*(audio|clip|file|id|key|name|path|utt|utterance|wav|wavs)"
    r"([ _-]?(file|filename|filepath|id|name|path))?",
    re.IGNORECASE,
)
_LONGEST_SHOWN = 60
_LONGEST_NAME = 251  # bytes, with .wav the most that file systems take


@dataclass(frozen=True)
class Entry:
    """A line of metadata.csv.

    Attributes:
        line: its number, from 1.
        id: the text before the first "|", as it is written.
    """

    line: int
    id: str


def read_entries(metadata: Path) -> list[Entry]:
    """Reads the lines that name a recording.

    Raises:
        UserError: the file cannot be read as text, or names nothing. One line.
        OSError: the file cannot be read.
    """
    try:
        data = read_bounded(metadata, LARGEST_TABLE)
    except UserError as error:
        raise UserError(f"{metadata}: {error}; give the list of the recordings") from None
    text = _decoded(metadata, data)
    # Not str.splitlines: a transcript may hold other separators, such as U+2028.
    lines = text.split("\n" if "\n" in text else "\r")
    ids = (line.partition("|")[0].strip().strip('"') for line in lines)
    entries = [Entry(number, id) for number, id in enumerate(ids, 1) if id]
    if not entries:
        raise UserError(f"{metadata}: names no recordings; a line of it is id|text")
    return entries


def _decoded(metadata: Path, data: bytes) -> str:
    coding = next((_MARKS[mark] for mark in _MARKS if data.startswith(mark)), None)
    if coding is None and b"\0" in data:  # UTF-16 without a mark: every other byte of ASCII is 0
        low, high = data[1::2].count(0), data[::2].count(0)
        if max(low, high) > max(len(data) // 12, 8 * min(low, high)):
            coding = "utf-16-le" if low > high else "utf-16-be"
    try:
        # Bytes that are no UTF-8 may stand in transcripts, and in names as they are on the disk.
        text = data.decode(coding) if coding else data.decode("utf-8-sig", "surrogateescape")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(f"{metadata}: not a text that can be read; save it as UTF-8")
    return text


def is_header(entry: Entry) -> bool:
    """Returns whether a line that names no recording is a header of column names."""
    return _HEADERS.fullmatch(entry.id) is not None


class Recordings:
    """The files of a folder, indexed by the ids that may name them."""

    def __init__(self, files: Collection[str]):
        """Takes paths in the folder, with "/"."""
        stems = {str(PurePosixPath(file).with_suffix("")): file for file in sorted(files)}
        # A whole name goes before one without its suffix, and one as it is before any other.
        self._by_name = stems | {file: file for file in files}
        for name, file in [*self._by_name.items()]:
            self._by_name.setdefault(_composed(name), file)

    def find(self, id: str, folder: str) -> str | None:
        """Returns the file for `id`: x, x.wav, or either after the folder's own name."""
        for name in (id, id.replace("\\", "/")):
            name = name.removeprefix("./")
            for inner in (name, name.removeprefix(f"{folder}/")):
                for form in (inner, _composed(inner)):
                    if form in self._by_name:
                        return self._by_name[form]
        return None


def check_inside(metadata: Path, entry: Entry, path: Path, roots: Iterable[Path]) -> None:
    """Refuses an id that leads out of the corpus.

    Args:
        metadata: path of the table.
        entry: the line.
        path: the file that the entry names, which need not exist.
        roots: resolved folders, in one of which the file must be.

    Raises:
        UserError: the id is an absolute path, goes up, or leads elsewhere by a link.
    """
    plain = entry.id.replace("\\", "/")
    absolute = plain.startswith("/") or re.match(r"[A-Za-z]:/", plain)
    said = f"{metadata}: line {entry.line}: {shown(entry.id)}"
    if absolute or ".." in plain.split("/"):
        raise UserError(
            f"{said} leads outside the corpus; write the name of a file in wavs without its suffix"
        )
    try:
        reached = path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        reached = path
    if not any(reached.is_relative_to(root) for root in roots):
        raise UserError(
            f"{said} is a link to a file outside the corpus; copy the recording into wavs"
        )


def none_found(metadata: Path, entries: list[Entry], folder: str) -> UserError:
    """Makes the error for a metadata.csv none of whose files exists."""
    first = entries[min(1, len(entries) - 1)]  # the line before may be a header
    what = f"none of its lines names a recording in {folder} (line {first.line}: {shown(first.id)})"
    remedy = "write the names of its files without their suffix"
    if len(first.id) > _LONGEST_SHOWN or re.search("[,;\t]", first.id):
        remedy = "separate the id from the text with |"
    elif _is_not_utf8(first.id):
        remedy = "save it as UTF-8"
    return UserError(f"{metadata}: {what}; {remedy}")


def check_text(metadata: Path, entry: Entry) -> None:
    """Blames the table where an id that was not found can be no file's name.

    Raises:
        UserError: the id is not UTF-8, or longer than a file's name can be.
    """
    if max(map(len, entry.id.encode("utf-8", "surrogateescape").split(b"/"))) > _LONGEST_NAME:
        said = f"line {entry.line}: {shown(entry.id)} is longer than a file's name"
        raise UserError(f"{metadata}: {said}; separate the id from the text with |")
    if _is_not_utf8(entry.id):
        said = f"line {entry.line}: {shown(entry.id)} is not UTF-8"
        raise UserError(f"{metadata}: {said}; save the file as UTF-8")


def shown(id: str) -> str:
    """Returns an id in quotes, printable and shortened."""
    text = printable(id.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
    return f"'{text}'" if len(text) <= _LONGEST_SHOWN else f"'{text[: _LONGEST_SHOWN - 3]}...'"


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is_not_utf8(text: str) -> bool:
    return any("\udc80" <= c <= "\udcff" for c in text)
