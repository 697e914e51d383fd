"""The standard input files of Neural Amp Modeler: their layouts and their recognition.

A file is known "strongly" by the MD5 of its bytes, or "weakly" by the MD5 of its first and last
seconds as little-endian float64 samples, so that a user may replace the middle with own playing.
Constants as in the trainer neural-amp-modeler 0.13.0.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_pipeline.audio_files import Audio


@dataclass(frozen=True)
class SliceMd5:
    """A slice of the samples, Python style, and the MD5 of its little-endian float64 bytes."""

    start: int | None
    stop: int | None
    md5: str

    def matches(self, samples: np.ndarray) -> bool:
        """Returns whether the slice of samples [T] has this MD5; False if the file is too short."""
        needed = abs(self.stop if self.start is None else self.start)
        if len(samples) < needed:
            return False
        content = samples[self.start : self.stop].astype("<f8").tobytes()
        return hashlib.md5(content, usedforsecurity=False).hexdigest() == self.md5


@dataclass(frozen=True)
class StandardFile:
    """Layout of one version of the standard input file; all positions in samples.

    Attributes:
        version: "3.0.0" and so on.
        name: the users' name of the file.
        sample_rate: Hz; input and output must have it.
        file_md5: MD5 of the whole file's bytes.
        slice_md5s: for weak recognition; all must match.
        first_blips_start: start of the search for the first pair of blips.
        t_blips: length of that stretch.
        noise_interval: (start, stop), silence before the blips, counted from the file's start.
        blips: positions used for the latency, counted from the file's start.
        end_blips: positions counted from the file's end (negative), used by checks only.
        train: (start, stop) slice of the training part.
        validation: (start, stop) slice of the validation part.
        deprecated: whether the version fails the checks by itself.
        needs_pre_silence: whether 0.4 s before each part must be exactly zero.
        replicates: two slices of the output in which the same passage was played, if any.
        replicates_must_agree: whether a difference is an error, not only a warning.
        min_seconds: the shortest output that holds everything.
    """

    version: str
    name: str
    sample_rate: int
    file_md5: str
    slice_md5s: tuple[SliceMd5, ...]
    first_blips_start: int
    t_blips: int
    noise_interval: tuple[int, int]
    blips: tuple[int, ...]
    end_blips: tuple[int, ...]
    train: tuple[int | None, int | None]
    validation: tuple[int | None, int | None]
    deprecated: bool
    needs_pre_silence: bool
    replicates: tuple[tuple[int | None, int | None], tuple[int | None, int | None]] | None = None
    replicates_must_agree: bool = False
    min_seconds: float = 0.0


def _version_1(version: str, file_md5: str, start_md5: str, end_md5: str) -> StandardFile:
    """Returns the layout that 1.0.0 and 1.1.1 share."""
    return StandardFile(
        version=version,
        name=f"v{version.replace('.', '_')}.wav",
        sample_rate=48_000,
        file_md5=file_md5,
        slice_md5s=(SliceMd5(None, 336_000, start_md5), SliceMd5(-432_000, None, end_md5)),
        first_blips_start=0,
        t_blips=48_000,
        noise_interval=(0, 6_000),
        blips=(12_000, 36_000),
        end_blips=(),
        train=(None, -432_000),
        validation=(-432_000, None),
        deprecated=True,
        needs_pre_silence=True,
    )


VERSION_3 = StandardFile(
    version="3.0.0",
    name="input.wav",
    sample_rate=48_000,
    file_md5="36cd1af62985c2fac3e654333e36431e",
    slice_md5s=(
        SliceMd5(None, 816_000, "dadb5d62f6c3973a59bf01439799809b"),
        SliceMd5(-432_000, None, "8458126969a3f9d8e19a53554eb1fd52"),
    ),
    first_blips_start=480_000,
    t_blips=96_000,
    noise_interval=(492_000, 498_000),
    blips=(504_000, 552_000),
    end_blips=(),
    train=(480_000, -432_000),
    validation=(-432_000, None),
    deprecated=False,
    needs_pre_silence=True,
    replicates=((None, 432_000), (-432_000, None)),
    replicates_must_agree=True,
)

VERSION_2 = StandardFile(
    version="2.0.0",
    name="v2_0_0.wav",
    sample_rate=48_000,
    file_md5="ede3b9d82135ce10c7ace3bb27469422",
    slice_md5s=(
        SliceMd5(None, 384_000, "1c4d94fbcb47e4d820bef611c1d4ae65"),
        SliceMd5(-960_000, None, "28694e7bf9ab3f8ae6ef86e9545d4663"),
    ),
    first_blips_start=0,
    t_blips=96_000,
    noise_interval=(12_000, 18_000),
    blips=(24_000, 72_000),
    end_blips=(-72_000, -24_000),
    train=(None, -960_000),
    validation=(-960_000, -528_000),
    deprecated=True,
    needs_pre_silence=True,
    replicates=((-960_000, -528_000), (-528_000, -96_000)),
)

VERSION_4 = StandardFile(
    version="4.0.0",
    name="Proteus_Capture.wav",
    sample_rate=44_100,
    file_md5="80e224bd5622fd6153ff1fd9f34cb3bd",
    slice_md5s=(SliceMd5(None, 44_100, "46151c8030798081acc00a725325a07d"),),
    first_blips_start=1,
    t_blips=44_099,
    noise_interval=(6_000, 12_000),
    blips=(22_050,),
    end_blips=(),
    train=(None, -441_000),
    validation=(-441_000, None),
    deprecated=True,
    needs_pre_silence=False,
    min_seconds=11.0,
)

STANDARD_FILES = (
    VERSION_3,
    VERSION_2,
    _version_1(
        "1.0.0",
        "4d54a958861bf720ec4637f43d44a7ef",
        "bb4e140c9299bae67560d280917eb52b",
        "9b2468fcb6e9460a399fc5f64389d353",
    ),
    _version_1(
        "1.1.1",
        "7c3b6119c74465f79d96c761a0e27370",
        "9f20c6b5f7fef68dd88307625a573a14",
        "8458126969a3f9d8e19a53554eb1fd52",
    ),
    VERSION_4,
)


def recognize(
    audio: Audio, standard_files: Sequence[StandardFile] = STANDARD_FILES
) -> StandardFile | None:
    """Returns the standard file that `audio` is, or None for a user's own recording.

    Args:
        audio: the input (DI) file.
        standard_files: the table, in the order in which weak recognition is tried.

    Returns:
        The layout: first whichever has the file's MD5, else the first one at the same sample rate
        all of whose slices match. Float files are never recognized weakly, because their samples
        are not exact multiples of 2^-23 after an export.
    """
    for candidate in standard_files:
        if audio.md5 == candidate.file_md5:
            return candidate
    if audio.is_float:
        return None
    for candidate in standard_files:
        if _matches_weakly(audio, candidate):
            return candidate
    return None


def _matches_weakly(audio: Audio, candidate: StandardFile) -> bool:
    if audio.sample_rate != candidate.sample_rate or not candidate.slice_md5s:
        return False
    return all(part.matches(audio.samples) for part in candidate.slice_md5s)
