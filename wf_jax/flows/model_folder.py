"""A model as a folder: `config.json`, what it is, and `params.npz`, its arrays by name."""

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.errors import UserError
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.families import CONFIGS, new_flow
from wf_jax.flows.flow import Flow
from wf_jax.json_values import from_json
from wf_jax.modules import split
from wf_jax.whole_files import write_whole

FORMATS = {f"wf_jax.flows.{family}/1": family for family in CONFIGS}


class ModelFolderError(UserError):
    """A model folder cannot be used; one line that names the file and the remedy."""


def save_model(folder: str | Path, config: FlowConfig, params: Mapping[str, Any]) -> None:
    """Writes a model that `load_model` reads.

    Args:
        folder: made if it is missing; a model in it is replaced.
        config: what the model is.
        params: the flat arrays of `wf_jax.modules.split`.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = io.BytesIO()
    np.savez(arrays, **{name: np.asarray(value) for name, value in params.items()})
    content = {
        "format": f"wf_jax.flows.{config.family}/1",
        "params_sha256": hashlib.sha256(arrays.getbuffer()).hexdigest(),
        "model": dataclasses.asdict(config),
    }

    def write(file: BinaryIO) -> None:
        file.write((json.dumps(content, indent=2) + "\n").encode())
        file.flush()
        write_whole(folder / "params.npz", lambda file: file.write(arrays.getbuffer()))

    # Its room is taken before the arrays are replaced, so that a full disk spoils no old model; it
    # appears last: until then a reader sees that the two files do not belong together.
    write_whole(folder / "config.json", write)


def load_model(folder: str | Path) -> Flow:
    """Reads what `save_model` wrote.

    Raises:
        ModelFolderError: a file is missing or damaged, or an array does not fit the configuration.
    """
    folder = Path(folder)
    content = _content(folder / "config.json")
    config = _config(folder / "config.json", content)
    path = folder / "params.npz"
    if not path.is_file():
        raise ModelFolderError(f"{path}: missing; give a folder that a training or convert wrote")
    if _sha256(path) != content.get("params_sha256"):
        raise ModelFolderError(f"{path}: not the file that config.json was written with; copy both")
    shapes = jax.eval_shape(lambda: new_flow(config, np.random.default_rng(0)))
    definition, expected = split(shapes)
    return definition(_params(path, expected))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFolderError(
            f"{path}: {error.strerror}; give a folder that a training or convert wrote"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{path}: damaged JSON ({error}); convert or copy again") from None
    found = content.get("format") if isinstance(content, dict) else None
    if not isinstance(found, str) or found not in FORMATS:
        raise ModelFolderError(
            f"{path}: format {found!r} is none of {', '.join(FORMATS)}; convert the model again"
        )
    return content


def _config(path: Path, content: dict[str, Any]) -> FlowConfig:
    try:
        return from_json(CONFIGS[FORMATS[content["format"]]], content.get("model"))
    except (TypeError, ValueError) as error:
        raise ModelFolderError(f"{path}: {error}; convert or copy the model again") from None


def _params(path: Path, expected: Mapping[str, Any]) -> dict[str, jax.Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelFolderError(f"{path}: damaged ({error}); convert or copy again") from None
    for name in sorted(set(arrays) ^ set(expected)):
        state = "missing" if name in expected else "not part of this model"
        raise ModelFolderError(f"{path}: {name} is {state}; convert or copy again")
    for name, value in arrays.items():
        if value.shape != expected[name].shape or value.dtype != expected[name].dtype:
            raise ModelFolderError(
                f"{path}: {name} is {value.dtype} {value.shape}, but config.json makes it "
                f"{expected[name].dtype} {expected[name].shape}; convert or copy again"
            )
    return {name: jnp.asarray(value) for name, value in arrays.items()}
