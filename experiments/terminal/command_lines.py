"""Formats command lines to paste; wf_jax/command_lines.py decides how they begin."""

from collections.abc import Mapping
from typing import Any

from wf_jax.command_lines import command, same_command

__all__ = ["command", "differences", "same_command"]


def differences(given: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    """Returns the options that make one config of another, both as {"train.steps": 100, ...}."""
    return [
        f"--config.{name}={_value(value)}"
        for name, value in given.items()
        if value != usual.get(name)
    ]


def _value(value: Any) -> str:
    return str(tuple(value) if isinstance(value, list) else value)
