"""Starts every command: flags, config, signals, errors."""

import contextlib
import math
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from absl import flags, logging

from experiments.terminal.options_help import options_help
from experiments.terminal.presets import load_preset, preset_file
from experiments.terminal.programs import AUTO, forget_damaged, keep_programs
from experiments.terminal.streams import prepare_terminal
from wf_jax.errors import UserError

_SAID = {
    "SIGINT": ("stopped; what was saved and written before is in the --workdir", 130),
    "SIGTERM": (
        "stopped by SIGTERM; what was saved before is in the --workdir, and the same command goes "
        "on with it",
        75,
    ),
}


class TerminatedError(BaseException):
    """SIGTERM outside of a training, which would turn it into a result."""


_PROGRAMS = flags.DEFINE_string(
    "programs",
    AUTO,
    "Folder of compiled programs, kept for the next start; auto: the user's cache; off: none",
)


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


def parse_flags(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> list[str]:
    """Parses flags for `app.run`; exits with one line if one is wrong.

    Also refuses values that absl accepts but no command uses: empty text, and numbers that are not
    finite.

    Returns:
        The name of the program and the arguments that are no flags.
    """
    if "--config=" in argv:
        sys.exit("--config= is empty; name a config file, as those in experiments/configs")
    config = next((a.partition("=")[2] for a in argv if a.startswith("--config=")), "")
    if config.endswith("/") or (config and Path(config).is_dir()):
        sys.exit(f"{config}: a folder; name a config file, as those in experiments/configs")
    try:
        if config and {"--help", "-help", "-h"} & set(argv):
            print("\n".join(options_help(load_preset(config))))
            sys.exit(0)
        rest = values(_with_files(argv))
    except UserError as error:
        sys.exit(str(error))
    except KeyError as error:
        named = re.search(r"lookup: ([\w.]+)|Field (\w+)", str(error.args[0]))
        last = (named[1] or named[2]) if named else ""
        options = (a.partition("=")[0] for a in argv if a.startswith("--config."))
        option = next((option for option in options if option.endswith(f".{last}")), last)
        sys.exit(f"{option}: no such option; --config={config} --help lists all")
    except flags.Error as error:
        sys.exit(_flag_error(str(error), config, values))
    except Exception as error:
        if not config:
            raise
        sys.exit(_config_error(config, f"{type(error).__name__}: {error}"))
    for name in values:
        flag = values[name]
        # The options of a config have rules of their own.
        if flag.present and not name.startswith("config."):
            _check_value(name, flag.value)
    return rest


def no_arguments(argv: list[str], example: str) -> None:
    """Exits if there are arguments beside the flags.

    Args:
        argv: the arguments from `parse_flags`.
        example: a flag to show in the message.
    """
    if len(argv) > 1:
        sys.exit(f"unexpected argument {argv[1]!r}; options look like {example}")


def config_of(flag: flags.FlagHolder) -> Any:
    """Returns the config that a flag of ml_collections names; exits if there is none."""
    config = flag.value
    try:
        hasattr(config, "task")
    except OSError as error:  # the flag complains of a missing file at the first look only
        name = re.search(r"\] No such file or directory: '(.*)'", str(error))
        sys.exit(f"{name[1] if name else '--config'}: no such config file; see experiments/configs")
    return config


def _flag_error(message: str, config: str, values: flags.FlagValues) -> str:
    """Formats an error of absl as one line with the remedy."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if "Traceback" in message:  # an error inside the config file: its end is the reason
        return _config_error(config, lines[-1])
    line = lines[0]
    missing = re.search(r"Flag --(\w+) must have a value other than None", line)
    if missing:
        return f"--{missing[1]} is missing: {values[missing[1]].help}"
    group = re.match(r"flag --(config\.[\w.]+)=(.*): Unable to parse value", line)
    if group:
        return f"--{group[1]}={group[2]}: a group of options; name one of them, --{group[1]}.NAME="
    unknown = re.match(r"Unknown command line flag '(.*?)'(?:\. Did you mean: (.*?) \?)?", line)
    if unknown:
        near = " or ".join(f"--{name}" for name in (unknown[2] or "").split(", ") if name)
        remedy = f"did you mean {near}?" if near else "--help lists all"
        return f"--{unknown[1]} is no option; {remedy}"
    line = line.removeprefix("flag ").rstrip(".")
    return f"{line}; --help says what there is"


def _config_error(config: str, reason: str) -> str:
    if "config_config" in reason and "get_config" in reason:
        reason = "it has no get_config()"
    elif reason.startswith(f"ValueError: {Path(config.partition(':')[0]).stem}:"):
        return reason.removeprefix("ValueError: ")
    return f"{config.partition(':')[0]}: {reason}; see experiments/configs"


def _check_value(name: str, value: Any) -> None:
    if value in ("", [], [""]):
        sys.exit(f"--{name}= is empty; give a value, or leave it out")
    if isinstance(value, float) and not math.isfinite(value):
        sys.exit(f"--{name}={value} is not a number; give a finite one")


def _with_files(argv: list[str]) -> list[str]:
    """Replaces a name in --config by its file in the arguments."""
    given = list(argv)
    for i, argument in enumerate(given):
        flag, equals, source = argument.partition("=")
        if flag not in ("--config", "-config"):
            continue
        if equals:
            given[i] = f"{flag}={preset_file(source)}"
        elif i + 1 < len(given):
            given[i + 1] = preset_file(given[i + 1])
    return given


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

    from wf_jax.errors import why
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
