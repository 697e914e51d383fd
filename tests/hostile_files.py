"""Files that announce more than they hold, and a limited process that reads them."""

import contextlib
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS = 2.0  # of CPU that a file may take to be loaded or refused
MEMORY = 1 << 30  # bytes that it may take
_WAITING = 30  # seconds by the clock after which it waits for something that never comes


def npy_header(shape: object, dtype: str = "<f4") -> bytes:
    """Makes the beginning of a .npy file, true or not."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def zip_of(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """Makes an archive of these members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def bomb(path: Path, name: str = "a.npy", size: int = 3 << 30) -> Path:
    """Makes a zip of an array of zeros [size // 4], a thousandth of its size."""
    header, block = npy_header((size // 4,)), bytes(1 << 24)
    deflate = zlib.compressobj(wbits=-15)
    begin = deflate.compress(header) + deflate.flush(zlib.Z_FULL_FLUSH)
    part = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    stream = begin + part * (size // len(block)) + deflate.flush()
    patch(zip_of(path, {name: stream}), 8, struct.pack("<H", zipfile.ZIP_DEFLATED))
    return patch(path, 22, struct.pack("<I", len(header) + size))


def many_names(path: Path, count: int) -> Path:
    """Makes a zip whose directory lists one member again and again under new names."""
    entry = b"PK\1\2" + bytes(24) + struct.pack("<H", 8) + bytes(16)
    names = b"".join(entry + b"%08d" % n for n in range(count))
    end = b"PK\5\6" + bytes(4) + struct.pack("<HHIIH", *[min(count, 65535)] * 2, len(names), 0, 0)
    path.write_bytes(names + end)
    return path


def mark_encrypted(path: Path) -> Path:
    """Sets the encryption flag of every member."""
    return patch(path, 6, b"\1\0")


def patch(path: Path, offset: int, value: bytes) -> Path:
    """Writes a field of every member, at `offset` of its header and in the directory."""
    data = bytearray(path.read_bytes())
    for magic, shift in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
        place = data.find(magic)
        while place >= 0:
            data[place + shift + offset : place + shift + offset + len(value)] = value
            place = data.find(magic, place + 1)
    path.write_bytes(data)
    return path


def limited(code: str, *arguments: object) -> str:
    """Runs Python code within 1 GiB beyond the imports and 2 s; returns its output.

    The code finds its arguments in `sys.argv[1:]`; its imports stand before a line `# measured`.
    """
    imports, measured = code.split("# measured\n")
    program = f"""
import resource, sys, time
{imports}
with open("/proc/self/statm") as file:
    room = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (room + (1 << 30),) * 2)
begun = time.process_time()
{measured}
assert time.process_time() - begun < 2, f"took {{time.process_time() - begun:.1f}} s"
"""
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@contextlib.contextmanager
def within_limits(room: int = 2 * MEMORY) -> Iterator[None]:
    """Fails a block that exceeds SECONDS of CPU or MEMORY, or does not end.

    Args:
        room: bytes of address space; threads reserve much of it without use.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    before = _status("VmRSS")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + room, hard))
    old = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_WAITING)
    begun = time.process_time()
    try:
        yield
    finally:
        spent = time.process_time() - begun
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert spent < SECONDS, f"took {spent:.1f} s"
    assert _status("VmHWM") - before < MEMORY, f"took {_status('VmHWM') - before:,} bytes"


def _too_long(*_: object) -> None:
    raise AssertionError(f"did not end in {_WAITING} s")


def _status(name: str) -> int:
    """Reads a number of Linux's account of this process, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{name}:\s*(\d+) kB", status)[1])
