"""Checks the pages of an Ogg file (RFC 3533): all of a stream is there, undamaged."""

import zlib
from typing import BinaryIO

_HEAD = 27  # bytes before the table of a page's segments
_LAST = 4  # flag of a stream's last page
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class PagesError(ValueError):
    """Missing or damaged pages; without the file's name."""


def first_stream(file: BinaryIO) -> int:
    """Checks the pages of the first stream; returns its end in bytes.

    Args:
        file: at its first page.

    Raises:
        PagesError: a page is missing, damaged or of another stream, or the last one is not there.
    """
    serial, number = None, 0
    while True:
        head = file.read(_HEAD)
        table = file.read(head[-1]) if len(head) == _HEAD else b""
        content = file.read(sum(table))
        if len(head) < _HEAD or len(table) < head[-1] or len(content) < sum(table):
            raise PagesError(f"is truncated in or before page {number}")
        if head[:4] != b"OggS" or _checksum(head, table + content) != head[22:26]:
            raise PagesError(f"is damaged in page {number}")
        if serial not in (None, head[14:18]) or head[18:22] != number.to_bytes(4, "little"):
            raise PagesError(f"lacks page {number}, or holds several streams")
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
