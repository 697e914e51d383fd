"""The command line that converts checkpoints, and the model folder that it writes."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wf_jax.errors import UserError
from wf_jax.flows.model_folder import load_model, save_model
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.interop import read_config
from wf_jax.modules import split

ROOT = Path(__file__).parents[2]
CONFIG = {"n_flows": 2, "n_layers": 2, "n_group": 8, "channels": 4, "n_mels": 5}


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.convert", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )


def checkpoint(rng):
    """Makes a Parakeet checkpoint of CONFIG, weight norm removed."""
    layers = {f"encoder.{j}": (1, 1, 3, 32) for j in range(2)}
    for k in range(2):
        layers |= {
            f"decoder.{k}.input_proj": (4, 1, 1, 1),
            f"decoder.{k}.output_proj": (2, 4, 1, 1),
        }
        for n in range(2):
            block = f"decoder.{k}.resnet.{n}"
            layers |= {f"{block}.conv": (8, 4, 3, 3), f"{block}.condition_proj": (8, 5, 1, 1)}
            layers |= {f"{block}.out_proj": (8, 4, 1, 1)}
    return {
        f"{name}.{part}": rng.standard_normal(size).astype(np.float32)
        for name, shape in layers.items()
        for part, size in (("weight", shape), ("bias", shape[:1]))
    }


@pytest.fixture
def files(tmp_path, rng):
    arrays = checkpoint(rng)
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(arrays, 2))
    (tmp_path / "a.yaml").write_text("\n".join(f"{n}: {v}" for n, v in CONFIG.items()))
    return tmp_path, arrays


def arguments(folder):
    inputs = [f"--input={folder}/a.pdparams", f"--source_config={folder}/a.yaml"]
    return [*inputs, "--source=parakeet", f"--output={folder}/model"]


@pytest.mark.slow
def test_a_checkpoint_becomes_a_model(files):
    folder, arrays = files
    result = run(*arguments(folder))
    assert result.returncode == 0, result.stderr
    assert f"{folder}/model: WaveFlow with " in result.stdout
    assert sorted(path.name for path in (folder / "model").iterdir()) == [
        "config.json",
        "params.npz",
    ]
    model = load_model(folder / "model")
    assert (model.config.height, model.config.channels) == (8, 4)
    _, params = split(model)
    for k in range(2):
        there = arrays[f"decoder.{k}.resnet.1.condition_proj.weight"][:, :, 0, 0].T
        np.testing.assert_array_equal(params["flows/layers/1/condition/kernel"][k], there)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--input=missing.pt"], "missing.pt: cannot be read: No such file or directory"),
        (["--source_config=missing.json"], "missing.json: cannot be read: No such file"),
        (["--source=l0sg"], "the source configuration has no n_layer; add it"),
        (["extra"], "unexpected argument 'extra'"),
        (["--output=/dev/null/x"], "/dev/null/x: /dev/null is a file; give another folder"),
    ],
)
def test_faults_are_one_line(files, change, message):
    folder, _ = files
    result = run(*arguments(folder), *change)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder / "model").exists()


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_a_damaged_configuration(tmp_path, name):
    (tmp_path / name).write_text("{[")
    with pytest.raises(UserError, match=rf"{name}: damaged \(") as caught:
        read_config(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1
    (tmp_path / name).write_text("[1]")
    with pytest.raises(UserError, match="not a table"):
        read_config(tmp_path / name)


def test_a_yaml_that_asks_to_run_code(tmp_path):
    (tmp_path / "a.yaml").write_text("a: !!python/object/apply:os.system ['touch attacked']")
    with pytest.raises(UserError, match="damaged"):
        read_config(tmp_path / "a.yaml")


# The model folder

SMALL = WaveFlowConfig(height=8, flows=2, layers=2, channels=4, height_dilations=(1, 2))


@pytest.fixture
def saved(tmp_path):
    model = WaveFlow(SMALL, np.random.default_rng(1))
    _, params = split(model)
    save_model(tmp_path / "model", SMALL, params)
    return tmp_path / "model", params


def test_a_model_comes_back(saved):
    folder, params = saved
    model = load_model(folder)
    assert model.config == SMALL
    _, again = split(model)
    assert list(again) == list(params)
    for name, value in params.items():
        np.testing.assert_array_equal(again[name], value, strict=True)


def test_a_model_is_replaced(saved):
    folder, params = saved
    save_model(folder, SMALL, {name: value * 2 for name, value in params.items()})
    _, again = split(load_model(folder))
    np.testing.assert_array_equal(again["flows/end/bias"], 2 * params["flows/end/bias"])
    assert len(list(folder.iterdir())) == 2


def edit(folder, change):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="other/1"), "format 'other/1' is none of wf_jax"),
        (lambda c: c.update(params_sha256=None), "params.npz: not the file that config.json"),
        (lambda c: c.update(model=None), "WaveFlowConfig is not a table"),
        (lambda c: c["model"].update(color=1), "color is unknown"),
        (lambda c: c["model"].pop("flows"), "flows is missing"),
        (lambda c: c["model"].update(flows="2"), "flows '2' is not of type int"),
        (lambda c: c["model"].update(flows=True), "flows True is not of type int"),
        (lambda c: c["model"].update(height=7), "height 7 is not an even number"),
        (lambda c: c["model"].update(permutation="random"), "permutation 'random' is none of"),
        (lambda c: c["model"].update(height_dilations=1), "height_dilations 1 is not a list"),
        (lambda c: c["model"]["mel"].update(n_mels=0), "n_mels is 0"),
        (lambda c: c["model"]["mel"].update(center=1), "center 1 is not of type bool"),
        (
            lambda c: c["model"].update(channels=5),
            r"params\.npz: flows/.* is float32 \(.*4.*\), but config\.json makes it float32 \(.*5",
        ),
        (lambda c: c["model"].update(layers=1, height_dilations=[1]), "is not part of this model"),
        (lambda c: c["model"].update(layers=3, height_dilations=[1] * 3), "is missing"),
    ],
)
def test_faults_of_a_configuration(saved, change, message):
    folder, _ = saved
    edit(folder, change)
    with pytest.raises(UserError, match=message) as caught:
        load_model(folder)
    assert len(str(caught.value).splitlines()) == 1
    assert str(folder) in str(caught.value)


def test_whole_numbers_for_frequencies(saved):
    folder, _ = saved
    edit(folder, lambda c: c["model"]["mel"].update(f_min=0, f_max=8000))
    assert load_model(folder).config == SMALL


def test_missing_and_damaged_files(saved):
    folder, _ = saved
    with pytest.raises(UserError, match="No such file or directory; give a folder"):
        load_model(folder / "missing")
    (folder / "params.npz").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"params\.npz: not the file that config\.json"):
        load_model(folder)
    (folder / "params.npz").unlink()
    with pytest.raises(UserError, match=r"params\.npz: missing"):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="damaged JSON"):
        load_model(folder)
