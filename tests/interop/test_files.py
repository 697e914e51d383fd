"""Weight files: accepted formats; a hostile file ends in one line and runs nothing."""

import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from wf_jax.errors import UserError
from wf_jax.interop.files import read_arrays

PROTOCOLS = (2, 3, 4, 5)


@pytest.fixture
def arrays(rng):
    return {
        "a.weight": rng.standard_normal((3, 2, 4)).astype(np.float32),
        "a.bias": rng.standard_normal(3),
        "steps": np.arange(5, dtype=np.int64),
        "scalar": np.array(2.5, np.float32),
    }


def write(path, data):
    path.write_bytes(data)
    return path


def same(read, arrays):
    assert list(read) == list(arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(read[name], value)
        assert read[name].dtype == value.dtype


# .npz


def test_npz(tmp_path, arrays):
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    same(read_arrays(tmp_path / "a.npz"), arrays)


def test_npz_of_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([Attack()], dtype=object))
    with pytest.raises(UserError, match=r"a\.npz: damaged, or not only numbers"):
        read_arrays(tmp_path / "a.npz")


def test_npz_of_a_claimed_size(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}".ljust(117) + "\n"
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"\0" * 8
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", npy)
    with pytest.raises(UserError, match="damaged"):
        read_arrays(tmp_path / "a.npz")


# .safetensors


def safetensors(header, body, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(dtype, shape, *offsets):
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


def test_safetensors(tmp_path):
    a, b = np.arange(6, dtype="<f4").reshape(2, 3), np.array([True, False])
    bf16 = np.array([1.5, -2.0], "<f4")
    body = a.tobytes() + (bf16.view("<u4") >> 16).astype("<u2").tobytes() + b.tobytes()
    header = {
        "__metadata__": {"format": "pt"},
        "a": entry("F32", [2, 3], 0, 24),
        "c": entry("BF16", [2], 24, 28),
        "b": entry("BOOL", [2], 28, 30),
        "none": entry("F16", [0, 7], 30, 30),
    }
    read = read_arrays(write(tmp_path / "a.safetensors", safetensors(header, body)))
    same(read, {"a": a, "c": bf16, "b": b, "none": np.zeros((0, 7), np.float16)})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a header of 0 bytes in a file of 0"),
        (safetensors({}, b"", length=1 << 60), "a header of 1152921504606846976 bytes"),
        (safetensors(b"{", b""), "damaged header"),
        (safetensors(b"[" * 100_000, b""), "damaged header"),
        (safetensors(b"[]", b""), "the header is not a table"),
        (safetensors(b'{"a": 1, "a": 2}', b""), "a name occurs twice"),
        (safetensors({"a": 1}, b""), "a: dtype NoneType"),
        (safetensors({"a": entry("F8", [1], 0, 1)}, b"1"), "a: dtype F8; save it as one of F64"),
        (safetensors({"a": entry("F32", 1, 0, 4)}, b"1234"), "a: damaged header"),
        (safetensors({"a": entry("F32", [1], 0, 4, 4)}, b"1234"), "a: damaged header"),
        (safetensors({"a": entry("F32", [-1], 0, -4)}, b"1234"), "a: damaged header"),
        (safetensors({"a": entry("F32", [True], 0, 4)}, b"1234"), "a: damaged header"),
        (safetensors({"a": entry("F32", [2], 0, 4)}, b"1234"), r"a: shape \[2\] needs 8 bytes"),
        (safetensors({"a": entry("F32", [1], 0, 4)}, b"123"), "do not fill its 3 bytes"),
        (safetensors({"a": entry("F32", [1], 0, 4)}, b"12345"), "do not fill its 5 bytes"),
        (safetensors({"a": entry("U8", [1] * 40, 0, 1)}, b"1"), "a: shape"),
        (safetensors({"a": entry("F32", [1 << 62] * 3, 0, 4)}, b"1234"), "a: shape"),
        (safetensors({"a": entry("F32", [10**4000] * 3, 0, 4)}, b"1234"), "a: damaged header"),
        (safetensors({"a": entry("F32", [1], 0, 10**4000)}, b"1234"), "a: damaged header"),
        (safetensors({"a\n\x1b[31m": entry("F8", [1], 0, 1)}, b"1"), r"a\\n\\x1b\[31m: dtype"),
        (
            safetensors({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"123"),
            "do not fill",
        ),
    ],
)
def test_faults_of_safetensors(tmp_path, data, message):
    with pytest.raises(UserError, match=message) as caught:
        read_arrays(write(tmp_path / "a.safetensors", data))
    assert len(str(caught.value).splitlines()) == 1


# .pdparams


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pdparams(tmp_path, arrays, protocol):
    arrays["fortran"] = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    table = {"StructuredToParameterName@@": {name: f"param_{name}" for name in arrays}}
    data = pickle.dumps(arrays | table, protocol)
    same(read_arrays(write(tmp_path / "a.pdparams", data)), arrays)


def test_names_of_numpy_1(tmp_path, arrays):
    data = pickle.dumps(arrays, 2)
    assert b"numpy._core" in data
    old = data.replace(b"numpy._core", b"numpy.core")
    same(read_arrays(write(tmp_path / "a.pdparams", old)), arrays)


def test_pdparams_of_named_pairs(tmp_path, arrays):
    """Reads nested data as Paddle 2.1 and later write it."""

    class Parameter:
        def __reduce__(self):
            return tuple, (("param_0", arrays["a.bias"]),)

    data = pickle.dumps({"main_params": {"a": Parameter()}, "iteration": 3}, 4)
    same(read_arrays(write(tmp_path / "a.pdparams", data)), {"a": arrays["a.bias"]})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_big_endian_numbers_and_scalars(tmp_path, protocol):
    data = {"a": np.arange(3, dtype=">f4"), "lr": np.float64(0.5)}
    read = read_arrays(write(tmp_path / "a.pdparams", pickle.dumps(data, protocol)))
    np.testing.assert_array_equal(read["a"], [0, 1, 2])
    assert list(read) == ["a"]


class Attack:
    """Runs a shell command where it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch attacked",)


class Nested:
    def __reduce__(self):
        return getattr, (np.dtype("f4"), "newbyteorder")


def short(text):
    return b"\x8c" + bytes([len(text)]) + text.encode()


def stack_global(module, name):
    return b"\x80\x04" + short(module) + short(name) + b"\x93"


TUPLE_BOMB = b"\x80\x02}" + b"(K\x01K\x01t" + b"q\x00h\x00\x86" * 80 + b"K\x01s."
ENCODE = (
    b"\x80\x02(c_codecs\nencode\nq\x00X\x00\x10\x00\x00" + b"a" * 4096 + b"q\x01X\x06\0\0\0latin1"
)
ENCODE_BOMB = ENCODE + b"q\x02" + b"h\x00h\x01h\x02\x86R" * 1000 + b"t."

HOSTILE = [
    (pickle.dumps({"a": Attack()}, 2), rf"refused: it asks to run {os.system.__module__}\.system"),
    (pickle.dumps({"a": Attack()}, 4), rf"refused: it asks to run {os.system.__module__}\.system"),
    (pickle.dumps({"a": Nested()}, 4), r"it asks to run builtins\.getattr"),
    (b"\x80\x02cbuiltins\neval\nX\x03\0\0\x001+1\x85R.", r"it asks to run builtins\.eval"),
    (b"cos\nsystem\n(S'ls'\ntR.", r"it asks to run os\.system"),
    (b"\x80\x02cos\nsys\\otem\n.", r"it asks to run os\.sys"),
    (b"(S'ls'\nios\nsystem\n.", "opcode STRING holds no weights"),
    (b"(ios\nsystem\n.", "opcode INST holds no weights"),
    (stack_global("os", "system") + b".", r"it asks to run os\.system"),
    (stack_global("numpy", "dtype.__class__") + b".", r"it asks to run numpy\.dtype\.__class__"),
    (stack_global("torch._utils", "os.system") + b".", r"run torch\._utils\.os\.system"),
    (stack_global("collections\n\x1b[2J", "x") + b".", r"run collections\\n\\x1b\[2J\.x"),
    (b"\x80\x04}}\x93.", "damaged pickle"),
    (b"\x80\x02cnumpy\nndarray\n)R.", r"refused: it asks to call numpy\.ndarray"),
    (b"\x80\x02ctorch\nFloatStorage\n)R.", r"refused: it asks to call torch\.FloatStorage"),
    (b"\x80\x02})R.", "refused: it asks to call dict"),
    (b"\x80\x02c_codecs\nencode\n}b.", "refused: it asks to alter a Global"),
    (b"\x80\x02}}b.", "refused: it asks to alter a dict"),
    (b"\x80\x02cnumpy\ndtype\n)\x81.", "opcode NEWOBJ"),
    (b"\x80\x02\x82\x01.", "opcode EXT1"),
    (b"\x80\x02X\x01\0\0\0aQ.", "it names data outside the file"),
    (b"P1\n.", "opcode PERSID"),
    (b"\x80\x02cnumpy\ndtype\nX\x01\0\0\0O\x85R.", "an array of type O; only plain numbers"),
    (pickle.dumps({"a": np.array([{}])}, 2), "an array of type O8; only plain numbers"),
    (pickle.dumps({"a": np.zeros(2, "f4,f4")}, 4), "an array of type V8; only plain numbers"),
    (pickle.dumps({"a": np.array(["x"])}, 4), "an array of type U1; only plain numbers"),
    (pickle.dumps({"a": {1, 2}}, 4), "opcode EMPTY_SET"),
    (pickle.dumps({"b": np.zeros(1), "a": [1]}, 4), "a is a list among arrays"),
    (pickle.dumps([np.zeros(1)], 4), "holds no named arrays"),
    (pickle.dumps({"iteration": 3}, 4), "holds no named arrays"),
    (pickle.dumps({(1, 2): np.zeros(1)}, 4), "damaged pickle"),
    (TUPLE_BOMB, "damaged pickle"),
    (ENCODE_BOMB, r"damaged pickle \(MemoryError\)"),
    (b"", "damaged pickle"),
    (b"\x80\x02", "damaged pickle"),
    (b"\x80\x02.", "damaged pickle"),
    (b"\x80\x02(}.", "damaged pickle"),
    (b"\x80\x02}.}.", "2 bytes follow its end"),
    (b"\x80\x02}h\x07.", r"damaged pickle \(KeyError\)"),
    (b"\x80\x02\x85.", r"damaged pickle \(IndexError\)"),
    (b"\x80\x02}t.", r"damaged pickle \(IndexError\)"),
    (b"\x80\x05\x96" + struct.pack("<Q", 1 << 42) + b"abc.", "damaged pickle"),
    (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"abc.", "damaged pickle"),
    (b"\x80\x04B" + struct.pack("<I", 1 << 31) + b"abc.", "damaged pickle"),
    (b"\x80\x02}r\xff\xff\xff\x7f.", "holds no named arrays"),
]


@pytest.mark.parametrize(("data", "message"), HOSTILE)
def test_hostile_pickles(tmp_path, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.pdparams", data)
    with pytest.raises(UserError, match=message) as caught:
        read_arrays(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.pdparams"]


def test_the_attack_works_on_an_ordinary_unpickler(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Attack()))
    assert (tmp_path / "attacked").exists()


def test_an_array_of_a_claimed_size(tmp_path):
    data = pickle.dumps({"a": np.zeros(3, np.float32)}, 4)
    assert data.count(b"K\x03\x85") == 1
    huge = data.replace(b"K\x03\x85", b"\x8a\x06" + (10**12).to_bytes(6, "little") + b"\x85")
    frame = data.index(b"\x95")
    huge = huge[:frame] + huge[frame + 9 :]
    with pytest.raises(UserError, match=r"shape \(1000000000000,\) has 12 bytes, not 4000"):
        read_arrays(write(tmp_path / "a.pdparams", huge))


def test_every_prefix_and_every_flipped_byte_ends_in_a_result_or_one_line(tmp_path, arrays):
    data = pickle.dumps({"model": arrays, "iteration": 3}, 2)
    path = tmp_path / "a.pdparams"
    for n in range(0, len(data), 3):
        with pytest.raises(UserError):
            read_arrays(write(path, data[:n]))
    for n in range(0, len(data), 2):
        flipped = data[:n] + bytes([data[n] ^ 0x41]) + data[n + 1 :]
        assert "\n" not in outcome(write(path, flipped))


def outcome(path):
    """Returns the error message, "" where the file could be read."""
    try:
        read_arrays(path)
    except UserError as error:
        return str(error)
    return ""


# .pt, written by hand as torch.save writes it


class Storage:
    """Pickled as a persistent id; `dtype` names the class in the torch module."""

    def __init__(self, key, dtype, count):
        self.id = ("storage", Name(f"torch.{dtype}Storage"), key, "cpu", count)


class Name:
    """Pickled as a global of that name."""

    def __init__(self, name):
        self.name = name


class Call:
    def __init__(self, name, *arguments):
        self.reduced = Name(name), arguments


class TorchPickler(pickle._Pickler):
    """A pure-Python pickler, which can write globals that are not installed."""

    def persistent_id(self, obj):
        return obj.id if isinstance(obj, Storage) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Name):
            module, _, name = obj.name.rpartition(".")
            self.write(f"c{module}\n{name}\n".encode())
        elif isinstance(obj, Call):
            function, arguments = obj.reduced
            self.save(function)
            self.save(arguments)
            self.write(b"R")
        else:
            super().save(obj, save_persistent_id)


def tensor(key, size, stride, *, count, dtype="Float", offset=0):
    hooks = Call("collections.OrderedDict")
    storage = Storage(key, dtype, count)
    return Call("torch._utils._rebuild_tensor_v2", storage, offset, size, stride, False, hooks)


def torch_file(path, content, storages, compression=zipfile.ZIP_STORED, byteorder="little"):
    buffer = io.BytesIO()
    TorchPickler(buffer, 2).dump(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model/data.pkl", buffer.getvalue())
        archive.writestr("model/byteorder", byteorder)
        for key, data in storages.items():
            archive.writestr(f"model/data/{key}", data)
        archive.writestr("model/version", "3\n")
    return path


def test_torch(tmp_path, arrays):
    a = arrays["a.weight"]
    half = np.array([1.5, -2.0, 3.0], "<f4")
    state = {
        "a": tensor("0", (3, 2, 4), (8, 4, 1), count=24),
        "view": tensor("0", (4, 2), (1, 4), count=24, offset=8),
        "parameter": Call(
            "torch._utils._rebuild_parameter", tensor("1", (2,), (1,), count=3, dtype="BFloat16"), 1
        ),
        "steps": tensor("2", (), (), count=1, dtype="Long"),
        "none": tensor("3", (0, 5), (5, 1), count=0),
    }
    storages = {
        "0": a.tobytes(),
        "1": (half.view("<u4") >> 16).astype("<u2").tobytes(),
        "2": struct.pack("<q", 7),
        "3": b"",
    }
    content = {"iteration": 3, "state_dict": state, "optimizer": {"state": {0: {"step": 1}}}}
    expected = {
        "a": a,
        "view": a[1].T,
        "parameter": half[:2],
        "steps": np.array(7),
        "none": np.zeros((0, 5), np.float32),
    }
    same(read_arrays(torch_file(tmp_path / "a.pt", content, storages)), expected)
    same(read_arrays(torch_file(tmp_path / "plain", state, storages)), expected)


ONE = {"0": struct.pack("<4f", 1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (tensor("0", (5,), (1,), count=4), r"shape \(5,\) reaches beyond its storage of 4"),
        (tensor("0", (2, 2), (3, 1), count=4), "reaches beyond its storage of 4 values"),
        (tensor("0", (2,), (1,), count=4, offset=3), "reaches beyond"),
        (tensor("0", (10**12,), (0,), count=4), r"shape \(1000000000000,\) reaches beyond"),
        (tensor("0", (10**6, 10**6), (0, 0), count=4), "reaches beyond"),
        (tensor("0", (2,), (-1,), count=4, offset=3), "sizes are not whole numbers"),
        (tensor("0", (2,), (1,), count=4, offset=-1), "sizes are not whole numbers"),
        (tensor("0", (True,), (1,), count=4), "sizes are not whole numbers"),
        (tensor("0", (2, 2), (1,), count=4), "damaged pickle"),
        (tensor("0", (4,), (1,), count=10**12), "storage 0 has 4 values, not 1000000000000"),
        (tensor("1", (4,), (1,), count=4), "storage 1 is missing"),
        (tensor("../../model/version", (2,), (1,), count=2), "is missing"),
        (tensor("0", (2,), (1,), count=4, dtype="Quantized"), "torch.QuantizedStorage"),
        (Call("torch._utils._rebuild_tensor_v2", [1.0], 0, (1,), (1,)), "not whole numbers"),
        (Call("models.waveflow.WaveFlow"), r"run models\.waveflow\.WaveFlow; save model\.state_di"),
        (Call("torch.load", "x"), r"refused: it asks to run torch\.load"),
    ],
)
def test_faults_of_torch_files(tmp_path, value, message):
    path = torch_file(tmp_path / "a.pt", {"model": {"a": value}}, ONE)
    with pytest.raises(UserError, match=message) as caught:
        read_arrays(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_other_faults_of_torch_files(tmp_path):
    path, state = tmp_path / "a.pt", {"a": tensor("0", (4,), (1,), count=4)}
    torch_file(path, state, ONE, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="does not compress"):
        read_arrays(path)
    torch_file(path, state, ONE, byteorder="big")
    with pytest.raises(UserError, match="big-endian"):
        read_arrays(path)
    torch_file(path, state, {"0": b"12345"})
    with pytest.raises(UserError, match="damaged pickle"):
        read_arrays(path)
    whole = torch_file(path, state, ONE).read_bytes()
    with pytest.raises(UserError, match="not a zip"):
        read_arrays(write(path, whole[:-30]))
    with pytest.raises(UserError, match="damaged zip"):
        read_arrays(write(path, whole.replace(ONE["0"], b"x" * 16)))
    with pytest.raises(UserError, match="not a zip, as PyTorch writes since"):
        read_arrays(write(path, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(UserError, match=r"no data\.pkl"):
        read_arrays(path)


def test_torchscript_is_refused(tmp_path):
    path = torch_file(tmp_path / "a.pt", {}, {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/constants.pkl", b"")
    with pytest.raises(UserError, match="TorchScript"):
        read_arrays(path)


# any


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pdparams", ".pt"])
def test_a_missing_file(tmp_path, suffix):
    with pytest.raises(UserError, match=r"cannot be read: No such file"):
        read_arrays(tmp_path / f"a{suffix}")


def test_an_unknown_suffix(tmp_path):
    with pytest.raises(UserError, match=r"a\.h5: unknown suffix; weight files end in \.np"):
        read_arrays(tmp_path / "a.h5")
