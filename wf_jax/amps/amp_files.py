"""Loads an amp model from a file of any format that is played here, told apart by its content.

Formats: .nam (nam_models.py), GuitarML and Proteus (guitarml.py), AIDA-X (aida_x.py).
"""

import functools
import os
from typing import TYPE_CHECKING

from wf_jax.amps import aida_x, guitarml
from wf_jax.amps.nam_file import LARGEST_FILE, NamFile, parse, read_json
from wf_jax.amps.recurrent_file import RecurrentFile
from wf_jax.hub import local_file

if TYPE_CHECKING:
    from wf_jax.amps.model import AmpModel


def load_amp(path: str | os.PathLike, sample_rate: float | None = None) -> "AmpModel":
    """Loads the model in a .nam, GuitarML or AIDA-X file, which plays as those programs play it.

    Args:
        path: as `read_amp` takes it.
        sample_rate: Hz, of a .nam that does not say; the other formats have a rate of their own.

    Raises:
        UserError: one line naming file, key and expectation.
    """
    return model_of(read_amp(path), sample_rate)


def read_amp(path: str | os.PathLike) -> NamFile:
    """Reads a file without building its model, and without JAX.

    Args:
        path: the file, or hf://USER/NAME[@REVISION]/FILE on the Hugging Face hub.

    Raises:
        UserError: one line naming file, key and expectation.
    """
    path = local_file(path, LARGEST_FILE)
    document, source = read_json(path), str(path)
    if isinstance(document, dict) and "architecture" not in document:
        for format in (guitarml, aida_x):
            if format.describes(document):
                return format.parse(document, source)
    return parse(document, source)


def model_of(file: NamFile, sample_rate: float | None = None) -> "AmpModel":
    """Builds the model of a file that was read.

    Args:
        file: what `read_amp` returned.
        sample_rate: as `load_amp` takes it.

    Raises:
        UserError: one line naming file, key and expectation.
    """
    from wf_jax.amps import nam_models

    if isinstance(file, RecurrentFile):
        return _recurrent(file)
    return nam_models.model_of(file, sample_rate)


def _recurrent(file: RecurrentFile) -> "AmpModel":
    from wf_jax.amps.gru import GRU
    from wf_jax.amps.lstm import LSTM
    from wf_jax.amps.nam_filling import filled
    from wf_jax.amps.recurrent import RecurrentConfig
    from wf_jax.amps.skip import Skip

    config = RecurrentConfig(**file.config, sample_rate=file.sample_rate)
    kind = {"LSTM": LSTM, "GRU": GRU}[file.architecture]
    model = filled(functools.partial(kind, config), file)
    return Skip(model, file.skip) if file.skip else model
