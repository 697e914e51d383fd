"""The model that a run of a vocoder keeps."""

from pathlib import Path

from wf_jax.bounded_files import read_json
from wf_jax.errors import UserError
from wf_jax.flows.shipped_voices import find_voice


def model_folder(folder: Path) -> Path:
    """Returns the folder of the vocoder: a voice of the package, a run's `model`, or a folder.

    Raises:
        UserError: the folder of a run that has none.
    """
    folder = find_voice(folder)
    inside = folder / "model"
    if inside.is_dir():
        return inside
    try:
        task = read_json(folder / "config.json").get("task")
    except (OSError, ValueError, AttributeError):  # it is said when it is loaded
        return folder
    if task == "vocoder":
        raise UserError(f"{folder}: this run has no model yet; wait for its first evaluation")
    if task:
        raise UserError(f"{folder}: a run of task {task}, not a vocoder; name another folder")
    return folder
