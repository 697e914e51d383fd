"""Finds the model of a release, its metadata and an example input."""

import dataclasses
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr

from data_pipeline.audio_files import AudioFile, read_mono
from data_pipeline.corpus import Corpus
from data_pipeline.synthetic_pair import plucked_di
from data_pipeline.synthetic_speech import synthetic_speech
from experiments.run.json_files import read_table
from experiments.run.vocoder_folder import model_folder
from wf_jax.amps.nam_file import NamFile, read_nam
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import check_model, load_model
from wf_jax.flows.shipped_voices import find_voice
from wf_jax.levels import FULL_SCALE

if TYPE_CHECKING:
    from wf_jax.flows.flow import Flow

EXAMPLE_SECONDS = 6.0
DI_RATE = 48000  # Hz, of the built-in DI


@dataclasses.dataclass(frozen=True)
class Source:
    """A model that a release can be made of.

    Attributes:
        name: for people.
        metrics: metrics of its training, as far as a run records them.
        model: the vocoder, or the path of a .nam file.
        example: audio [T], full scale 1, to say again or to play.
        example_rate: sample rate of the example, Hz.
        example_description: description of the example.
    """

    name: str
    metrics: dict[str, Any]
    model: "Flow | Path"
    example: np.ndarray
    example_rate: int
    example_description: str


def find_source(model: str, name: str | None, example: str | None) -> Source:
    """Finds the named model: a run of either task, a model folder, or a .nam file.

    Raises:
        UserError: there is none, or a file cannot be used.
    """
    named, path = Path(model), _file_or_folder(Path(model))
    if path.is_dir():
        return _vocoder(path, name or path.resolve().name, example)
    if named.is_dir():
        return _amp(path, name or named.resolve().name, read_table(named / "metrics.json"), example)
    return _amp(path, name, {}, example)


def check_source(model: str, example: str | None) -> None:
    """Checks a model and an example as `find_source` reads them, without loading JAX.

    Raises:
        UserError: as there.
    """
    path = _file_or_folder(Path(model))
    if path.is_dir():
        check_model(model_folder(path))
    else:
        read_nam(path)
    if example:
        AudioFile(example)


def _file_or_folder(path: Path) -> Path:
    """Returns the .nam file of a run or the named one, or the folder that holds a vocoder."""
    path = find_voice(path)
    if not os.path.exists(path):  # which takes a name that is too long for a missing one
        raise UserError(f"{path}: no such file or folder; name a run, a model or a .nam file")
    if path.is_dir() and (path / "model.nam").is_file():
        return path / "model.nam"
    if path.is_dir() and read_table(path / "config.json").get("task") == "capture":
        raise UserError(f"{path}: this run has no model.nam yet; wait for its end")
    return path


def _vocoder(path: Path, name: str, example: str | None) -> Source:
    model = load_model(model_folder(path))
    rate = model.config.mel.sample_rate
    if example:
        audio, description = _recording(Path(example), rate), Path(example).name
    else:
        audio, description = _held_out(path, rate)
    return Source(name, read_table(path / "metrics.json"), model, audio, rate, description)


def _amp(path: Path, name: str | None, metrics: dict[str, Any], example: str | None) -> Source:
    file = read_nam(path)
    rate = round(file.sample_rate or DI_RATE)
    if example:
        audio, description = _recording(Path(example), rate), Path(example).name
    else:
        audio, description = plucked_di(EXAMPLE_SECONDS), "the built-in plucked strings"
        audio = soxr.resample(audio, DI_RATE, rate, quality="VHQ").astype(np.float32)
    title = file.metadata.get("name")
    name = name or (title if isinstance(title, str) and title else path.stem)
    return Source(name, metrics or _stored(file), path, audio, rate, description)


def _held_out(path: Path, rate: int) -> tuple[np.ndarray, str]:
    """Returns a clip held out by the run, if its corpus is at hand, else built-in speech."""
    try:
        folder = read_table(path / "config.json")["data.corpus"]
        corpus = Corpus.open(path / "corpus" if folder == "demo" else folder)
        clip = corpus.select("validation")[0]
    except (OSError, KeyError, TypeError, IndexError, UserError):
        return np.float32(synthetic_speech(EXAMPLE_SECONDS, rate)), "the built-in voice"
    audio = corpus.audio(clip)[: round(EXAMPLE_SECONDS * rate)]
    return np.float32(audio / FULL_SCALE), f"the held-out clip {clip.name}"


def _recording(path: Path, rate: int) -> np.ndarray:
    audio = read_mono(path)
    samples = audio.samples[: math.ceil(EXAMPLE_SECONDS * audio.sample_rate)]
    return soxr.resample(samples, audio.sample_rate, rate, quality="VHQ").astype(np.float32)


def _stored(file: NamFile) -> dict[str, Any]:
    """Returns the error that a trainer wrote into a .nam file."""
    training = file.metadata.get("training")
    error = training.get("validation_esr") if isinstance(training, dict) else None
    return {"validation_esr": error} if isinstance(error, float) else {}
