"""What every command line does first."""

import contextlib
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from absl import flags, logging

from experiments.programs import AUTO, forget_damaged, keep_programs
from experiments.terminal import prepare_terminal

INTERRUPTED = 130  # by Ctrl-C, as shells have it
_SAID = {
    "SIGINT": ("stopped; what was saved and written before is in the --workdir", INTERRUPTED),
    "SIGTERM": (
        "stopped by SIGTERM; what was saved before is in the --workdir, and the same command goes "
        "on with it",
        75,  # "start me again", see wf_jax/training/distributed.py
    ),
}


class TerminatedError(BaseException):
    """SIGTERM has come, where no training turns it into a result."""


_PROGRAMS = flags.DEFINE_string(
    "programs",
    AUTO,
    "Folder of compiled programs, kept for the next start; auto: the user's cache; off: none",
)


def set_up() -> None:
    """Keeps compiled programs as --programs says, and hides what libraries log below warnings.

    Unless --verbosity asks for it. Hides too the pages that orbax logs, also of what it began and
    could not end: all of it is raised as well.
    """
    prepare_terminal()
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
        logging.get_absl_logger().addFilter(lambda record: "/orbax/" not in record.pathname)
        sys.unraisablehook = _unraisable
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        # A full disk: it is compiled as if there were none.
        warnings.filterwarnings("ignore", "Error writing persistent compilation cache")
        _replace_damaged_programs()
    keep_programs(_PROGRAMS.value)


def _replace_damaged_programs() -> None:
    """Has JAX write again what it cannot read of the kept programs, in place of its warning."""
    start = "Error reading persistent compilation cache"
    warnings.filterwarnings("always", start)
    shown = warnings.showwarning

    def show(message: Warning | str, *others: Any, **options: Any) -> None:
        if str(message).startswith(start):
            forget_damaged(str(message))
        else:
            shown(message, *others, **options)

    warnings.showwarning = show


def parse_config_flags(argv: list[str]) -> list[str]:
    """Parses flags for `app.run`; what a config does not have is one line, not a traceback."""
    config = next((a.partition("=")[2] for a in argv if a.startswith("--config=")), "the config")
    try:
        return flags.FLAGS(argv)
    except KeyError as error:
        sys.exit(f"{error.args[0].split(' on ')[0]} in {config}; that file lists every option")
    except flags.Error as error:
        # An error inside the config file comes as a traceback in a message: its end is the reason.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        sys.exit(lines[-1] if "Traceback" in str(error) else "\n".join(lines))


def say(line: str) -> None:
    """Prints a line, once for all processes of a run."""
    from wf_jax.training.distributed import is_main

    if is_main():
        print(line, flush=True)


@contextlib.contextmanager
def ending_politely() -> Iterator[None]:
    """Has Ctrl-C and SIGTERM end the process with a line and their exit codes, 130 and 75."""
    previous = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    except (KeyboardInterrupt, TerminatedError) as stop:
        sys.exit(_say_stopped(stop))
    finally:
        signal.signal(signal.SIGTERM, previous)


def run_main(
    run: Callable[[], int], errors: tuple[type[Exception], ...], devices: int, distributed: str
) -> int:
    """Runs a training in one process or several; what goes wrong becomes one line.

    Args:
        run: the training; returns the exit code.
        errors: that it raises with a message for people.
        devices: how many CPU devices it can use.
        distributed: the flag.

    Returns:
        The exit code: 0, 1, 75 for "start me again", or 130.
    """
    import jax

    from wf_jax.atomic import why
    from wf_jax.errors import UserError
    from wf_jax.training import distributed as processes
    from wf_jax.training.devices import use_every_core

    use_every_core(devices)
    try:
        processes.start(distributed)
        code = run()
    except processes.NotTogetherError as error:
        code = _say_error(str(error), processes.AGAIN)
    except (*errors, UserError, processes.DistributedError) as error:
        code = _say_error(str(error), 1)
    except OSError as error:  # a full disk, a folder that cannot be written
        code = _say_error(f"{error.filename or 'the run'}: {why(error)}", 1)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            code = _say_error(
                "the devices have not enough memory: lower train.batch_size, or compute it in "
                "parts with train.accumulate; a large model can be split with train.shards",
                1,
            )
        elif jax.process_count() == 1:
            raise
        else:
            processes.wait_for_news()  # does not return if another process died
            traceback.print_exc()
            code = 1
    except Exception:
        if jax.process_count() == 1:
            raise
        traceback.print_exc()
        code = 1
    except (KeyboardInterrupt, TerminatedError) as stop:  # the training makes results of them
        code = _say_stopped(stop)
    if code == 0:
        processes.part()
    processes.leave(code)
    return code


def exit_code(result: Any) -> int:
    """Of a process that trained to this result."""
    from wf_jax.training.distributed import AGAIN

    if result.again:
        return AGAIN
    if result.diverged:
        return 1
    return 0 if result.finished else INTERRUPTED


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise TerminatedError


def _say_stopped(stop: BaseException) -> int:
    return _say_error(*_SAID["SIGINT" if isinstance(stop, KeyboardInterrupt) else "SIGTERM"])


def _unraisable(event: Any) -> None:
    if str(event.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(event)


def _say_error(message: str, code: int) -> int:
    sys.stderr.write(f"\n{message}\n")
    sys.stderr.flush()
    return code
