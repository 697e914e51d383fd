"""Settings of the whole suite: two CPU devices, and the optional reference folder."""

import os
import shutil
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 2)

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"


# Minutes on two cores, where they are above one: so that no worker is left with one at the end.
LONG = {
    "test_waveflow.py": 2,
    "test_battery.py": 2,
    "test_compare.py": 2,
    "test_every_nam.py": 2,
    "test_capture.py": 2,
    "test_native.py": 1,
    "test_distributed.py": 3,
    "test_faults.py": 2,
    "test_train.py": 2,
    "test_vocoder_task.py": 1,
}


def pytest_configure(config: pytest.Config) -> None:
    """Gives the commands that tests start one shared folder of compiled programs.

    The tests themselves do not use it: jax, imported above, has read its environment.
    """
    if "WF_JAX_TEST_PROGRAMS" not in os.environ:
        folder = tempfile.mkdtemp(prefix="wf_jax-programs-")
        os.environ["WF_JAX_TEST_PROGRAMS"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["WF_JAX_TEST_PROGRAMS"]
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"


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
