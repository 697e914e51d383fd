"""Hostile model folders: one line, fast, and nothing large is allocated before it."""

import contextlib
import hashlib
import json
import os
import zipfile

import numpy as np
import pytest

from experiments.run.vocoder_folder import model_folder
from tests import hostile_files as hostile
from tests.flows import small
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import load_model, save_model
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.flows.waveglow_config import WaveGlowConfig
from wf_jax.flows.wavenet_config import WaveNetConfig
from wf_jax.modules import split

SMALL = WaveFlowConfig(height=8, flows=2, layers=2, channels=4, height_dilations=(1, 2))
LOADING = """
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import load_model
# measured
try:
    load_model(sys.argv[1])
except UserError as error:
    print(error)
"""


@pytest.fixture
def folder(tmp_path):
    _, params = split(WaveFlow(SMALL, np.random.default_rng(1)))
    save_model(tmp_path / "model", SMALL, params)
    return tmp_path / "model"


def members(folder):
    with zipfile.ZipFile(folder / "params.npz") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sign(folder, **model):
    """Writes the digest of params.npz into config.json, and a model description."""
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["params_sha256"] = hashlib.sha256((folder / "params.npz").read_bytes()).hexdigest()
    content["model"] |= model
    path.write_text(json.dumps(content))
    return folder


def fault(folder):
    with pytest.raises(UserError) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def zipped(change):
    """Builds params.npz with other members."""
    return lambda folder: hostile.zip_of(folder / "params.npz", change(members(folder)))


FIRST = "flows/start/kernel.npy"
SHAPES = ["(1000000000000,)", "(-1,)", "(1,) * 9", "((((((1,))))))", "(True,)", f"({'9' * 5000},)"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: hostile.mark_encrypted(f / "params.npz"), "is encrypted"),
        (lambda f: hostile.patch(f / "params.npz", 8, b"\x63\0"), "is compressed"),
        (lambda f: hostile.patch(f / "params.npz", 8, b"\x0c\0"), "is compressed"),
        (lambda f: hostile.patch(f / "params.npz", 4, b"\xff\0"), "damaged"),
        (zipped(lambda m: m | {FIRST: m[FIRST][:-4]}), "announces 32 bytes, 28 are there"),
        (zipped(lambda m: m | {FIRST: m[FIRST] + b"1234"}), "announces 32 bytes, 36 are there"),
        (zipped(lambda m: m | {FIRST: b""}), "no .npy"),
        (zipped(lambda m: m | {"x": b"1"}), "x in it is no array"),
        (
            zipped(lambda m: m | {"x.npy": hostile.npy_header("(0,)")}),
            "x is not part of this model",
        ),
        (zipped(lambda m: {FIRST: m[FIRST]}), "is missing"),
        (zipped(lambda m: m | {"a/" * 500 + ".npy": m[FIRST]}), "a/a/a... is not part of this"),
        (zipped(lambda m: m | {"../x.npy": m[FIRST]}), "is not part of this model"),
        (zipped(lambda m: m | {FIRST: b"\x93NUMPY\2\0\xff\xff\xff\xff"}), "header of 4294967295"),
        (zipped(lambda m: m | {FIRST: hostile.npy_header((8,), "|O") + bytes(64)}), "type object"),
        (zipped(lambda m: m | {FIRST: hostile.npy_header((1,), "<U99999999")}), "no plain numbers"),
        *[
            (
                zipped(lambda m, shape=shape: m | {FIRST: hostile.npy_header(shape) + bytes(32)}),
                "params.npz: damaged",
            )
            for shape in SHAPES
        ],
    ],
)
def test_archives_that_are_none(folder, change, says):
    change(folder)
    found = fault(sign(folder))
    assert says in found
    assert found.startswith(str(folder / "params.npz"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(folder):
    with zipfile.ZipFile(folder / "params.npz", "a") as archive:
        archive.writestr(FIRST, members(folder)[FIRST])
    assert "a name occurs twice" in fault(sign(folder))


def test_an_archive_cut_off_at_every_place(folder):
    whole = (folder / "params.npz").read_bytes()
    for kept in range(0, len(whole), 97):
        (folder / "params.npz").write_bytes(whole[:kept])
        assert "params.npz: damaged" in fault(sign(folder))


@pytest.mark.slow
def test_a_changed_byte_is_found_or_harms_nothing(folder):
    whole = (folder / "params.npz").read_bytes()
    for place in range(0, len(whole), 61):
        (folder / "params.npz").write_bytes(
            whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
        )
        with contextlib.suppress(UserError):
            load_model(sign(folder))


HUGE = 2**31


@pytest.mark.parametrize(
    "sizes",
    [
        {"layers": HUGE, "height_dilations": []},
        {"layers": 10**4000, "height_dilations": []},
        {"layers": 200, "flows": 60000, "height_dilations": []},
        {"layers": 200, "flows": 1, "height_dilations": []},
        {"flows": HUGE},
        {"channels": HUGE},
        {"channels": 65535},
        {"kernel": 65535},
        {"height": HUGE},
        {"height_dilations": [HUGE, 1]},
        {"upsample_factors": [65536, 65536]},
        {"upsample_factors": [1] * 100_000},
    ],
)
def test_a_configuration_of_a_huge_model(folder, sizes):
    fault(sign(folder, **sizes))


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"groups": 512}, "groups is above 256"),
        ({"early_every": 1, "early_size": 2, "flows": 100}, "leave nothing"),
        ({"upsample_hops": 256}, "makes a model of"),
        ({"flows": 256, "layers": 2}, "layers 2 of 256 flows are more than 256"),
        ({"layers": 33, "flows": 1}, "layers is above 24"),
    ],
)
def test_a_configuration_of_a_huge_waveglow(tmp_path, sizes, says):
    model = small.random_model(WaveGlowConfig(flows=2, layers=2, channels=4, early_every=0))
    save_model(tmp_path, model.config, split(model)[1])
    found = fault(sign(tmp_path, **sizes))
    assert says in found


@pytest.mark.parametrize(
    "mel",
    [
        {"n_mels": HUGE},
        {"n_mels": 512, "n_fft": 65536},
        {"n_mels": 512, "n_fft": 1024},
        {"n_fft": HUGE},
        {"hop_length": HUGE},
        {"sample_rate": 10**4000},
        {"f_max": 10**4000},
    ],
)
def test_a_configuration_of_a_huge_mel(folder, mel):
    content = json.loads((folder / "config.json").read_text())["model"]["mel"]
    fault(sign(folder, mel=content | mel))


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b" " * (2 << 20),
        b'{"format": ' + b"1" * 5000 + b"}",
        b"\xff",
        b"\xef\xbb\xbf",
    ],
)
def test_json_that_is_none(folder, content):
    (folder / "config.json").write_bytes(content)
    assert str(folder / "config.json") in fault(folder)


def test_a_pipe_is_not_waited_for(folder):
    for name in ("config.json", "params.npz"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert name in fault(folder)
        (folder / name).unlink()
        (folder / name).write_bytes(b"")
        save_model(folder, SMALL, split(WaveFlow(SMALL, np.random.default_rng(1)))[1])


def test_least_sizes_are_below_those_of_models():
    """A model refused for its size could not have been loaded."""
    for config in (
        SMALL,
        small.config(),
        small.waveglow_config(),
        WaveGlowConfig(flows=2, layers=2, channels=4, early_every=0),
        *[small.wavenet_config(head=head) for head in ("gaussian", "softmax", "logistic_mixture")],
        WaveNetConfig(flows=2, layers=3, cycle=2, channels=4),
    ):
        _, params = split(small.random_model(config))
        total = sum(value.nbytes for value in params.values())
        assert total / 4 < config.least_bytes <= total


@pytest.mark.slow
def test_time_and_memory(folder, tmp_path):
    """Covers 3 GiB in 3 MB, a directory of a million names, and a model that fits no machine."""
    hostile.bomb(folder / "params.npz", FIRST)
    assert "is compressed" in hostile.limited(LOADING, sign(folder))
    hostile.patch(folder / "params.npz", 8, b"\0\0")  # as if it were stored
    assert "params.npz: damaged" in hostile.limited(LOADING, sign(folder))
    hostile.many_names(folder / "params.npz", 300_000)
    assert "params.npz: damaged" in hostile.limited(LOADING, sign(folder))
    hostile.zip_of(folder / "params.npz", {})
    assert "makes a model of" in hostile.limited(LOADING, sign(folder, channels=65535))


def test_the_configuration_of_a_run_is_bounded_too(tmp_path):
    """Reads config.json only to identify the folder if there is no model below."""
    for content in (b"[" * 100_000, b" " * (2 << 20)):
        (tmp_path / "config.json").write_bytes(content)
        assert model_folder(tmp_path) == tmp_path
        assert "config.json: " in fault(tmp_path)
