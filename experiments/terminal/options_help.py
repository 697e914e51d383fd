"""Describes the options of a config, one after the other."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from experiments.terminal.config_names import load_config
from experiments.terminal.pipes import reader_may_leave
from wf_jax.command_lines import command
from wf_jax.errors import UserError, first_line
from wf_jax.options import describe_options

INDENT, WIDTH = 6, 100


def print_options(names: Sequence[str]) -> None:
    """Prints every option of the configs that are named.

    Raises:
        UserError: none is named, or one is no config.
    """
    if not names:
        raise UserError(f"name a config: {command('options', 'a2_capture')}")
    configs = [_loaded(name) for name in names]
    with reader_may_leave():
        for config in configs:
            print("\n".join(options_help(config)))


def options_help(config: Any) -> Iterator[str]:
    """Describes every option of a config: name, type, default and meaning."""
    for option in describe_options(config):
        default = f'"{option.default}"' if option.default == "" else option.default
        yield f"  --config.{option.name}={default}  ({option.kind})"
        margin = " " * INDENT
        yield from textwrap.wrap(
            option.meaning, WIDTH, initial_indent=margin, subsequent_indent=margin
        )


def _loaded(name: str) -> Any:
    try:
        return load_config(name)
    except (UserError, OSError):
        raise
    except Exception as error:  # inside the file of a config
        raise UserError(f"{name}: {first_line(error)}; see experiments/configs") from None
