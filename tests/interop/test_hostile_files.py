"""Hostile checkpoints and configurations: one line, fast, and nothing large before it."""

import os
import pickle
import pickletools
import struct
import zipfile

import numpy as np
import pytest

from tests import hostile_files as hostile
from tests.interop.test_files import safetensors, tensor, torch_file
from wf_jax.errors import UserError
from wf_jax.interop import (
    files,
    from_l0sg,
    from_nvidia_waveglow,
    from_parakeet,
    read_arrays,
    read_config,
)
from wf_jax.interop.files import LARGEST_PICKLE

READING = """
from wf_jax.errors import UserError
from wf_jax.interop import read_arrays, read_config
# measured
try:
    (read_config if sys.argv[1].endswith(("json", "yaml")) else read_arrays)(sys.argv[1])
except UserError as error:
    print(error)
"""


def fault(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    return str(caught.value)


# Archives


def test_members_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(3))
    assert "is encrypted" in fault(read_arrays, hostile.mark_encrypted(path))
    np.savez(path, a=np.zeros(3))
    assert "is compressed" in fault(read_arrays, hostile.patch(path, 8, b"\x63\0"))
    np.savez(path, a=np.zeros(3, complex))
    assert "a holds complex numbers" in fault(read_arrays, path)
    torch = torch_file(tmp_path / "a.pt", {"a": tensor("0", (4,), (1,), count=4)}, {"0": bytes(16)})
    assert "is encrypted" in fault(read_arrays, hostile.mark_encrypted(torch))


def test_names_of_any_length(tmp_path):
    np.savez(tmp_path / "a.npz", **{"a/" * 500: np.zeros(1)})
    for call in (from_l0sg, from_parakeet, from_nvidia_waveglow):
        source = {from_l0sg: L0SG, from_parakeet: PARAKEET, from_nvidia_waveglow: NVIDIA}[call]
        assert "a/a/a..." in fault(call, read_arrays(tmp_path / "a.npz"), source)


def test_archives_that_unpack_to_far_more(tmp_path):
    assert "unpacks to 3221" in fault(read_arrays, hostile.bomb(tmp_path / "a.npz"))
    np.savez_compressed(tmp_path / "b.npz", a=np.zeros(1 << 20))
    assert read_arrays(tmp_path / "b.npz")["a"].shape == (1 << 20,), "zeros may well be compressed"


def test_many_views_of_one_storage(tmp_path):
    """Each view is copied when it becomes a weight."""
    count, storage = 1 << 20, {"0": bytes(4 << 20)}
    state = {f"a{n}": tensor("0", (count,), (1,), count=count) for n in range(100)}
    path = torch_file(tmp_path / "a.pt", state, storage)
    assert "arrays of 419,430,400 bytes in a file of" in fault(read_arrays, path)


def test_shapes_of_many_axes(tmp_path):
    header = {"a": {"dtype": "F32", "shape": [9] * 100_000, "data_offsets": [0, 0]}}
    (tmp_path / "a.safetensors").write_bytes(safetensors(header, b""))
    assert "shape of 100000 axes" in fault(read_arrays, tmp_path / "a.safetensors")
    axes = (2**31 - 1,) * 100_000
    path = torch_file(tmp_path / "a.pt", {"a": tensor("0", axes, axes, count=4)}, {"0": bytes(16)})
    assert "a tensor's sizes" in fault(read_arrays, path)


def test_a_file_larger_than_any(tmp_path):
    for suffix in (".npz", ".pt", ".safetensors", ".pdparams"):
        with (tmp_path / f"a{suffix}").open("wb") as file:
            file.truncate(3 << 30)  # takes no room
        assert "the most that is read" in fault(read_arrays, tmp_path / f"a{suffix}")


@pytest.mark.slow
def test_no_more_of_a_large_file_is_read_than_its_header(tmp_path):
    """Tries files of nearly 2 GiB, whose beginning is no header."""
    begins = {"a.safetensors": safetensors(b"{", b""), "a.pdparams": b"\x80\x02}R"}
    begins["b.pdparams"] = b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40)
    for name, begin in begins.items():
        with (tmp_path / name).open("wb") as file:
            file.write(begin)
            file.truncate((2 << 30) - 1)  # takes no room
        assert f"{name}: damaged" in hostile.limited(READING, tmp_path / name)
    pickle = {"model/data.pkl": b"\x80\x02" + bytes(LARGEST_PICKLE)}
    path = hostile.zip_of(tmp_path / "a.pt", pickle)
    assert "model/data.pkl has more than" in fault(read_arrays, path)


def test_a_checkpoint_that_is_written_meanwhile(tmp_path, monkeypatch):
    header = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    (tmp_path / "a.safetensors").write_bytes(safetensors(header, b"1234"))

    def shorten(*arguments):
        os.truncate(tmp_path / "a.safetensors", 80)

    monkeypatch.setattr(files, "_check_cover", shorten)
    assert "was changed meanwhile" in fault(read_arrays, tmp_path / "a.safetensors")


def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("a.pt", "a.npz", "a.pdparams", "a.safetensors"):
        os.mkfifo(tmp_path / name)
        assert "not a regular file" in fault(read_arrays, tmp_path / name)
    os.mkfifo(tmp_path / "a.yaml")
    assert "not a regular file" in fault(read_config, tmp_path / "a.yaml")


def test_pickles_of_many_opcodes(tmp_path):
    (tmp_path / "a.pdparams").write_bytes(b"\x80\x02(" + b"N" * 400_000 + b"l.")
    assert "more than 300,000 opcodes" in fault(read_arrays, tmp_path / "a.pdparams")
    state = {f"layer.{n}.weight": np.zeros(1, np.float32) for n in range(1000)}
    assert sum(1 for _ in pickletools.genops(pickle.dumps(state, 2))) < 100_000


@pytest.mark.slow
def test_time_and_memory(tmp_path):
    bomb = hostile.bomb(tmp_path / "a.npz")
    assert "unpacks to" in hostile.limited(READING, bomb)
    hostile.patch(bomb, 22, struct.pack("<I", 1 << 27))  # lies about its size
    assert "a.npy announces" in hostile.limited(READING, bomb)
    for name in ("many.npz", "many.pt"):
        path = hostile.many_names(tmp_path / name, 300_000)
        assert "a directory of" in hostile.limited(READING, path)
    begin = b"\x93NUMPY\2\0\xff\xff\xff\x7f"
    path = hostile.zip_of(tmp_path / "b.npz", {"a.npy": begin}, zipfile.ZIP_DEFLATED)
    assert "a header of" in hostile.limited(READING, path)
    header = b'{"a":[' + b"[]," * 1_390_000 + b"[]]}"
    (tmp_path / "a.safetensors").write_bytes(safetensors(header, b""))
    assert "dtype" in hostile.limited(READING, tmp_path / "a.safetensors")
    (tmp_path / "a.pdparams").write_bytes(b"\x80\x02" + b"(" * (64 << 20))
    assert "opcodes" in hostile.limited(READING, tmp_path / "a.pdparams")
    (tmp_path / "a.yaml").write_text(laughs(9))
    assert "refers to parts of itself" in hostile.limited(READING, tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("[" * 60_000)
    assert "damaged" in hostile.limited(READING, tmp_path / "b.yaml")


# Configurations


def laughs(levels):
    """Makes tables that merge those before them."""
    first = "a0: &a0 {x0: 1, x1: 1, x2: 1}\n"
    merged = (f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, levels))
    return first + "".join(merged)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (laughs(5), "it refers to parts of itself (& and *); write them out"),
        ("a: &x 1\nb: *x", "it refers to parts of itself"),
        ("a: {<<: {b: 1}}", "it merges tables (<<); write them out"),
        ("a: [" + "1," * 20_000 + "]", "more than 10,000 values"),
        ("#" * (1 << 20), "larger than 65,536 bytes, the most that is read"),
        ("a: !!int ''", "damaged"),
        ("a: !!bool maybe", "damaged"),
        ("a: !!timestamp soon", "damaged"),
        ("a: " + "1:" * 30_000 + "1", "a whole number of 177207 bits"),
        ("a: " + "1:" * 30_000 + "1.5", "damaged"),
        ("a: 0x" + "f" * 60_000, "a whole number of 240000 bits"),
        ("- " * 30_000, "damaged"),
    ],
)
def test_yaml_that_stands_for_more(tmp_path, text, says):
    (tmp_path / "a.yaml").write_text(text)
    assert says in fault(read_config, tmp_path / "a.yaml")


def test_json_that_is_too_large(tmp_path):
    (tmp_path / "a.json").write_text(" " * (1 << 20))
    assert "larger than 65,536 bytes" in fault(read_config, tmp_path / "a.json")


PARAKEET = {"n_flows": 2, "n_layers": 2, "n_group": 8, "channels": 4, "n_mels": 5}
L0SG = {
    "n_height": 8,
    "n_flow": 2,
    "n_layer": 2,
    "n_layer_per_cycle": 2,
    "res_channels": 4,
    "cin_channels": 5,
    "coupling_type": "waveflow",
}
NVIDIA = {
    "n_mel_channels": 4,
    "n_flows": 2,
    "n_group": 4,
    "n_early_every": 2,
    "n_early_size": 2,
    "n_layers": 2,
    "n_channels": 4,
    "kernel_size": 3,
}


@pytest.mark.parametrize("value", [65535, 2**31, 10**4000, "x", [[1]] * 9999, {}, 1e308, None])
@pytest.mark.parametrize(
    ("importer", "config"),
    [(from_parakeet, PARAKEET), (from_l0sg, L0SG), (from_nvidia_waveglow, NVIDIA)],
)
def test_configurations_of_huge_or_no_models(importer, config, value):
    """Tries every value in turn; no arrays would fit."""
    for name in [*config, "kernel_size", "upsample_factors", "f_max", "mel_fmax", "win_length"]:
        fault(importer, {}, config | {name: value})
