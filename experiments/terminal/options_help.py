"""Describes the options of a config, one after the other: --config=NAME --help."""

import textwrap
from collections.abc import Iterator
from typing import Any

from wf_jax.options import describe_options

INDENT, WIDTH = 6, 100


def options_help(config: Any) -> Iterator[str]:
    """Describes every option of a config: name, type, default and meaning."""
    for option in describe_options(config):
        default = f'"{option.default}"' if option.default == "" else option.default
        yield f"  --config.{option.name}={default}  ({option.kind})"
        margin = " " * INDENT
        yield from textwrap.wrap(
            option.meaning, WIDTH, initial_indent=margin, subsequent_indent=margin
        )
