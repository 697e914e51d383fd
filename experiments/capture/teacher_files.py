"""The files of a teacher, its cabinet and its DI, named and checked before JAX is loaded."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from data_pipeline.audio_files import AudioFile, read_audio
from data_pipeline.audio_folders import list_audio
from data_pipeline.checks import Finding
from data_pipeline.synthetic_playing import BUILT_IN, DEMO, built_in_playing
from data_pipeline.teacher_checks import REPAIRS
from wf_jax.amps.amp_files import read_amp
from wf_jax.amps.nam_file import NamFile
from wf_jax.errors import UserError

if TYPE_CHECKING:
    from experiments.capture.config import Data

_OURS = ("", BUILT_IN, DEMO)  # alone, they stand for that and strings to be judged by
LONGEST_RESPONSE = 5.0  # seconds; longer files are recordings
# Options of recordings: whoever gives one with a teacher expects something else.
_OF_RECORDINGS = ("output_channel", "latency", "start_seconds", "stop_seconds", "correct_drift")


@dataclass(frozen=True)
class TeacherFiles:
    """The checked files.

    Attributes:
        models: .nam files, in the order in which the audio passes them.
        cabinet: the impulse response after them, or None.
        di: the user's files, BUILT_IN among them or not; () for the built-in DI.
        repairs: which faults are trained away.
    """

    models: tuple[NamFile, ...]
    cabinet: Path | None
    di: tuple[Path, ...]
    repairs: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that the pair is made from."""
        files = [file.source for file in self.models]
        return (
            *files,
            *([str(self.cabinet)] if self.cabinet else []),
            *(str(path) for path in self.di if str(path) != BUILT_IN),
        )


def read_teacher_files(data: "Data") -> TeacherFiles:
    """Reads the models, and the headers of audio files.

    Raises:
        UserError: a file is missing or not of its kind, or options exclude each other.
    """
    if data.output:
        raise UserError(
            f"--config.data.output={data.output}: a teacher plays the output itself; leave it out, "
            "or --config.data.teacher"
        )
    _check_options(data)
    models = tuple(read_amp(name) for name in _listed(data.teacher, "teacher"))
    for file in models:
        _check_mono(file)
    di = () if data.input in _OURS else _di_files(data)
    cabinet = Path(data.cabinet) if data.cabinet else None
    if cabinet:
        _check_response(cabinet)
    return TeacherFiles(models, cabinet, di, _repairs(data.repair))


def read_response(path: Path, sample_rate: int) -> tuple[np.ndarray, Finding]:
    """Reads a cabinet's impulse response, resampled so that it filters as before.

    Args:
        path: a mono file.
        sample_rate: Hz, of the audio to filter.

    Returns:
        float64 [K], and a line about it.

    Raises:
        UserError: the file is damaged, or silent.
    """
    audio = read_audio(path)
    response = audio.samples
    said = f"{path.name}: an impulse response of {1e3 * audio.seconds:.0f} ms"
    if audio.sample_rate != sample_rate:
        response = soxr.resample(response, audio.sample_rate, sample_rate, quality="VHQ")
        response = response * (audio.sample_rate / sample_rate)  # a sum over more or fewer taps
        said += f", resampled from {audio.sample_rate} to {sample_rate} Hz"
    if not np.any(response):
        raise UserError(f"{path}: an impulse response of silence; name another file")
    return response, Finding("cabinet", "note", said)


def read_di(paths: tuple[Path, ...], channel: int | None, sample_rate: int) -> np.ndarray:
    """Reads DI files one after the other, at one rate: float32 [T]; BUILT_IN is played here.

    Raises:
        UserError: a file is damaged.
    """
    return np.concatenate([_samples(path, channel, sample_rate) for path in paths])


def _samples(path: Path, channel: int | None, sample_rate: int) -> np.ndarray:
    if str(path) == BUILT_IN:
        return built_in_playing(sample_rate)
    audio = read_audio(path, channel)
    samples = audio.samples
    if audio.sample_rate != sample_rate:
        samples = soxr.resample(samples, audio.sample_rate, sample_rate, quality="VHQ")
    return samples.astype(np.float32)


def _listed(text: str, option: str) -> list[str]:
    """Splits a list of file names at commas, unless it is the name of one file."""
    if os.path.exists(text):
        return [text]
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f"--config.data.{option}={text}: names no file; give one, or several")
    return names


def _check_options(data: "Data") -> None:
    """Refuses what only a recording can have."""
    usual = type(data)()
    for name in _OF_RECORDINGS:
        if getattr(data, name) != getattr(usual, name):
            remedy = "leave it out"
            if name == "latency":
                remedy += "; --config.data.repair=latency trains a teacher's latency away"
            raise UserError(
                f"--config.data.{name}={getattr(data, name)}: for recordings, and a teacher plays "
                f"none; {remedy}"
            )


def _check_mono(file: NamFile) -> None:
    """Refuses models that say at once that they have several channels."""
    for key in ("in_channels", "out_channels"):
        count = file.config.get(key, 1)
        if isinstance(count, int) and count > 1:
            raise UserError(
                f"{file.source}: {key} {count}, and only mono models can teach; name another model"
            )


def _di_files(data: "Data") -> tuple[Path, ...]:
    paths = []
    for name in _listed(data.input, "input"):
        if os.path.isdir(name):
            found = sorted(list_audio(Path(name)).audio)
            if not found:
                raise UserError(f"{name}: no audio files; name another folder, or built-in")
            paths += [Path(name) / file for file in found]
        else:
            paths.append(Path(name))
    for path in paths:
        if str(path) == BUILT_IN:
            continue
        AudioFile(path).index_of(data.input_channel or None, "--config.data.input_channel")
    return tuple(paths)


def _check_response(path: Path) -> None:
    file = AudioFile(path)
    if file.channels != 1:
        raise UserError(f"{path}: {file.channels} channels; export the impulse response as mono")
    if file.seconds > LONGEST_RESPONSE:
        raise UserError(
            f"{path}: {file.seconds:.1f} s are no impulse response; give one of "
            f"{LONGEST_RESPONSE:g} s at most"
        )


def _repairs(text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    for word in words:
        if word not in REPAIRS:
            raise UserError(
                f"--config.data.repair={text}: {word} is none of {', '.join(REPAIRS)}; choose one "
                "of them, or both"
            )
    return words
