"""A model folder holds the old or the new model at every instant, even if a writer is killed."""

import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from tests.flows.small import config, source_filter_config
from wf_jax.errors import UserError
from wf_jax.flows.families import new_flow
from wf_jax.flows.model_folder import NEXT, load_model, save_model
from wf_jax.modules import split
from wf_jax.whole_files import write_whole

WRITER = """
import sys
import numpy as np
from tests.flows.small import config
from wf_jax.flows.families import new_flow
from wf_jax.flows.model_folder import save_model
from wf_jax.modules import split
settings = config()
params = split(new_flow(settings, np.random.default_rng(0)))[1]
for number in range(10**6):
    save_model(sys.argv[1], settings, {k: np.full_like(v, number) for k, v in params.items()})
    print(number, flush=True)
"""


def values(folder):
    """Returns the numbers in a model; a single one if all come from one saving."""
    return {float(v) for array in split(load_model(folder))[1].values() for v in np.unique(array)}


def test_a_reader_finds_one_model_while_another_is_written(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        try:
            process.stdout.readline()
            for _ in range(10):
                assert len(values(tmp_path)) == 1
        finally:
            process.kill()


def test_a_voice_of_an_earlier_version_is_the_same(tmp_path):
    """Reads a model without the scale of the bands as with the scale that there was then."""
    settings = source_filter_config()
    params = split(new_flow(settings, np.random.default_rng(0)))[1]
    older = {k: v for k, v in params.items() if not k.startswith("band_scale/")}
    assert len(older) == len(params) - 2
    save_model(tmp_path, settings, older)
    found = split(load_model(tmp_path))[1]
    np.testing.assert_array_equal(found["band_scale/middle"], -5)
    np.testing.assert_allclose(np.exp(found["band_scale/log_spread"]), 2, rtol=1e-6)
    save_model(tmp_path, settings, {k: v for k, v in older.items() if not k.endswith("bias")})
    with pytest.raises(UserError, match=r"bias is missing"):
        load_model(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=pytest.mark.exhaustive)])
def test_a_writer_that_is_killed_leaves_one_model(tmp_path, kills):
    chance = random.Random(0)
    for _ in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        assert len(values(tmp_path)) == 1


@pytest.mark.parametrize("stopped_at", ["config.json", NEXT, "rename"])
def test_a_stop_between_two_files(tmp_path, monkeypatch, stopped_at):
    settings = config()
    params = split(new_flow(settings, np.random.default_rng(0)))[1]
    save_model(tmp_path, settings, {k: np.full_like(v, 1) for k, v in params.items()})
    new = {k: np.full_like(v, 2) for k, v in params.items()}

    def stop(*arguments):
        raise KeyboardInterrupt

    if stopped_at == "rename":
        monkeypatch.setattr("wf_jax.flows.model_folder.os", SimpleNamespace(replace=stop))
    else:

        def write(path, fill):
            return stop() if path.name == stopped_at else write_whole(path, fill)

        monkeypatch.setattr("wf_jax.flows.model_folder.write_whole", write)
    with pytest.raises(KeyboardInterrupt):
        save_model(tmp_path, settings, new)
    monkeypatch.undo()
    assert values(tmp_path) == {2.0 if stopped_at == "rename" else 1.0}
    save_model(tmp_path, settings, new)
    assert values(tmp_path) == {2.0}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "params.npz"]
