"""Starts every command: flags, streams, compiled programs, errors."""

import sys
import warnings
from collections.abc import Callable
from typing import Any

from absl import app, flags, logging

from experiments.terminal.parsing import parse_flags
from experiments.terminal.programs import AUTO, forget_damaged, keep_programs
from experiments.terminal.streams import prepare_terminal
from wf_jax.atomic import why
from wf_jax.errors import UserError

_PROGRAMS = flags.DEFINE_string(
    "programs",
    AUTO,
    "Folder of compiled programs, kept for the next start; auto: the user's cache; off: none",
)


Main = Callable[[], int | None]  # returns the exit code, None for 0


def start(main: Main, option: str, left: str = "nothing was written") -> None:
    """Runs a command that takes options only; ends the process with its exit code.

    Args:
        main: the command.
        option: one of its options, shown to who gives an argument.
        left: says after Ctrl-C what is there.
    """

    def run(argv: list[str]) -> int | None:
        if len(argv) > 1:
            sys.exit(f"unexpected argument {argv[1]!r}; options look like {option}")
        return _in_one_line(main, left)

    app.run(run, flags_parser=parse_flags)


def start_with_names(main: Callable[[list[str]], int | None]) -> None:
    """Runs a command that takes the names of files or folders beside its options."""

    def run(argv: list[str]) -> int | None:
        return _in_one_line(lambda: main(argv[1:]), "nothing was written")

    app.run(run, flags_parser=parse_flags)


def _in_one_line(main: Main, left: str) -> int | None:
    """Runs the command; what a person can mend becomes one line and exit code 1."""
    set_up()
    try:
        return main()
    except UserError as error:
        sys.exit(str(error))
    except OSError as error:  # a full disk, a folder that cannot be read
        sys.exit(f"{error.filename}: {why(error)}" if error.filename else why(error))
    except KeyboardInterrupt:
        sys.exit(f"\nstopped; {left}")


def set_up() -> None:
    """Keeps compiled programs as --programs says, and hides library logs below warnings.

    --verbosity shows the logs. Also hides the long traces that orbax logs of an unfinished
    operation: all of it is raised as well.
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
    """Makes JAX rewrite unreadable kept programs, instead of its warning."""
    start = "Error reading persistent compilation cache"
    warnings.filterwarnings("always", start)
    shown = warnings.showwarning

    def show(message: Warning | str, *others: Any, **options: Any) -> None:
        if str(message).startswith(start):
            forget_damaged(str(message))
        else:
            shown(message, *others, **options)

    warnings.showwarning = show


def _unraisable(event: Any) -> None:
    if str(event.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(event)
