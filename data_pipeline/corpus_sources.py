"""The recordings a corpus is made of: finding them in a folder and reading each as 16-bit mono."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from data_pipeline.audio_files import SUFFIXES, AudioFile, AudioFileError, md5_of
from data_pipeline.corpus_files import FULL_SCALE
from data_pipeline.corpus_index import Clip, CorpusError

# Found as well, so that they are named as unsuitable and not passed over in silence.
_LOSSY_SUFFIXES = (".mp3", ".ogg", ".opus", ".m4a", ".aac", ".wma")
LOWEST_RATE = 1000  # Hz, below it a file is no sound


@dataclass(frozen=True)
class Source:
    """A recording that is not yet read.

    Attributes:
        name: of the clip, unique.
        path: of the file.
        file: the path in the source folder, with "/".
    """

    name: str
    path: Path
    file: str


def find_sources(source: Path) -> list[Source]:
    """The recordings in the order of the corpus.

    Raises:
        CorpusError: no such folder, or no recordings in it. One line.
    """
    if not source.is_dir():
        what = "is a file" if source.is_file() else "no such folder"
        raise CorpusError(f"{source}: {what}; name the folder of the recordings with --input")
    metadata, folder = source / "metadata.csv", source / "wavs"
    listed = metadata.is_file() and folder.is_dir()
    try:
        sources = _find_listed(metadata, folder) if listed else _find_any(source)
    except OSError as error:
        raise CorpusError(
            f"{source}: can not be read ({error.strerror}); check its rights"
        ) from None
    if not sources:
        where = metadata if listed else source
        raise CorpusError(
            f"{where}: no recordings ({', '.join(SUFFIXES)}); name their folder with --input"
        )
    return sources


def unlisted_files(source: Path, sources: list[Source]) -> list[str]:
    """Audio files in the source folder that metadata.csv does not name, sorted."""
    listed = {recording.file for recording in sources}
    return [other.file for other in _find_any(source) if other.file not in listed]


def _find_listed(metadata: Path, folder: Path) -> list[Source]:
    """LJSpeech: a line "id|text|normalised text" for each file wavs/id.wav."""
    present = {path.stem: path for path in sorted(folder.iterdir()) if _is_audio(path)}
    text = metadata.read_text(encoding="utf-8-sig", errors="replace")  # ids are ASCII
    names = (line.partition("|")[0].strip() for line in text.splitlines())
    paths = {name: present.get(name, folder / f"{name}.wav") for name in names if name}
    return [Source(name, path, f"wavs/{path.name}") for name, path in paths.items()]


def _find_any(source: Path) -> list[Source]:
    found = {path.relative_to(source): path for path in source.rglob("*") if _is_audio(path)}
    files = sorted((file for file in found if not _is_hidden(file)), key=Path.as_posix)
    paths = [file.as_posix() for file in files]
    stems = [file.with_suffix("").as_posix() for file in files]
    # Names are unique: where a.wav is beside a.flac, both keep their suffix.
    shared = {stem for stem, count in Counter(stems).items() if count > 1} | set(paths)
    return [
        Source(path if stem in shared else stem, found[file], path)
        for file, path, stem in zip(files, paths, stems, strict=True)
    ]


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES + _LOSSY_SUFFIXES and path.is_file()


def _is_hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)  # macOS leaves ._name.wav


def read_clip(source: Source, sample_rate: int) -> tuple[np.ndarray, Clip]:
    """Int16 samples [T] at `sample_rate` (Hz) and the facts of one file.

    The clip's `start` and `split` are still to be set.

    Raises:
        AudioFileError: the file can not be used. One line.
    """
    file = AudioFile(source.path)
    channels = file.read()  # [T, C], float64
    samples = channels.mean(axis=1)
    if file.sample_rate < LOWEST_RATE:
        raise AudioFileError(
            f"{source.path}: sample rate {file.sample_rate} Hz is below {LOWEST_RATE} Hz;"
            " export it again"
        )
    if file.sample_rate != sample_rate:
        samples = soxr.resample(samples, file.sample_rate, sample_rate, quality="VHQ")
    if len(samples) == 0:
        raise AudioFileError(f"{source.path}: no samples are left at {sample_rate} Hz; remove it")
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
    """Rounded, and limited rather than wrapped; values k / 32768 give k exactly."""
    counts = np.rint(samples * FULL_SCALE)
    return np.clip(counts, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def _level(audio: np.ndarray) -> tuple[float, float]:
    """Peak (1.0 is full scale) and RMS in dBFS of int16 [T]."""
    scaled = audio / FULL_SCALE  # float64, since the magnitude of -32768 is no int16
    power = float(np.mean(scaled**2))
    return float(np.abs(scaled).max()), 10 * float(np.log10(power)) if power else float("-inf")


def _count_clipped(samples: np.ndarray) -> int:
    """Samples in runs of three or more at full scale; a single one is a peak that just fits."""
    full = np.abs(samples) >= (FULL_SCALE - 1) / FULL_SCALE
    edges = np.flatnonzero(np.diff(full, prepend=False, append=False))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= 3].sum())
