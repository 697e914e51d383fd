"""Studio in its own folder, for the tests of its HTTP interface."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.experiments.studio_server import Client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `studio`, alone in another one."""
    return tmp_path_factory.mktemp("studio") / "inside"


@pytest.fixture(scope="module")
def studio(folder: Path) -> "Iterator[Client]":
    """A client of a Studio that runs until the end of the module; needs starlette and uvicorn."""
    from tests.experiments.studio_server import serving

    with serving(folder) as client:
        yield client
