"""The index of a prepared corpus, index.json: its clips and their positions in the audio."""

import dataclasses
import json
import math
import os
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wf_jax.bounded_files import LARGEST_TABLE, read_bounded
from wf_jax.command_lines import command
from wf_jax.errors import UserError
from wf_jax.json_values import from_json, parse_json

FORMAT_VERSION = 1
AUDIO_NAME, INDEX_NAME = "audio.npy", "index.json"
SPLITS = ("train", "validation")
_LOUDEST_DBFS = 0.1  # dB
# An index has a value in 23 bytes or more; each takes some 60 in memory, whatever the file's size.
_MOST_PARTS, _LEAST_PART = 10_000, 12
SILENT_DBFS = -70.0  # dB; speech lies at -35 to -15, the dither of a 16-bit file at -96


@dataclass(frozen=True)
class Clip:
    """One recording in the corpus.

    Attributes:
        name: unique; path in the source folder without suffix, or the id in metadata.csv.
        source: file it came from, relative to the source folder, with "/".
        source_rate: Hz, of that file.
        source_channels: channels of that file; several were averaged.
        md5: MD5 of that file's bytes, hexadecimal.
        start: first sample in audio.npy.
        samples: its length.
        peak: largest magnitude, 1.0 is full scale.
        rms_dbfs: level in dB, a constant 1.0 is 0 dB; -inf if all samples are zero.
        clipped: source samples in runs of three or more at full scale.
        limited: samples that were beyond full scale and were set to it.
        split: "train" or "validation".
    """

    name: str
    source: str
    source_rate: int
    source_channels: int
    md5: str
    start: int
    samples: int
    peak: float
    rms_dbfs: float
    clipped: int
    limited: int
    split: str

    @property
    def silent(self) -> bool:
        """True if the level is below `SILENT_DBFS`."""
        return self.rms_dbfs < SILENT_DBFS


@dataclass(frozen=True)
class Index:
    """The content of index.json.

    Attributes:
        sample_rate: Hz.
        samples: in audio.npy.
        sha256: SHA-256 of audio.npy, hexadecimal.
        clips: in the order of the audio, without gaps.
        skipped: the reason for each file that could not be used, one line each.
        duplicates: left out, as pairs (file, earlier file with the same bytes).
    """

    sample_rate: int
    samples: int
    sha256: str
    clips: tuple[Clip, ...]
    skipped: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()


def write_index(folder: Path, index: Index) -> None:
    """Writes index.json into `folder`.

    Raises:
        UserError: the index would exceed the size that is read.
    """
    entries = dataclasses.asdict(index)
    for entry in entries["clips"]:
        if math.isinf(entry["rms_dbfs"]):
            entry["rms_dbfs"] = None  # JSON has no infinity
    text = json.dumps({"version": FORMAT_VERSION} | entries, indent=1, allow_nan=False) + "\n"
    if len(text) > LARGEST_TABLE:
        raise UserError(
            f"{len(index.clips):,} recordings make an index of {len(text):,} bytes, the most is"
            f" {LARGEST_TABLE:,}; prepare them in several corpora"
        )
    (folder / INDEX_NAME).write_text(text, encoding="utf-8")


def read_index(folder: Path) -> Index:
    """Reads and checks index.json of a prepared corpus.

    Raises:
        UserError: no such folder, not prepared, damaged, or of another version. One line.
    """
    if not os.path.isdir(folder):  # False too where the name is too long
        raise UserError(f"{folder}: no such folder; {_command('DIR', folder)}")
    missing = [name for name in (INDEX_NAME, AUDIO_NAME) if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder}: not a prepared corpus (no {missing[0]}); {_remedy(folder)}")
    path = folder / INDEX_NAME
    try:
        entries = parse_json(_bytes(path))
        version = entries.pop("version")
    except UserError as error:
        raise UserError(f"{path}: {error}; {prepare_again(folder)}") from None
    except OSError as error:
        raise UserError(f"{path}: can not be read ({error.strerror}); check its rights") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UserError(f"{path}: not the index of a corpus; {prepare_again(folder)}") from None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: format version {reprlib.repr(version)}, this program reads {FORMAT_VERSION};"
            f" {prepare_again(folder)}"
        )
    try:
        return _parse(entries)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); {prepare_again(folder)}") from None


def _bytes(path: Path) -> bytes:
    """Reads the bytes of the index.

    Raises:
        OSError: the file cannot be read.
        UserError: the file exceeds LARGEST_TABLE, or has more parts than an index; without its
            name.
    """
    data = read_bounded(path, LARGEST_TABLE)
    parts = sum(map(data.count, (b"[", b"{", b",")))
    if parts > _MOST_PARTS + len(data) // _LEAST_PART:
        raise UserError(f"has {parts:,} values in {len(data):,} bytes, which is no index")
    return data


def _parse(entries: dict[str, Any]) -> Index:
    if type(entries["sample_rate"]) is not int:
        raise ValueError(f"a sample rate of {reprlib.repr(entries['sample_rate'])}")
    for clip in entries["clips"]:
        if clip["rms_dbfs"] is None:
            clip["rms_dbfs"] = -math.inf
    index = from_json(Index, entries)
    _check_layout(index)
    return index


def _check_layout(index: Index) -> None:
    """Raises ValueError for a missing rate, overlapping clips, gaps, or unknown splits."""
    if index.sample_rate < 1:
        raise ValueError(f"a sample rate of {index.sample_rate}")
    if any(len(pair) != 2 for pair in index.duplicates):
        raise ValueError("duplicates are no pairs of files")
    position, names = 0, set()
    for clip in index.clips:
        what = f"clip {reprlib.repr(clip.name)[1:-1]}"
        if clip.start != position or clip.samples < 1 or clip.split not in SPLITS:
            raise ValueError(f"{what} does not fit in its place")
        if not clip.rms_dbfs <= _LOUDEST_DBFS or not (clip.silent or 0 < clip.peak <= 1):
            raise ValueError(f"{what} has a level of no audio")
        if clip.name in names:
            raise ValueError(f"{what} is there twice")
        names.add(clip.name)
        position += clip.samples
    if position != index.samples or not index.clips:
        raise ValueError(f"clips of {position} samples in audio of {index.samples}")


def _command(source: str | Path, folder: Path) -> str:
    return f"prepare it with: {command('prepare', f'--input={source}', f'--output={folder}')}"


def prepare_again(folder: Path) -> str:
    """Returns the remedy for a damaged corpus."""
    return f"remove the folder and {_command('DIR', folder)}"


def _remedy(folder: Path) -> str:
    """Returns the command to run: a folder of recordings is the input, not the output."""
    if (folder / INDEX_NAME).exists() or (folder / AUDIO_NAME).exists():
        return prepare_again(folder)
    if any(folder.iterdir()):
        name = folder.resolve().name
        return _command(folder, folder.with_name(f"{name}_corpus"))
    return _command("DIR", folder)
