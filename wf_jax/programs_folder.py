"""The folder in which compiled programs are kept between processes."""

import os
import sys
from pathlib import Path

SWITCH = "WF_JAX_PROGRAMS"  # a folder in the environment, or "off"; the user's cache if not set
OFF = "off"


def programs_folder() -> Path | None:
    """The folder of compiled programs, which need not exist; None where none are kept.

    That of JAX where JAX_COMPILATION_CACHE_DIR names one and WF_JAX_PROGRAMS says nothing.
    """
    where = os.environ.get(SWITCH) or os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if where:
        return None if where == OFF else Path(where).absolute()
    try:
        return user_cache() / "wf_jax" / "programs"
    except RuntimeError:  # no such user, no home
        return None


def user_cache() -> Path:
    """The folder for caches of this user, by the custom of the system.

    Raises:
        RuntimeError: the user has no home.
    """
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    return Path(os.environ.get(variable) or Path.home() / ".cache")
