"""Prepares a corpus: reads, checks and resamples a folder of recordings into one file, once.

Takes the layout of LJSpeech (https://keithito.com/LJ-Speech-Dataset: metadata.csv and wavs/) or any
folder of audio files.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_pipeline.corpus_files import AudioWriter, check_free, file_sha256
from data_pipeline.corpus_index import AUDIO_NAME, SILENT_DBFS, Clip, Index, write_index
from data_pipeline.corpus_sources import (
    LOWEST_RATE,
    Found,
    Source,
    by_suffix,
    find_sources,
    read_clip,
)
from wf_jax.errors import UserError, printable
from wf_jax.plurals import counted
from wf_jax.whole_files import atomic_folder

VALIDATION = 16  # clips that are kept for it at most, where nothing else is asked for
_HIGHEST_RATE = 384_000  # Hz
_SHORT = 0.25  # seconds
_SHOWN = 3  # names in a finding or an error

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """The result of a preparation.

    Attributes:
        folder: the corpus.
        index: its content, with the files that were left out.
        findings: facts to know before training, one line each; not errors.
        passed_over: number of non-audio files by suffix; "" for none.
    """

    folder: Path
    index: Index
    findings: tuple[str, ...]
    passed_over: str = ""


def prepare_corpus(
    source: str | Path,
    output: str | Path,
    sample_rate: int = 22050,
    validation: int | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Writes all recordings of a folder as a corpus, complete or not at all.

    Mono 16-bit files of the corpus's rate are stored bit for bit. Channels are averaged, other
    rates resampled (soxr VHQ), and all is rounded to 16 bits; samples beyond full scale are set to
    it. Of files with the same bytes, the first is taken: no recording is in both splits. Memory is
    that of the longest file.

    Args:
        source: LJSpeech (in the order of metadata.csv) or any folder with audio files in it or
            below (in the order of their paths), links to folders followed; hidden files are passed
            over.
        output: folder to write; must not be there, or be empty.
        sample_rate: Hz, 1000 to 384000.
        validation: number of clips to keep for validation, the last ones; 0 for none; None for a
            tenth of all, at least one and at most VALIDATION.
        skip_bad: leave files out that can not be used; they are listed in the report.
        progress: called after each file with a line for the user.

    Returns:
        What is in the corpus and what is odd about it.

    Raises:
        UserError: nothing to read, files that can not be used, no clip left for training, or the
            output is there already or can not be written. One line; before it one for each bad
            file, where it does not name them all.
    """
    source, output = Path(source), Path(output)
    if not LOWEST_RATE <= sample_rate <= _HIGHEST_RATE:
        raise UserError(f"sample_rate {sample_rate} Hz is out of range; choose 22050")
    if validation is not None and validation < 0:
        raise UserError(f"validation {validation} is negative; choose 0 or more clips")
    found = find_sources(source)
    sources = found.sources
    _count_training(len(sources), validation)  # at once, and not after an hour of reading
    try:
        check_free(output)
        with atomic_folder(output) as folder:
            index = _write(folder, sources, sample_rate, skip_bad, progress)
            index = replace(index, clips=_split(index.clips, validation))
            write_index(folder, index)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(
            f"{output}: can not be written ({reason}); nothing was left there,"
            " name another --output"
        ) from None
    passed_over = by_suffix(found.passed_over)
    return Report(output, index, tuple(_findings(index, found)), passed_over)


def _write(
    folder: Path,
    sources: list[Source],
    sample_rate: int,
    skip_bad: bool,
    progress: Progress | None,
) -> Index:
    """Writes audio.npy; returns its index, with all clips still in "train"."""
    clips: dict[str, Clip] = {}  # by md5
    bad, duplicates = [], []
    with (folder / AUDIO_NAME).open("wb") as file:
        writer = AudioWriter(file)
        for source in _shown(sources, writer, sample_rate, progress):
            try:
                audio, clip = read_clip(source, sample_rate)
            except UserError as error:
                bad.append(str(error))
                continue
            if clip.md5 in clips:
                duplicates.append((source.file, clips[clip.md5].source))
            else:
                clips[clip.md5] = replace(clip, start=writer.append(audio))
        writer.finish()
    if bad and not skip_bad:
        raise _unusable(bad, _bad_files(bad, len(sources)))
    if not clips:
        raise _unusable(bad, f"none of {len(sources)} files can be used, the first: {bad[0]}")
    return Index(
        sample_rate=sample_rate,
        samples=writer.samples,
        sha256=file_sha256(folder / AUDIO_NAME),
        clips=tuple(clips.values()),
        skipped=tuple(bad),
        duplicates=tuple(duplicates),
    )


def _shown(
    sources: list[Source], writer: AudioWriter, sample_rate: int, progress: Progress | None
) -> Iterator[Source]:
    """Yields the sources, and reports progress after each."""
    began = time.monotonic()
    for count, source in enumerate(sources, 1):
        yield source
        if progress is not None:
            rate = count / max(time.monotonic() - began, 1e-9)
            left = (len(sources) - count) / rate
            minutes = writer.samples / sample_rate / 60
            progress(
                f"{count} of {len(sources)} files, {minutes:.1f} min of audio,"
                f" {rate:.0f} files/s, {left:.0f} s left"
            )


def _split(clips: tuple[Clip, ...], validation: int | None) -> tuple[Clip, ...]:
    """Assigns the last `validation` clips to validation."""
    train = _count_training(len(clips), validation)
    return clips[:train] + tuple(replace(clip, split="validation") for clip in clips[train:])


def _count_training(clips: int, validation: int | None) -> int:
    usual = max(min(max(clips // 10, 1), clips - 1), 0)
    if validation is None:
        validation = min(usual, VALIDATION)
    if clips <= validation:
        raise UserError(
            f"validation {validation} leaves no clip of {clips} for training;"
            f" choose --validation={usual}"
        )
    return clips - validation


def _unusable(bad: list[str], said: str) -> UserError:
    """Makes the error of bad files; all of them come first where `said` does not name them all."""
    return UserError(*(bad if any(reason not in said for reason in bad) else ()), said)


def _bad_files(bad: list[str], count: int) -> str:
    more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    return (
        f"{len(bad)} of {count} files can not be used: {'; '.join(bad[:_SHOWN])}{more};"
        " mend them, or leave them out with --skip_bad"
    )


def _findings(index: Index, found: Found) -> Iterator[str]:
    clips, rate = index.clips, index.sample_rate
    short = [c for c in clips if c.samples < _SHORT * rate]
    upsampled = [c for c in clips if c.source_rate < rate]
    if index.skipped:
        yield f"{counted(len(index.skipped), 'file')} left out that can not be used"
    if found.header:
        yield f"the first line of metadata.csv ({printable(found.header)}) names columns, left out"
    yield from _finding(found.unlisted, "not in metadata.csv, left out", "file")
    copies = [f"{file} (as {first})" for file, first in index.duplicates]
    yield from _finding(copies, "with the bytes of an earlier one, left out", "file")
    yield from _finding(_names(c for c in clips if c.silent), f"below {SILENT_DBFS:.0f} dBFS")
    yield from _finding(_names(c for c in clips if c.clipped), "clipped in the recording")
    limited = sum(c.limited for c in clips)
    what = f"beyond full scale, {limited} samples were limited"
    yield from _finding(_names(c for c in clips if c.limited), what)
    yield from _finding(_names(short), f"shorter than {_SHORT} s")
    what = f"recorded below {rate} Hz, the upper band is empty"
    yield from _finding(_names(upsampled), what)
    several = [c for c in clips if c.source_channels > 1]
    yield from _finding(_names(several), "of several channels, which were averaged")
    rates = Counter(c.source_rate for c in clips)
    if len(rates) > 1:
        counts = ", ".join(f"{count} at {hz} Hz" for hz, count in sorted(rates.items()))
        yield f"mixed sample rates: {counts}"
    if all(c.split == "train" for c in clips):
        yield "no validation clips (--validation=0)"


def _names(clips: Iterable[Clip]) -> list[str]:
    return [clip.name for clip in clips]


def _finding(names: Sequence[str], what: str, thing: str = "clip") -> Iterator[str]:
    """Returns a line with the count and the first names, or an empty list."""
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield f"{counted(len(names), thing)} {what}: {', '.join(names[:_SHOWN])}{more}"
