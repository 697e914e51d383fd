"""Parses the flags of a command; a wrong one is one line with the remedy."""

import contextlib
import difflib
import math
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags

from experiments.terminal.config_names import config_file, load_config
from experiments.terminal.options_help import options_help
from experiments.terminal.run_length import keep_asked
from wf_jax.command_lines import by_word, command
from wf_jax.errors import UserError
from wf_jax.options import describe_options

HELP = {"--help", "-help", "-h"}


def parse_flags(argv: list[str]) -> list[str]:
    """Parses flags for `app.run`; exits with one line if one is wrong.

    Also refuses values that absl accepts but no command uses: empty text, and numbers that are not
    finite.

    Returns:
        The name of the program and the arguments that are no flags.
    """
    if "--config=" in argv:
        _refuse("--config= is empty; name a config file, as those in experiments/configs")
    config = next((a.partition("=")[2] for a in argv if a.startswith("--config=")), "")
    if config.endswith("/") or (config and Path(config).is_dir()):
        _refuse(f"{config}: a folder; name a config file, as those in experiments/configs")
    values = flags.FLAGS
    try:
        if HELP & set(argv):
            _help(config)
        if "--helpfull" in argv:
            app.usage(writeto_stdout=True)
            sys.exit(0)
        rest = values(_with_files(argv))
    except UserError as error:
        _refuse(str(error))
    except KeyError as error:
        named = re.search(r"lookup: ([\w.]+)|Field (\w+)", str(error.args[0]))
        last = (named[1] or named[2]) if named else ""
        options = (a.partition("=")[0] for a in argv if a.startswith("--config."))
        option = next((option for option in options if option.endswith(f".{last}")), last)
        _refuse(f"{option}: no such option; {_meant(option, config)}")
    except flags.Error as error:
        _refuse(_flag_error(str(error), config, values))
    except Exception as error:
        if not config:
            raise
        _refuse(_config_error(config, f"{type(error).__name__}: {error}"))
    if "config" in values and values["config"].present:
        _read_config(values["config"])
        _keep_length(values)
    for name in values:
        flag = values[name]
        # The options of a config have rules of their own.
        if flag.present and not name.startswith("config."):
            _check_value(name, flag.value)
    return rest


def _refuse(line: str) -> NoReturn:
    """Prints what is wrong with a flag and exits: with 2 if `wf-jax` was typed, else with 1."""
    print(line, file=sys.stderr)
    sys.exit(2 if by_word() else 1)


def _help(config: str) -> NoReturn:
    """Prints the options of a config, or else the command's docstring and flags, and exits."""
    if config:
        print("\n".join(options_help(load_config(config))))
    else:
        app.usage(shorthelp=True, writeto_stdout=True)
        print("\nTry --helpfull to get a list of all flags.")
    sys.exit(0)  # where absl's own flag, which looks the same, has 1


def _read_config(flag: flags.Flag) -> None:
    """Looks at the config, at which the flag complains of a missing file; names its source."""
    try:
        if getattr(flag.value, "source", None) == "":
            flag.value.source = flag.config_filename
    except OSError as error:
        found = re.search(r"\] No such file or directory: '(.*)'", str(error))
        name = found[1] if found else "--config"
        _refuse(f"{name}: no such config file; see experiments/configs")


def _keep_length(values: flags.FlagValues) -> None:
    """Gives a run the length that was typed, where its config has another one."""
    typed = {name.removeprefix("config.") for name in values if values[name].present}
    if hasattr(values["config"].value, "train"):
        keep_asked(values["config"].value.train, typed)


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


def _meant(option: str, config: str) -> str:
    """Says which option of a config was meant, or how all are listed."""
    with contextlib.suppress(Exception):  # the config's own file may be at fault
        known = [f"--config.{about.name}" for about in describe_options(load_config(config))]
        if near := difflib.get_close_matches(option, known, 1):
            return f"did you mean {near[0]}?"
    return f"{command('options', config)} lists all"


def _config_error(config: str, reason: str) -> str:
    if "config_config" in reason and "get_config" in reason:
        reason = "it has no get_config()"
    elif reason.startswith(f"ValueError: {Path(config.partition(':')[0]).stem}:"):
        return reason.removeprefix("ValueError: ")
    return f"{config.partition(':')[0]}: {reason}; see experiments/configs"


def _check_value(name: str, value: Any) -> None:
    if value in ("", [], [""]):
        _refuse(f"--{name}= is empty; give a value, or leave it out")
    if isinstance(value, float) and not math.isfinite(value):
        _refuse(f"--{name}={value} is not a number; give a finite one")


def _with_files(argv: list[str]) -> list[str]:
    """Replaces a name in --config by its file in the arguments."""
    given = list(argv)
    for i, argument in enumerate(given):
        flag, equals, source = argument.partition("=")
        if flag not in ("--config", "-config"):
            continue
        if equals:
            given[i] = f"{flag}={config_file(source)}"
        elif i + 1 < len(given):
            given[i + 1] = config_file(given[i + 1])
    return given
