"""The packages of the extra `judge`, with which vocoders are judged as in publications."""

import importlib
import warnings
from types import ModuleType

from wf_jax.errors import UserError

PACKAGES = {"pesq": "PESQ", "zimtohrli": "Zimtohrli", "pyworld": "WORLD and its pitch"}
_INSTALL = "pip install 'wf_jax[judge]' (Zimtohrli: Linux, x86-64)"


def package(name: str) -> ModuleType | None:
    """Imports one of PACKAGES; None where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyworld 0.3.5 uses pkg_resources, which is deprecated
        try:
            return importlib.import_module(name)
        except ImportError:
            return None


def required(name: str) -> ModuleType:
    """Imports one of PACKAGES.

    Raises:
        UserError: it is not installed.
    """
    module = package(name)
    if module is None:
        raise UserError(f"{PACKAGES[name]} takes the package {name}: {_INSTALL}")
    return module


def absent() -> str | None:
    """Says in one line what is not measured here, and which extra gives it; None for nothing."""
    names = [said for name, said in PACKAGES.items() if package(name) is None]
    if not names:
        return None
    return f"without {', '.join(names)}: {_INSTALL}"
