"""The token of a folder: the word that visitors of its Studio need, also those of this machine."""

import contextlib
import os
import secrets
from functools import partial
from pathlib import Path

from wf_jax.errors import UserError

NAME = "token"
LEAST = 16  # characters


def token_of(folder: Path, given: str | None) -> str:
    """Returns the token: the given one, or the folder's own, which outlives a restart.

    Raises:
        UserError: the given one is too short, or no header can hold it.
        OSError: the folder's own cannot be written.
    """
    if given is None:
        return _kept(folder / NAME) or _new(folder / NAME)
    if len(given) < LEAST:
        raise UserError(f"--token: of {len(given)} characters; give {LEAST} or more")
    if not (given.isascii() and given.isprintable()):
        raise UserError("--token: give letters, digits and signs of ASCII")
    return given


def _kept(path: Path) -> str:
    """Returns what stands in the file; "" if there is none, or others may have read it."""
    with contextlib.suppress(OSError, ValueError):
        token = path.read_text(encoding="ascii").strip()
        if len(token) >= LEAST and token.isprintable() and not path.stat().st_mode & 0o077:
            return token
    return ""


def _new(path: Path) -> str:
    token = secrets.token_urlsafe(24)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with open(path, "x", encoding="ascii", opener=partial(os.open, mode=0o600)) as file:
        file.write(token + "\n")
    return token
