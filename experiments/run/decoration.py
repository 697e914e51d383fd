"""Reports, pictures and samples may fail; the model, written before them, stays complete."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from wf_jax.errors import UserError, why


@contextlib.contextmanager
def decorating(result: Path) -> Iterator[None]:
    """Turns any error inside into one line which says that `result` is complete.

    With --verbosity=1 the traceback is logged.

    Raises:
        UserError: something failed.
    """
    try:
        yield
    except Exception as error:
        logging.debug("failed after %s was written", result, exc_info=True)
        raise UserError(
            f"{result} is complete, but not what is made after it: {_reason(error)}; mend that, "
            "then the same command makes it"
        ) from error


@contextlib.contextmanager
def showing(folder: Path) -> Iterator[None]:
    """Prints an error inside in one line; it is no reason to end a training."""
    try:
        yield
    except OSError as error:
        where, what = error.filename or folder, error.strerror or error
        print(f"\n{where}: cannot be written: {what}; the training goes on", flush=True)
    except Exception as error:
        logging.debug("nothing shown in %s", folder, exc_info=True)
        print(f"\n{folder}: nothing shown: {_reason(error)}; the training goes on", flush=True)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {why(error)}" if error.filename else why(error)
    if isinstance(error, UserError):
        return str(error)
    said = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
