"""Checks the pages of an Ogg file (RFC 3533): all of a stream is there, undamaged."""

import zlib
from typing import BinaryIO

from wf_jax.errors import UserError

_HEAD = 27  # bytes before the table of a page's segments
_REMEDY = "copy or export it again"
_LAST = 4  # flag of a stream's last page
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def first_stream(file: BinaryIO) -> int:
    """Checks the pages of the first stream; returns its end in bytes.

    Args:
        file: at its first page.

    Raises:
        UserError: a page is missing, damaged or of another stream, or the last one is not there;
            without the file's name.
    """
    serial, number = None, 0
    while True:
        head = file.read(_HEAD)
        table = file.read(head[-1]) if len(head) == _HEAD else b""
        content = file.read(sum(table))
        if len(head) < _HEAD or len(table) < head[-1] or len(content) < sum(table):
            raise UserError(f"is truncated in or before page {number}; {_REMEDY}")
        if head[:4] != b"OggS" or _checksum(head, table + content) != head[22:26]:
            raise UserError(f"is damaged in page {number}; {_REMEDY}")
        if serial not in (None, head[14:18]) or head[18:22] != number.to_bytes(4, "little"):
            raise UserError(f"lacks page {number}, or holds several streams; {_REMEDY}")
        if head[5] & _LAST:
            return file.tell()
        serial, number = head[14:18], number + 1


def _checksum(head: bytes, rest: bytes) -> bytes:
    """Computes a page's CRC-32 without reflections and inversions, its own sum as zeros.

    Both are undone so that zlib can do the work.
    """
    page = (head[:22] + bytes(4) + head[26:] + rest).translate(_REVERSED)
    value = zlib.crc32(page, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return value.to_bytes(4, "big").translate(_REVERSED)
