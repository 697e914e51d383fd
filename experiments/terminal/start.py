"""Starts every command: flags, streams, compiled programs, errors."""

import inspect
import sys
import warnings
from collections.abc import Callable
from typing import Any, get_args

from absl import app, flags, logging

from experiments.terminal.exit_codes import INTERRUPTED
from experiments.terminal.parsing import parse_flags
from experiments.terminal.programs import AUTO, keep_programs
from experiments.terminal.streams import prepare_terminal
from wf_jax.errors import UserError, in_one_line

_PROGRAMS = flags.DEFINE_string(
    "programs",
    AUTO,
    "Folder of compiled programs, kept for the next start; auto: the user's cache; off: none",
)


def start(
    run: Callable[..., int | None],
    example: str = "",
    options: type | None = None,
    left: str = "nothing was written",
    interrupted: int = INTERRUPTED,
) -> None:
    """Runs a command and ends the process; what a person can mend becomes one line.

    Args:
        run: the command; returns the exit code, None for 0. Each of its parameters is the flag of
            that name, required where its type does not allow None and it has no default. A
            parameter `names` takes the positional arguments.
        example: a flag, for the message about a positional argument where there are no `names`.
        options: a dataclass that `run` takes in place of parameters; its fields are the flags.
        left: what is said after Ctrl-C about the files that are there.
        interrupted: the exit code after Ctrl-C.
    """
    kinds = {name: p.annotation for name, p in inspect.signature(options or run).parameters.items()}
    names = kinds.pop("names", None)
    for name, kind in kinds.items():
        if flags.FLAGS[name].default is None and type(None) not in get_args(kind):
            flags.mark_flag_as_required(name)

    def main(argv: list[str]) -> int | None:
        if argv[1:] and not names:
            sys.exit(f"unexpected argument {argv[1]!r}; options look like {example}")
        set_up()
        given = {name: flags.FLAGS[name].value for name in kinds}
        try:
            if options:
                return run(options(**given))
            return run(argv[1:], **given) if names else run(**given)
        except UserError as error:
            sys.exit(str(error))
        except OSError as error:  # a full disk, a folder that cannot be read
            sys.exit(in_one_line(error))
        except KeyboardInterrupt:
            print(f"\nstopped; {left}", file=sys.stderr)
            return interrupted

    app.run(main, flags_parser=parse_flags)


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
    keep_programs(_PROGRAMS.value)


def _unraisable(event: Any) -> None:
    if str(event.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(event)
