"""Damaged model folders and releases: each is loaded, or refused in one line."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from experiments.run.initial import read_initial
from experiments.run.vocoder_folder import model_folder
from tests import hostile_files
from tests.damaged_folders import battery, outcome, read
from tests.export import small_releases as releases
from wf_jax.errors import UserError
from wf_jax.export import load, write
from wf_jax.export.artifacts import Function, lower
from wf_jax.export.manifest import MANIFEST, PARAMS
from wf_jax.flows.model_folder import load_model, save_model
from wf_jax.modules import split

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of memory")
FAMILIES = tuple(releases.FLOWS)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    """Makes a model folder of each family."""
    place = tmp_path_factory.mktemp("models")
    for family in FAMILIES:
        model = releases.flow(family)
        save_model(place / family, model.config, split(model)[1])
        load_model(place / family)
    return [place / family for family in FAMILIES]


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> list[Path]:
    """Makes releases of a vocoder and of two amps."""
    place = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "lower", _lower_nothing)
        made = [releases.vocoder_release(place / "voice", platforms=("cpu",))]
        made += [releases.amp_release(place / name, name, ("cpu",)) for name in ("lstm", "legacy")]
    for folder in made:
        load(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(_expired(shutil.copytree(folder, place / f"old-{folder.name}")))
    return made


def _lower_nothing(function: Function, params: object, platforms: object) -> object:
    """Makes an artifact that returns its inputs: nothing here is called."""
    return lower(dataclasses.replace(function, call=lambda params, *x: x), params, platforms)


def _expired(folder: Path) -> Path:
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(content | {"expires": "2026-01-31"}))
    return folder


def sign_model(folder: Path) -> None:
    """Writes the digest of params.npz into config.json."""
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        content = json.loads(read(folder / "config.json"))
        data = read(folder / "params.npz")
        content["params_sha256"] = hashlib.sha256(data).hexdigest()
        (folder / "config.json").write_text(json.dumps(content))


def sign_release(folder: Path) -> None:
    """Lists the files of a release as they are now."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        content = json.loads(read(folder / MANIFEST))
        for name in content["files"]:
            data = read(folder / name)
            listed = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            content["files"][name] = listed
        (folder / MANIFEST).write_text(json.dumps(content))


def initial(folder: Path) -> None:
    """Reads it as --init_from does."""
    for value in read_initial(folder).values():
        assert isinstance(value, np.ndarray)


def spoken(folder: Path) -> None:
    """Loads it as synthesize and export do."""
    load_model(model_folder(folder))


def model_battery(models, place, number, seed):
    return battery(
        models, place, number, seed, [spoken, initial], sign_model, lambda name: name == PARAMS
    )


def release_battery(released, place, number, seed):
    return battery(
        released, place, number, seed, [load], sign_release, lambda name: name != MANIFEST
    )


def test_damaged_model_folders(models, tmp_path):
    assert min(model_battery(models, tmp_path, 30, seed=1).values()) > 1


def test_damaged_releases(released, tmp_path):
    assert min(release_battery(released, tmp_path, 30, seed=2).values()) > 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(3, 8))
def test_more_damaged_model_folders(models, tmp_path, seed):
    assert min(model_battery(models, tmp_path, 200, seed).values()) > 10


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(8, 13))
def test_more_damaged_releases(released, tmp_path, seed):
    assert min(release_battery(released, tmp_path, 200, seed).values()) > 10


def test_a_fault_is_named(tmp_path, monkeypatch):
    """Checks that the battery would notice one."""
    with monkeypatch.context() as patch:
        patch.setattr(hostile_files, "MEMORY", 1 << 26)
        with pytest.raises(AssertionError, match=r"took .* bytes"):
            outcome(tmp_path, lambda folder: np.ones(1 << 27, np.uint8))
        patch.setattr(hostile_files, "SECONDS", 0.01)
        with pytest.raises(AssertionError, match=r"took .* s"):
            outcome(tmp_path, lambda folder: sum(range(10**6)))
    with pytest.raises(MemoryError):
        outcome(tmp_path, lambda folder: np.ones(9 << 28, np.uint8))

    def other(folder: Path) -> None:
        raise UserError("no name")

    with pytest.raises(AssertionError):
        outcome(tmp_path, other)
