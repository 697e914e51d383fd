"""Settings of the whole suite: two CPU devices, and the reference folder where it is there."""

from pathlib import Path

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 2)

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"


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
