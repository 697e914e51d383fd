"""Keeps compiled programs between processes, in the user's cache folder."""

import contextlib
import glob
import os
import re
import sys
import time
from pathlib import Path

from wf_jax.programs_folder import OFF, SWITCH, user_cache

AUTO = "auto"
UNREADABLE = "Error reading persistent compilation cache"  # begins JAX's warning
AGE = 30 * 24 * 3600.0  # seconds after which a program that nobody used is deleted


def keep_programs(where: str = AUTO) -> None:
    """Keeps compiled programs in a folder, for this process and later ones; call it first.

    Those of JAX and of native code (wf_jax/native).

    A damaged program is compiled anew. Where no such folder can be made nothing is kept.

    Args:
        where: a folder; "off" for none; "auto" for what the environment says,
            JAX_COMPILATION_CACHE_DIR or WF_JAX_PROGRAMS, and else for the user's own.
    """
    if where == AUTO and "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    if where == AUTO:
        where = os.environ.get(SWITCH) or AUTO
    if where == OFF:
        os.environ[SWITCH] = OFF
        return
    try:
        folder = user_cache() / "wf_jax" / "programs" if where == AUTO else Path(where).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        _forget_old(folder)
    except (OSError, RuntimeError):  # no such user, no home
        return
    os.environ[SWITCH] = str(folder)
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.5,
    }
    # JAX reads the environment when it is imported; a command that needs no JAX is spared it.
    os.environ.update({name.upper(): str(value) for name, value in settings.items()})
    if "jax" in sys.modules:
        for name, value in settings.items():
            sys.modules["jax"].config.update(name, value)


def forget_damaged(warning: str) -> None:
    """Deletes the program that JAX warns of, which it would neither read nor replace.

    A process killed while it writes leaves such a program.

    Args:
        warning: "Error reading persistent compilation cache entry for 'jit_f': ..."; others are of
            no concern here.
    """
    named = re.match(rf"{UNREADABLE} entry for '([\w.<>-]+)'", warning)
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if named and folder:
        for path in Path(folder).glob(f"{glob.escape(named[1])}*-cache"):
            with contextlib.suppress(OSError):
                path.unlink()


def _forget_old(folder: Path) -> None:
    """Deletes programs that have not been used for long."""
    for path in (*folder.glob("*-cache"), *folder.glob("native-*")):
        with contextlib.suppress(OSError):
            stat = path.stat()
            if time.time() - max(stat.st_atime, stat.st_mtime) > AGE:
                path.unlink()
