"""Runs a training in this process: signals, exit codes, other processes of the same run."""

import contextlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

from experiments.terminal.exit_codes import AGAIN, INTERRUPTED
from wf_jax.errors import UserError, why

_STOPPED = "stopped; what was saved and written before is in the --workdir"
_TERMINATED = (
    "stopped by SIGTERM; what was saved before is in the --workdir, and the same command goes on "
    "with it"
)
_NO_MEMORY = (
    "the devices have not enough memory: lower train.batch_size, or compute it in parts with "
    "train.accumulate; a large model can be split with train.shards"
)


class TerminatedError(BaseException):
    """SIGTERM before or after the training loop, which handles its own."""


@contextlib.contextmanager
def ending_politely() -> Iterator[None]:
    """Ends the process on Ctrl-C and SIGTERM with a line and the exit codes 130 and 75."""
    previous = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    except (KeyboardInterrupt, TerminatedError) as stop:
        sys.exit(_say_stopped(stop))
    finally:
        signal.signal(signal.SIGTERM, previous)


@ending_politely()
def run_main(run: Callable[[], int], devices: int, distributed: str) -> int:
    """Runs a training in one process or several; an error becomes one line.

    Args:
        run: the training; returns the exit code.
        devices: number of CPU devices that it can use.
        distributed: the flag.

    Returns:
        The exit code: 0, 1, 75 for "start me again", or 130.
    """
    import jax

    from wf_jax.training import distributed as processes
    from wf_jax.training.devices import use_every_core

    use_every_core(devices)
    try:
        processes.start(distributed)
        code = run()
    except processes.NotTogetherError as error:
        code = _say_error(str(error), processes.AGAIN)
    except UserError as error:
        code = _say_error(str(error), 1)
    except OSError as error:  # a full disk, a folder that cannot be written
        code = _say_error(f"{error.filename or 'the run'}: {why(error)}", 1)
    except Exception as error:
        of_jax = isinstance(error, jax.errors.JaxRuntimeError)
        if of_jax and "RESOURCE_EXHAUSTED" in str(error):
            code = _say_error(_NO_MEMORY, 1)
        elif jax.process_count() == 1:
            raise
        else:
            if of_jax:
                processes.wait_for_news()  # does not return if another process died
            traceback.print_exc()
            code = 1
    except (KeyboardInterrupt, TerminatedError) as stop:  # the training makes results of them
        code = _say_stopped(stop)
    if code == 0:
        processes.part()
    processes.leave(code)
    return code


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise TerminatedError


def _say_stopped(stop: BaseException) -> int:
    if isinstance(stop, TerminatedError):
        return _say_error(_TERMINATED, AGAIN)
    return _say_error(_STOPPED, INTERRUPTED)


def _say_error(message: str, code: int) -> int:
    sys.stderr.write(f"\n{message}\n")
    sys.stderr.flush()
    return code
