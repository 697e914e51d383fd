"""Reads the parameters of another run or model to begin from (--init_from)."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.run.vocoder_folder import model_folder
from wf_jax.errors import UserError
from wf_jax.flows.shipped_voices import find_voice
from wf_jax.folders import is_remote

if TYPE_CHECKING:
    from wf_jax.modules import Params


def check_initial(folder: Path) -> None:
    """Requires that the folder exists; needs no JAX.

    Raises:
        UserError: a local one is missing.
    """
    if not is_remote(folder) and not find_voice(folder).is_dir():
        raise _missing(folder)


def read_initial(folder: Path) -> "Params":
    """Reads the best parameters of a run's newest checkpoint, or those of a model folder.

    Raises:
        UserError: neither exists, or it is damaged.
    """
    from wf_jax.flows.model_folder import load_model
    from wf_jax.modules import split
    from wf_jax.training.saved_checkpoints import load_params

    try:
        if (folder / "checkpoints").is_dir():
            return load_params(folder / "checkpoints")[1]
        if find_voice(folder).is_dir() and not is_remote(folder):
            params = split(load_model(model_folder(folder)))[1]
            return {name: np.asarray(value) for name, value in params.items()}
    except UserError as error:
        raise UserError(f"--init_from={folder}: {error}") from None
    raise _missing(folder)


def _missing(folder: Path) -> UserError:
    return UserError(
        f"--init_from={folder}: no such folder; name the --workdir of a training run, a local "
        "model folder, or a voice of the package"
    )
