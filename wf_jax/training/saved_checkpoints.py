"""Reads the checkpoints of a run that is not open here: its config, its best parameters."""

import contextlib
import glob
import logging
import math
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import v1 as ocp

from wf_jax.errors import UserError
from wf_jax.folders import is_remote
from wf_jax.training.checkpoint_faults import DamagedError, check_permissions
from wf_jax.training.distributed import all_agree
from wf_jax.training.fingerprints import describe, digest
from wf_jax.whole_files import temporary_folder

STATE = "state"  # the part of a checkpoint that has the arrays
_MOST_BYTES = 1 << 30  # of the parameters that another run begins from
_WHOLE = PartitionSpec()  # a copy on every device
_LOG = logging.getLogger(__name__)


def load_params(folder: Path) -> tuple[int, dict[str, np.ndarray]]:
    """Loads step and best parameters of the newest whole checkpoint in `folder`, for another run.

    The folder stays as it is: its own run may be going on.

    Raises:
        UserError: there is none, all are damaged, or this user may not read them.
    """
    folder = folder.absolute() if isinstance(folder, Path) else folder
    check_permissions(folder, os.R_OK)
    for step in sorted(saved_steps(folder), reverse=True):
        try:
            with literal_folder(folder) as plain:
                params = _load_best(plain / str(step))
        except Exception as error:  # as in Checkpoints._load
            _LOG.warning("%s: checkpoint %d is damaged (%s)", folder, step, type(error).__name__)
            params = None
        if all_agree(params is not None):
            return step, params
    raise UserError(
        f"{folder}: there is no whole checkpoint to start from; wait for the first one of that "
        "run, or give another folder"
    )


def saved_config(folder: Path) -> dict[str, Any]:
    """Returns the config of the newest readable checkpoint in `folder`; {} without one."""
    for step in sorted(saved_steps(folder), reverse=True):
        try:
            with literal_folder(folder) as plain:
                return dict(checked(ocp.metadata(plain / str(step)).custom_metadata)["config"])
        except Exception:  # of whatever kind: the next one is tried
            continue
    return {}


@contextlib.contextmanager
def literal_folder(folder: Path) -> Iterator[Path]:
    """Yields another name for a folder whose own name has "[", "*" or "?".

    Orbax looks for its files by patterns, in which these have a meaning.
    """
    if is_remote(folder) or not glob.has_magic(str(folder)):
        yield folder
        return
    with temporary_folder() as place:
        link = place / "folder"
        link.symlink_to(folder.resolve(), target_is_directory=True)
        yield link


def saved_steps(folder: Path) -> list[int]:
    """Lists the steps of the checkpoints in a folder; half-written ones have longer names."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return [int(name) for name in names if re.fullmatch("0|[1-9][0-9]*", name)]


def checked(metadata: Any) -> dict[str, Any]:
    """Returns the description in a checkpoint once its digest is found to be right."""
    described = dict(metadata)
    stored = described.pop("digest")
    if stored != digest(described):
        raise DamagedError("its metadata is not what was saved")
    return described


def can_be_listed(folder: Path) -> bool:
    """Returns True if the files that orbax reads on opening every checkpoint are readable."""
    try:
        saved = ocp.metadata(folder)
        return bool(datetime.fromtimestamp(saved.commit_timestamp_nsecs / 1e9, UTC))
    except Exception:
        return False


def _load_best(folder: Path) -> dict[str, np.ndarray]:
    """Loads the best parameters of one checkpoint onto whatever devices there are."""
    there = ocp.checkpointables_metadata(folder)
    saved = checked(there.custom_metadata)["arrays"]
    found = there.metadata[STATE]["best"]["params"]
    if sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in found.values()) > _MOST_BYTES:
        raise DamagedError("its arrays are larger than any model's")
    target = jax.tree.map(lambda leaf: ocp.PLACEHOLDER, there.metadata[STATE])
    mesh = Mesh(np.array(jax.devices()), ("all",))
    target["best"]["params"] = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, _WHOLE))
        for name, leaf in found.items()
    }
    state = ocp.load_checkpointables(folder, {STATE: target})[STATE]
    best = {"best": {"params": state["best"]["params"]}}
    if any(saved[name] != found for name, found in describe(best).items()):
        raise DamagedError("its arrays have other bits than were saved")
    return {name: np.asarray(value) for name, value in best["best"]["params"].items()}
