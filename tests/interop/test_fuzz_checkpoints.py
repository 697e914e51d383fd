"""Damaged published checkpoints and configurations: a model, or one line."""

import json
import pickle
import sys

import numpy as np
import pytest

from tests.damaged_folders import battery
from tests.experiments import test_convert as parakeet
from tests.interop import test_waveglow_import as nvidia
from tests.interop.test_files import safetensors, tensor, torch_file
from wf_jax.interop.checkpoint import read_checkpoint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of memory")
SUFFIXES = (".pdparams", ".npz", ".safetensors", ".pt")


def save(path, arrays):
    """Writes arrays as the programs of that suffix do."""
    if path.suffix == ".pdparams":
        path.write_bytes(pickle.dumps(arrays, 2 if len(arrays) % 2 else 4))
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".pt":
        state = {
            name: tensor(str(n), a.shape, tuple(s // 4 for s in a.strides), count=a.size)
            for n, (name, a) in enumerate(arrays.items())
        }
        storages = {str(n): a.tobytes() for n, a in enumerate(arrays.values())}
        torch_file(path, {"state_dict": state, "iteration": 3}, storages)
    else:
        header, at = {}, 0
        for name, a in arrays.items():
            span = [at, at + a.nbytes]
            header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": span}
            at += a.nbytes
        body = b"".join(a.tobytes() for a in arrays.values())
        path.write_bytes(safetensors(header, body))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Makes folders with a checkpoint and its configuration, in every format."""
    place, rng = tmp_path_factory.mktemp("checkpoints"), np.random.default_rng(0)
    sources = {
        "parakeet": (parakeet.checkpoint(rng), parakeet.CONFIG),
        "nvidia": (nvidia.checkpoint(rng)[0], nvidia.VALUES),
    }
    for source, (arrays, config) in sources.items():
        for suffix in SUFFIXES:
            folder = place / f"{source}{suffix}"
            folder.mkdir()
            save(folder / f"checkpoint{suffix}", arrays)
            kind = ".yaml" if source == "parakeet" else ".json"
            (folder / f"config{kind}").write_text(json.dumps(config))  # which is YAML as well
    return sorted(place.iterdir())


def converting(folder):
    """Converts as experiments.convert does."""
    names = [path.name for path in folder.iterdir()]
    (path,) = [name for name in names if name.startswith("checkpoint")] or ["checkpoint.pt"]
    source, config = ("parakeet", "yaml") if "config.yaml" in names else ("nvidia", "json")
    return read_checkpoint(str(folder / path), source, str(folder / f"config.{config}"))


@pytest.fixture(autouse=True)
def nothing_is_run(tmp_path, monkeypatch):
    """Checks that no file appears, which executed pickle code would leave."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "attacked").exists()


def test_damaged_checkpoints(checkpoints, tmp_path):
    for folder in checkpoints:
        converting(folder)
    counts = battery(checkpoints, tmp_path, 60, 1, [converting])
    assert min(counts.values()) > 3


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(2, 7))
def test_more_damaged_checkpoints(checkpoints, tmp_path, seed):
    assert min(battery(checkpoints, tmp_path, 400, seed, [converting]).values()) > 20
