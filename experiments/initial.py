"""Parameters of another run or model, to begin from (--init_from)."""

from pathlib import Path

import numpy as np

from experiments.workdir import WorkdirError, model_folder
from wf_jax.atomic import is_remote
from wf_jax.flows.model_folder import ModelFolderError, load_model
from wf_jax.modules import Params, split
from wf_jax.training.checkpoint_faults import CheckpointError
from wf_jax.training.checkpoints import load_params


def read_initial(folder: Path) -> Params:
    """The best parameters of a run's newest checkpoint, or those of a model folder.

    Raises:
        WorkdirError: there is neither, or it is damaged.
    """
    try:
        if (folder / "checkpoints").is_dir():
            return load_params(folder / "checkpoints")[1]
        if folder.is_dir() and not is_remote(folder):
            params = split(load_model(model_folder(folder)))[1]
            return {name: np.asarray(value) for name, value in params.items()}
    except (CheckpointError, ModelFolderError, WorkdirError) as error:
        raise WorkdirError(f"--init_from={folder}: {error}") from None
    raise WorkdirError(
        f"--init_from={folder}: no such folder; name the --workdir of a training run, or a local "
        "model folder"
    )
