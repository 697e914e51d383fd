"""Finds configs by name: those of experiments/configs, or any file that has a get_config()."""

import difflib
import importlib.util
from pathlib import Path
from typing import Any

from wf_jax.errors import UserError

FOLDER = Path(__file__).parents[1] / "configs"


def config_names() -> list[str]:
    """Returns the names of the configs that come with this software."""
    stems = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
    return [stem for stem in stems if not stem.startswith("sweep_")]


def config_file(source: str) -> str:
    """Finds the file of a config: "waveflow:64" becomes "FOLDER/waveflow.py:64".

    Raises:
        UserError: neither a name nor a file.
    """
    name, colon, argument = source.partition(":")
    if name.endswith(".py") or "/" in name:
        return source
    path = FOLDER / f"{name}.py"
    if not path.is_file():
        known = config_names()
        near = difflib.get_close_matches(name, known, 1)
        remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UserError(f"--config={source}: no such config; {remedy}, or name a .py file")
    return f"{path}{colon}{argument}"


def load_config(source: str) -> Any:
    """Makes the config that a name or a file, with or without an argument, stands for.

    Raises:
        UserError: neither a name nor a file.
    """
    file, _, argument = config_file(source).partition(":")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(argument) if argument else module.get_config()
