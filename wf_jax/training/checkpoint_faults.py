"""Errors of checkpoints, each in a line for people."""

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from wf_jax.errors import UserError, first_line, why
from wf_jax.folders import is_remote
from wf_jax.training.fingerprints import array_name

METADATA = "_CHECKPOINT_METADATA"  # the file of a checkpoint's description
_QUOTED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
_NOT_DAMAGE = (PermissionError, ConnectionError, TimeoutError)
_NOT_NOW = ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNAVAILABLE", "DEADLINE_EXCEEDED")


class DamagedError(Exception):
    """One checkpoint cannot be restored."""


def check_permissions(folder: Path, needed: int) -> None:
    """Refuses folders without permissions, which would look damaged or fail at the first save.

    Raises:
        UserError: `folder` or a file in it is forbidden to this user, or is a pipe or device.
    """
    if is_remote(folder) or not folder.exists():
        return
    for path in itertools.chain([folder], folder.rglob("*")):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"{path}: not a regular file; remove it")
        for flag, what in ((os.R_OK, "read"), (os.W_OK, "written")):
            mode = flag | os.X_OK if path.is_dir() else flag
            if needed & flag and not os.access(path, mode) and path.exists():
                raise UserError(f"{path}: may not be {what} by this user; change its permissions")


def check_same_arrays(folder: Path, step: int, like: Any, saved: dict[str, Any]) -> None:
    """Refuses a checkpoint whose arrays have other names, shapes or types than the model's.

    Args:
        folder: of the checkpoints.
        step: of this one.
        like: the model's arrays.
        saved: what `describe` found when it was saved.

    Raises:
        UserError: names the first array that differs.
    """
    here = {
        array_name(path): [list(leaf.shape), str(leaf.dtype)]
        for path, leaf in jax.tree_util.tree_leaves_with_path(like)
    }
    there = {name: found[:2] for name, found in saved.items()}
    different = sorted(
        name for name in here.keys() | there.keys() if here.get(name) != there.get(name)
    )
    if not different:
        return
    name = different[0]
    if name not in there:
        what = f"{name} is only in the model"
    elif name not in here:
        what = f"{name} is only in the checkpoint"
    else:
        what = f"{name} is {_shown(here[name])} in the model, {_shown(there[name])} in it"
    raise UserError(
        f"{folder}: checkpoint {step} is of another model: {what} ({len(different)} such "
        "arrays); give another --workdir or the old config"
    )


def _shown(described: list[Any]) -> str:
    return f"{described[1]} {tuple(described[0])}"


def refuse_forbidden(checkpoint: Path, error: Exception) -> None:
    """Refuses a checkpoint that this user may not read: it is not damaged, and must stay.

    Raises:
        UserError: `error`, or another look at the checkpoint, says that it is forbidden.
    """
    words = " ".join(map(str, chain(error)))
    forbidden = isinstance(first_cause(error), _NOT_DAMAGE) or any(w in words for w in _NOT_NOW)
    if is_remote(checkpoint):  # orbax does not say why it found no metadata
        try:
            (checkpoint / METADATA).read_bytes()
        except FileNotFoundError:
            pass
        except Exception as failure:
            forbidden, error = True, failure
    if forbidden:
        raise UserError(sentence(checkpoint.parent, "cannot be read", error)) from error


def first_cause(error: BaseException) -> OSError | None:
    """Returns the first OSError in a chain of errors, or one that tensorstore quotes."""
    for link in chain(error):
        if isinstance(link, OSError) and link.strerror:
            return link
    quoted = [number for number in _QUOTED if os.strerror(number) in str(error)]
    return OSError(quoted[0], os.strerror(quoted[0])) if quoted else None


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and its causes."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def sentence(folder: Any, what: str, error: BaseException) -> str:
    """Returns one line of an error whose text may be pages long."""
    cause = first_cause(error)
    reason = why(cause) if cause else first_line(error)[:200]
    return f"{folder}: {what}: {reason}; what was saved before is intact"
