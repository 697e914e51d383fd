"""Settings of the whole suite: two CPU devices, and the optional reference folder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from experiments.terminal.programs import keep_programs
from tests.hub_server import TOKEN, Server, running_hub

jax.config.update("jax_num_cpu_devices", 2)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
REFERENCE = Path(__file__).parents[2] / "shared" / "reference"


# Minutes on two cores, where they are above one: so that no worker is left with one at the end.
LONG = {
    "test_waveflow.py": 2,
    "test_battery.py": 2,
    "test_compare.py": 2,
    "test_every_nam.py": 2,
    "test_capture_task.py": 2,
    "test_native.py": 1,
    "test_native_training.py": 2,
    "test_source_filter.py": 1,
    "test_vocoder.py": 1,
    "test_clean_process.py": 1,
    "test_distributed.py": 3,
    "test_faults.py": 2,
    "test_train.py": 2,
    "test_vocoder_task.py": 1,
}


def pytest_configure(config: pytest.Config) -> None:
    """Keeps compiled programs for the tests to come, in all processes and in later runs."""
    keep_programs(str(config.cache.mkdir("programs")))
    settings = {
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        os.environ[name.upper()] = str(value)  # for the commands that tests start
        jax.config.update(name, value)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts long files first."""
    items.sort(key=lambda item: -LONG.get(item.path.name, 0))


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Drops compiled programs: each holds memory maps, limited to 65,530 per process on Linux."""
    yield
    jax.clear_caches()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def nam_reference() -> Path:
    folder = REFERENCE / "nam"
    if not folder.is_dir():
        pytest.skip("the public reference models are not here (../shared/reference/nam)")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium by Playwright, where both are installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    options = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=CHROMIUM,
            args=[*options, "--autoplay-policy=no-user-gesture-required"],
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The Hugging Face hub on this machine, where its package is installed."""
    pytest.importorskip("huggingface_hub")
    with running_hub(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture
def hub(hub_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An empty hub, which the user may write to, and an empty cache."""
    from huggingface_hub import constants

    hub_server.clear()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub_server
