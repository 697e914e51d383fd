"""The configuration file that a published checkpoint was trained with."""

import json
import reprlib
from pathlib import Path
from typing import Any

import yaml

from wf_jax.bounded_files import read_bounded
from wf_jax.errors import UserError, first_line

LARGEST_CONFIG = 1 << 16  # bytes; PaddleSpeech's have 4 KiB
_MOST_BITS = 1024  # of a whole number
_MOST_NODES = 10_000  # of a YAML file: as many are read in half a second


def read_config(path: str | Path) -> dict[str, Any]:
    """Reads the source's own configuration, .json or .yaml.

    Raises:
        UserError: it is missing, damaged, too large, not a table, or YAML that refers to
            parts of itself.
    """
    path = Path(path)
    try:
        text = read_bounded(path, LARGEST_CONFIG).decode()
        values = json.loads(text) if path.suffix.lower() == ".json" else _read_yaml(text)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}; use the source's own") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = first_line(error)[:200]
        raise UserError(f"{path}: damaged ({reason}); use .json or .yaml") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: not a table of names and values; use the source's own")
    return values


class _Loader(yaml.SafeLoader):
    """Loads plain values without references, by which a few lines could stand for any number."""

    nodes = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node:
        """Composes a node; refuses aliases and too many nodes."""
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            raise yaml.YAMLError(f"more than {_MOST_NODES:,} values")
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise yaml.YAMLError("it refers to parts of itself (& and *); write them out")
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuses merge keys."""
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("it merges tables (<<); write them out")
        super().flatten_mapping(node)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Reads a whole number; refuses one that is too long to be printed."""
        value = super().construct_yaml_int(node)
        if value.bit_length() > _MOST_BITS:
            raise yaml.YAMLError(f"a whole number of {value.bit_length()} bits")
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _read_yaml(text: str) -> Any:
    """Reads the values of a YAML document.

    Raises:
        ValueError: a value is not of the type that its tag says.
        yaml.YAMLError: it is no YAML, or refers to parts of itself.
    """
    try:
        return yaml.load(text, _Loader)
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(reprlib.repr(str(error))) from None
