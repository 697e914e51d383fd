"""Damages files and folders of models, drawn from a random.Random."""

import io
import json
import os
import random
import shutil
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.amps.mutations import all_places, damaged_text
from tests.hostile_files import npy_header

Draw = random.Random

NUMBERS = (
    *(0, -1, 1, 2, 3, 7, 255, 256, 4096, 65535, 65536, 10**6, 2**31 - 1, 2**31, 2**32, 10**9),
    *(2**63 - 1, 2**63, 2**64, 10**30, 10**400, 10**4000, -(2**31), -(2**63)),
    *(0.0, -0.0, 0.5, 1e-320, 1e308, -1e308, 1e18, float("nan"), float("inf"), float("-inf")),
)
WORDS = (
    *("", "x", "x" * 5000, "\n", "a\nb", "\0", "\ud800", "é", "\x1b[2J", "../x", "/etc/x", "."),
    *("1", "nan", "float32", "O", "b, f", "99999999999, 99999999999", "2**9", "9" * 5000, "²"),
    *("0001-01-01", "9999-12-31", "0.0.0", "99.99", "wf_jax.flows.WaveNet/1"),
    *("capture", "vocoder"),
)
OTHERS = (None, True, False, [], {}, [[]], [1, 2], [None], {"": {}}, [10**9] * 4, ["cpu"])
MEMBERS = (
    *("../x.npy", "/etc/x.npy", "x.npy/", "", ".npy", "a/" * 500 + ".npy", "\0.npy", "c:\\x.npy"),
    *("\x1b[2J.npy", "x", "data.pkl", "archive/data/0", "é.npy"),
)
TYPES = (
    *("<f4", ">f4", "<f8", "<f2", "<i4", "<u1", "<c8", "|O", "<U9", "|S4", "<M8[s]", "|V4"),
    *("f4,f4", "<U99999999", "<f99", "4f4", "|b1", "(2,)f4", "<V2147483647", "x"),
)
SHAPES = (
    *("()", "(0,)", "(1,)", "(-1,)", "(1 << 40,)", "(1000000000000,)", "(2**31, 2**31)", "(True,)"),
    *("(0, 9223372036854775807)", "(1,) * 9", "(((1,),),)", "(1.0,)", "None", "[2, 2]", "'ab'"),
    *(f"({'9' * 5000},)", f"({'1, ' * 60})", f"({'1, ' * 33})", "(4294967296, 4294967296, 0)"),
)
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, LookupError, RuntimeError)
_LOCAL, _CENTRAL, _END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
# Offset and format of the fields of each kind of zip header.
_FIELDS = {
    _LOCAL: ((4, "H"), (6, "H"), (8, "H"), (14, "I"), (18, "I"), (22, "I"), (26, "H"), (28, "H")),
    _CENTRAL: (
        *((4, "H"), (6, "H"), (8, "H"), (10, "H"), (16, "I"), (20, "I"), (24, "I"), (28, "H")),
        *((30, "H"), (32, "H"), (34, "H"), (36, "H"), (38, "I"), (42, "I")),
    ),
    _END: ((4, "H"), (6, "H"), (8, "H"), (10, "H"), (12, "I"), (16, "I"), (20, "H")),
}
_FIELD_VALUES = (0, 1, 2, 4, 8, 9, 12, 14, 20, 45, 64, 93, 99, 2**15, 2**16 - 1, 2**31, 2**32 - 1)


# Bytes


def damaged_bytes(data: bytes, draw: Draw) -> bytes:
    """Applies one to three damages of any kind to any bytes."""
    change = draw.randrange(6)
    if change == 0:
        changed = bytearray(data)
        for _ in range(draw.randint(1, 16) if changed else 0):
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        return bytes(changed)
    if change == 1:
        return data[: draw.randrange(len(data) + 1)]
    if change == 2:
        at = draw.randrange(len(data) + 1)
        return data[:at] + bytes(draw.choice([1, 8, 4096])) + data[at:]
    if change == 3:
        value = draw.choice(NUMBERS[:15]).to_bytes(8, "little", signed=True)
        at = draw.randrange(len(data) + 1)
        return data[:at] + value + data[at + 8 :]
    if change == 4:
        return draw.choice([b"", b"\0", bytes(1 << 16), b"[" * 100_000, b"PK\5\6", data[::-1]])
    return damaged_text(data, draw)


def damaged_json(data: bytes, draw: Draw) -> bytes:
    """Changes a value, adds or removes a name, nests a value deeply, or damages the text."""
    if draw.random() < 0.2:
        return damaged_bytes(data, draw)
    content = json.loads(data)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        places = all_places(content)
        if not places:
            break
        holder, key = draw.choice(places)
        change = draw.randrange(7)
        if change == 0:
            del holder[key]
        elif change == 1 and isinstance(holder, dict):
            holder[draw.choice([*WORDS, "format", "layers"])] = holder[key]
        elif change == 2 and isinstance(holder[key], int | float):
            holder[key] = draw.choice([holder[key] * 2, holder[key] + 1, -holder[key], 1e3])
        elif change == 3 and isinstance(holder[key], list | dict):
            holder[key] = draw.choice([[holder[key]], {"x": holder[key]}, [], {}])
        else:
            holder[key] = draw.choice(draw.choice([NUMBERS, NUMBERS, WORDS, OTHERS]))
    text = json.dumps(content).encode()
    if draw.random() < 0.03:
        deep = b"[" * 50_000 + b"]" * 50_000
        text = text.replace(b"1", deep, 1)
    return text


def damaged_zip(data: bytes, draw: Draw) -> bytes:
    """Changes fields of its headers, its members' names and contents, or any bytes."""
    change = draw.randrange(5)
    if change == 0:
        return damaged_bytes(data, draw)
    if change in (1, 2):
        return _with_fields(data, draw)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = draw.randrange(len(members))
    name, content = members[at]
    if change == 3:
        edit = draw.randrange(5)
        if edit == 0:
            del members[at]
        elif edit == 1:
            members.append((draw.choice([name, *MEMBERS]), content))
        elif edit == 2:
            members[at] = draw.choice(MEMBERS), content
        elif edit == 3:
            members[at] = name, draw.choice(members)[1]
        else:
            draw.shuffle(members)
    elif name.endswith(".npy"):
        members[at] = name, damaged_npy(content, draw)
    elif name.endswith(".pkl"):
        members[at] = name, damaged_pickle(content, draw)
    else:
        members[at] = name, damaged_bytes(content, draw)
    method = draw.choice([zipfile.ZIP_STORED] * 4 + [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
    return _zipped(members, method)


def _zipped(members: list[tuple[str, bytes]], method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive._didModify = True
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, method  # as it is, unlike ZipInfo(name)
            archive.NameToInfo.clear()  # a name may occur twice
            archive.writestr(info, content)
    return out.getvalue()


def _with_fields(data: bytes, draw: Draw) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4])):
        magic = draw.choice([_LOCAL, _CENTRAL, _CENTRAL, _END])
        places = [i for i in range(len(data) - 4) if data.startswith(magic, i)]
        if not places:
            continue
        everywhere, (offset, kind) = draw.random() < 0.3, draw.choice(_FIELDS[magic])
        value = draw.choice(_FIELD_VALUES) & (2 ** (8 * struct.calcsize(kind)) - 1)
        for place in places if everywhere else [draw.choice(places)]:
            if place + offset + struct.calcsize(kind) > len(changed):
                continue
            if draw.random() < 0.4:  # near what it was
                (old,) = struct.unpack_from(f"<{kind}", changed, place + offset)
                value = (old + draw.choice([-64, -1, 1, 64])) % 2 ** (8 * struct.calcsize(kind))
            struct.pack_into(f"<{kind}", changed, place + offset, value)
    return bytes(changed)


def damaged_npy(data: bytes, draw: Draw) -> bytes:
    """Puts another header before the same numbers, or changes any bytes."""
    change, body = draw.randrange(6), data[128:]
    if change == 0:
        return damaged_bytes(data, draw)
    if change == 1:
        return npy_header(draw.choice(SHAPES), draw.choice(TYPES)) + body
    if change == 2:
        return npy_header(draw.choice(SHAPES)) + body
    if change == 3:
        return npy_header(f"({len(body) // 4},)", draw.choice(TYPES)) + body
    if change == 4:
        version = draw.choice([b"\1\0", b"\2\0", b"\3\0", b"\4\0", b"\xff\xff"])
        return data[:6] + version + struct.pack("<I", draw.choice(_FIELD_VALUES)) + data[10:]
    text = data[10:128].replace(
        *draw.choice([(b"False", b"True "), (b"'descr'", b"'descs'"), (b"{", b"("), (b"(", b"((")])
    )
    return data[:10] + text[:118] + body


def damaged_pickle(data: bytes, draw: Draw) -> bytes:
    """Replaces opcodes, adds globals that run something, or changes any bytes."""
    change = draw.randrange(4)
    if change < 2:
        return damaged_bytes(data, draw)
    at = draw.randrange(2, len(data))
    if change == 2:
        opcode = draw.choice(
            b"0123(.}])tRbQcs\x81\x85\x86\x87\x8a\x8b\x8d\x8e\x93\x94\x95\x96hqrjuea"
        )
        return data[:at] + bytes([opcode]) + data[at + draw.randrange(2) :]
    attack = b"cos\nsystem\nX\x0e\0\0\0touch attacked\x85R"
    return data[:at] + attack + data[at:]


def damaged_safetensors(data: bytes, draw: Draw) -> bytes:
    """Changes values of its header, the header's length, or any bytes."""
    change = draw.randrange(4)
    if change == 0:
        return damaged_bytes(data, draw)
    length = int.from_bytes(data[:8], "little")
    if change == 1:
        wrong = draw.choice([0, 1, length - 1, length + 1, len(data), 2**31, 2**63, 2**64 - 1])
        return struct.pack("<Q", wrong) + data[8:]
    header = damaged_json(data[8 : 8 + length], draw)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


BY_SUFFIX: dict[str, Callable[[bytes, Draw], bytes]] = {
    ".json": damaged_json,
    ".npz": damaged_zip,
    ".pt": damaged_zip,
    ".pdparams": damaged_pickle,
    ".safetensors": damaged_safetensors,
}


def damage_content(path: Path, draw: Draw) -> None:
    """Damages a file in the way of its format."""
    data = path.read_bytes()
    for _ in range(10):
        try:
            data = BY_SUFFIX.get(path.suffix, damaged_bytes)(data, draw)
            break
        except (ValueError, struct.error, OverflowError, RecursionError, *ZIP_ERRORS):
            continue  # a damage that cannot be written down, or of what is no zip any more
    path.write_bytes(data)


# Contents of a folder


def damage_place(path: Path, draw: Draw) -> None:
    """Replaces a file by something else: nothing, a folder, a link, a pipe, ..."""
    small = path.is_file() and path.stat().st_size < 1 << 24
    data = path.read_bytes() if small else b""
    _remove(path)
    change = draw.randrange(10)
    if change == 0:
        path.mkdir()
    elif change == 1:
        os.mkfifo(path)
    elif change == 2:
        path.symlink_to(draw.choice(["/dev/zero", "/dev/null", path.name, "nowhere", "..", "/"]))
    elif change == 3:
        with path.open("wb") as file:  # takes no room
            file.write(data)
            file.truncate(draw.choice([1 << 20, 1 << 31, 3 << 30, 1 << 40]))
    elif change == 4:
        with socket.socket(socket.AF_UNIX) as pipe:
            folder = os.open(path.parent, os.O_PATH)  # the names of sockets are short
            pipe.bind(f"/proc/self/fd/{folder}/{path.name}")
            os.close(folder)
    elif change == 5:  # a harmless link
        (path.parent.parent / "elsewhere").write_bytes(data)
        path.symlink_to("../elsewhere")
    elif change == 6:
        path.write_bytes(data)
        added = path.parent / draw.choice(["x", ".git", "model", "é", "\n", "params.next.npz", "2"])
        if not added.exists():
            draw.choice([Path.mkdir, Path.touch, os.mkfifo])(added)
    elif change == 7:
        path.write_bytes(b"")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def damage_folder(folder: Path, draw: Draw, *, only: str = "*") -> list[str]:
    """Applies one or two damages to files in or below a folder; returns their names."""
    files = sorted(path for path in folder.rglob(only) if path.is_file())
    damaged = []
    for _ in range(draw.choice([1, 1, 1, 2])):
        path = draw.choice(files)
        plain = path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 24
        if plain and draw.random() < 0.85:
            damage_content(path, draw)
        else:
            damage_place(path, draw)
        damaged.append(path.relative_to(folder).as_posix())
    return damaged
