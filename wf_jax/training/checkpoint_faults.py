"""Errors of checkpoints, each in a line for people."""

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wf_jax.errors import UserError, first_line, why
from wf_jax.folders import is_remote

_QUOTED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


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
