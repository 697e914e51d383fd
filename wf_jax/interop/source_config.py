"""The configuration file that a published checkpoint was trained with."""

import json
from pathlib import Path
from typing import Any

import yaml

from wf_jax.interop.errors import WeightImportError


def read_config(path: str | Path) -> dict[str, Any]:
    """The source's own configuration, .json or .yaml.

    Raises:
        WeightImportError: it is missing, damaged or not a table.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise WeightImportError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise WeightImportError(f"{path}: damaged ({reason}); use .json or .yaml") from None
    if not isinstance(values, dict):
        raise WeightImportError(f"{path}: not a table of names and values; use the source's own")
    return values
