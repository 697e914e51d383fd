"""A teacher: .nam models one after the other, and a cabinet, that play the output of a pair."""

from pathlib import Path

import numpy as np

from data_pipeline.audio_files import HIGHEST_RATE, LOWEST_RATE
from data_pipeline.captures import Lesson
from data_pipeline.checks import PLAYER_RATE, Finding
from data_pipeline.corpus_files import file_sha256
from data_pipeline.synthetic_pair import filtered
from data_pipeline.synthetic_playing import built_in_di
from experiments.capture.config import Data
from experiments.capture.teacher_files import (
    TeacherFiles,
    read_di,
    read_response,
    read_teacher_files,
)
from wf_jax.amps.amp_files import model_of
from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_file import NamFile
from wf_jax.amps.render import render
from wf_jax.errors import UserError


class Teacher:
    """Plays audio as its models do, in their largest size and by the fastest engine.

    Attributes:
        sample_rate: Hz.
        notes: findings about its files.
    """

    def __init__(self, data: Data):
        """Loads the models and the cabinet.

        Raises:
            UserError: a file cannot be used, or they do not fit together.
        """
        self._data, self._files = data, read_teacher_files(data)
        self._models = [_model(file) for file in self._files.models]
        self.sample_rate, self.notes = _common_rate(self._files.models, self._models)
        self._response: np.ndarray | None = None
        if self._files.cabinet:
            self._response, note = read_response(self._files.cabinet, self.sample_rate)
            self.notes.append(note)

    @property
    def lesson(self) -> Lesson:
        """The names and digests of its files, the DI in words, and the repairs."""
        files = self._files
        paths = [*(Path(file.source) for file in files.models), *filter(None, [files.cabinet])]
        di = "+".join(path.name for path in files.di) or "the built-in DI"
        digests = tuple((path.name, file_sha256(path)) for path in paths)
        return Lesson(_name(files), digests, di, files.repairs)

    def di(self) -> np.ndarray:
        """Reads or makes the DI to play, float32 [T].

        Raises:
            UserError: a file is damaged.
        """
        data, files = self._data, self._files
        if not files.di:
            return built_in_di(data.validation_seconds, self.sample_rate)
        return read_di(files.di, data.input_channel or None, self.sample_rate)

    def unseen(self, samples: int) -> list[Finding]:
        """Notes the share of the cabinet's sound that a model of so many samples can't learn."""
        if self._response is None:
            return []
        energy = np.square(self._response)
        share = float(energy[samples:].sum() / energy.sum())
        if share < 1e-4:
            return []
        said = (
            f"{self._files.cabinet.name}: {100 * share:.2g}% of its energy comes later than "
            f"{1e3 * samples / self.sample_rate:.0f} ms, which is what the model sees"
        )
        return [Finding("cabinet", "note", said)]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Plays x, float32 [T] -> [T], with silence before it."""
        for model in self._models:
            x = np.concatenate(list(render(model, [x])))
        if self._response is not None:
            x = filtered(x, self._response).astype(np.float32)
        return x


def _model(file: NamFile) -> AmpModel:
    model: AmpModel = model_of(file).at_size(1.0)
    if (model.input_channels, model.output_channels) != (1, 1):
        raise UserError(
            f"{file.source}: {model.input_channels} inputs and {model.output_channels} outputs, "
            "and only mono models can teach; name another model"
        )
    return model


def _common_rate(files: tuple[NamFile, ...], models: list[AmpModel]) -> tuple[int, list[Finding]]:
    """Returns the rate of all models (Hz), and a note for each file that says none."""
    notes, rates = [], {}
    for file, model in zip(files, models, strict=True):
        rate = model.sample_rate or file.sample_rate
        if rate is None:
            said = f"{file.source}: says no sample rate; {PLAYER_RATE} Hz is taken"
            notes.append(Finding("sample rate", "note", said))
        rates[file.source] = rate or float(PLAYER_RATE)
    if len(set(rates.values())) > 1:
        each = ", ".join(f"{name} at {rate:g} Hz" for name, rate in rates.items())
        raise UserError(f"--config.data.teacher: {each}; models in a row need one rate")
    rate = next(iter(rates.values()))
    if rate != round(rate) or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UserError(
            f"{files[0].source}: a sample rate of {rate:g} Hz, and audio has a whole number from "
            f"{LOWEST_RATE} to {HIGHEST_RATE}; name another model"
        )
    return round(rate), notes


def _name(files: TeacherFiles) -> str:
    return "+".join(Path(file.source).stem for file in files.models)
