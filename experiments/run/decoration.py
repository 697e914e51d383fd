"""Reports, pictures and samples may fail; the model, written before them, stays complete."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from wf_jax.errors import UserError, first_line, in_one_line


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
            f"{result} is complete, but not what is made after it: {in_one_line(error)}; mend "
            "that, then the same command makes it"
        ) from error


@contextlib.contextmanager
def showing(folder: Path) -> Iterator[None]:
    """Prints an error inside in one line; it is no reason to end a training."""
    try:
        yield
    except OSError as error:
        where, what = error.filename or folder, error.strerror or first_line(error)
        print(f"\n{where}: cannot be written: {what}; the training goes on", flush=True)
    except Exception as error:
        logging.debug("nothing shown in %s", folder, exc_info=True)
        print(f"\n{folder}: nothing shown: {in_one_line(error)}; the training goes on", flush=True)
