"""Finds the recordings of a corpus in a folder, and reads each as 16-bit mono."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import soxr

from data_pipeline.audio_files import LOWEST_RATE as LOWEST_RATE
from data_pipeline.audio_files import SUFFIXES, AudioFile, md5_of
from data_pipeline.audio_folders import Listing, is_audio, list_audio
from data_pipeline.corpus_index import Clip
from data_pipeline.corpus_metadata import (
    Entry,
    Recordings,
    check_inside,
    check_text,
    is_header,
    none_found,
    read_entries,
)
from wf_jax.errors import UserError
from wf_jax.levels import FULL_SCALE

METADATA, WAVS = "metadata.csv", "wavs"
_SHOWN = 6  # suffixes


@dataclass(frozen=True)
class Source:
    """A recording that is not yet read.

    Attributes:
        name: name of the clip, unique.
        path: path of the file.
        file: the path in the source folder, with "/".
    """

    name: str
    path: Path
    file: str


@dataclass(frozen=True)
class Found:
    """The recordings of a folder, and the other files in it.

    Attributes:
        sources: the recordings in the order of the corpus.
        unlisted: audio files that metadata.csv does not name, sorted.
        passed_over: number of non-audio files by suffix.
        header: the first line of metadata.csv where it names columns, else "".
    """

    sources: list[Source]
    unlisted: tuple[str, ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)
    header: str = ""


def find_sources(source: Path) -> Found:
    """Finds the recordings of a folder.

    Raises:
        UserError: no such folder, no recordings in it, or a metadata.csv that does not fit. One
            line.
    """
    if not os.path.isdir(source):  # which takes a name that is too long for a missing one
        what = "is a file" if os.path.isfile(source) else "no such folder"
        raise UserError(f"{source}: {what}; name the folder of the recordings with --input")
    try:
        listing = list_audio(source)
        if (source / METADATA).is_file() and (source / WAVS).is_dir():
            return _find_listed(source, listing)
    except OSError as error:
        raise UserError(
            f"{error.filename or source}: can not be read ({error.strerror}); check its rights"
        ) from None
    if not listing.audio:
        others = f" among {by_suffix(listing.others)}" if listing.others else ""
        raise UserError(
            f"{source}: no recordings ({', '.join(SUFFIXES)}){others};"
            " name their folder with --input"
        )
    return Found(_named(source, sorted(listing.audio)), passed_over=listing.others)


def by_suffix(others: Mapping[str, int]) -> str:
    """Formats counts by suffix, largest first: "12 .txt, 1 without suffix"."""
    ordered = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    texts = [f"{count} {suffix or 'without suffix'}" for suffix, count in ordered[:_SHOWN]]
    more = sum(count for _, count in ordered[_SHOWN:])
    return ", ".join(texts) + (f" and {more} others" if more else "")


def _find_listed(source: Path, listing: Listing) -> Found:
    """Finds the files that metadata.csv names; it may name nothing outside the corpus."""
    metadata, folder = source / METADATA, source / WAVS
    entries = read_entries(metadata)
    inside = [f.removeprefix(f"{WAVS}/") for f in listing.audio if f.startswith(f"{WAVS}/")]
    recordings, roots = Recordings(inside), [source.resolve(), folder.resolve()]
    files = [recordings.find(entry.id, WAVS) for entry in entries]
    for entry, file in zip(entries, files, strict=True):
        check_inside(metadata, entry, folder / (file or _guessed(entry)), roots)
    header = entries[0].id if files[0] is None and is_header(entries[0]) else ""
    if header:
        entries, files = entries[1:], files[1:]
    if not any(files):
        raise none_found(metadata, entries or [Entry(1, header)], WAVS)
    chosen = dict.fromkeys(
        _missing(metadata, entry) if file is None else file
        for entry, file in zip(entries, files, strict=True)
    )
    unlisted = sorted(set(listing.audio) - {f"{WAVS}/{file}" for file in chosen})
    others = listing.others - Counter({".csv": 1})  # metadata.csv itself
    return Found(_named(folder, [*chosen], f"{WAVS}/"), tuple(unlisted), others, header)


def _missing(metadata: Path, entry: Entry) -> str:
    """Returns the file that an id should name; reading it reports that it does not exist."""
    check_text(metadata, entry)
    return _guessed(entry)


def _guessed(entry: Entry) -> str:
    file = entry.id.removeprefix(f"{WAVS}/")
    return file if is_audio(file) else f"{file}.wav"


def _named(folder: Path, files: list[str], prefix: str = "") -> list[Source]:
    """Makes sources of a folder's files, in order; `prefix` is the folder's path in the corpus."""
    stems = [str(PurePosixPath(file).with_suffix("")) for file in files]
    # Names are unique: where a.wav is beside a.flac, both keep their suffix.
    shared = {stem for stem, count in Counter(stems).items() if count > 1} | set(files)
    return [
        Source(file if stem in shared else stem, folder / file, prefix + file)
        for file, stem in zip(files, stems, strict=True)
    ]


def read_clip(source: Source, sample_rate: int) -> tuple[np.ndarray, Clip]:
    """Reads one file as int16 samples [T] at `sample_rate` (Hz), with its properties.

    The clip's `start` and `split` are still to be set.

    Raises:
        UserError: the file can not be used. One line.
    """
    file = AudioFile(source.path)
    channels = file.read()  # [T, C], float64
    samples = channels.mean(axis=1)
    if file.sample_rate != sample_rate:
        samples = soxr.resample(samples, file.sample_rate, sample_rate, quality="VHQ")
    if len(samples) == 0:
        raise UserError(f"{source.path}: no samples are left at {sample_rate} Hz; remove it")
    audio = _to_int16(samples)
    peak, rms_dbfs = _level(audio)
    return audio, Clip(
        name=source.name,
        source=source.file,
        source_rate=file.sample_rate,
        source_channels=file.channels,
        md5=md5_of(source.path),
        start=0,
        samples=len(audio),
        peak=peak,
        rms_dbfs=rms_dbfs,
        clipped=sum(map(_count_clipped, channels.T)),
        limited=int(np.count_nonzero(np.abs(samples) > 1)),
        split="train",
    )


def _to_int16(samples: np.ndarray) -> np.ndarray:
    """Rounds to int16 and limits, never wraps; values k / 32768 give exactly k."""
    counts = np.rint(samples * FULL_SCALE)
    return np.clip(counts, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def _level(audio: np.ndarray) -> tuple[float, float]:
    """Returns peak (1.0 is full scale) and RMS in dBFS of int16 [T]."""
    scaled = audio / FULL_SCALE  # float64, since the magnitude of -32768 is no int16
    power = float(np.mean(scaled**2))
    return float(np.abs(scaled).max()), 10 * float(np.log10(power)) if power else float("-inf")


def _count_clipped(samples: np.ndarray) -> int:
    """Counts samples in runs of three or more at full scale; a single one just fits."""
    full = np.abs(samples) >= (FULL_SCALE - 1) / FULL_SCALE
    edges = np.flatnonzero(np.diff(full, prepend=False, append=False))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= 3].sum())
