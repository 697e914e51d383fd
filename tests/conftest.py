"""Settings of the whole suite: two CPU devices, and the reference folder where it is there."""

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
    "test_distributed.py": 3,
    "test_both_tasks.py": 2,
    "test_faults.py": 2,
    "test_train.py": 2,
    "test_vocoder.py": 1,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts long files first."""
    items.sort(key=lambda item: -LONG.get(item.path.name, 0))


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Every compiled program holds memory maps, of which a process may have 65,530 on Linux."""
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
