"""Headers of audio files, as far as libsndfile repairs them without a word.

libsndfile plays what is left of a file that was cut in transfer, takes the chunks after the audio
of a recording of unknown length for audio, and ends where a false header says. So the header is
read here first: how much audio it announces, and how much is there.
"""

import io
import os
from dataclasses import dataclass
from typing import BinaryIO

# Sizes that programs write when they cannot know the length (sox and ffmpeg through a pipe,
# recorders that were cut off): these and those a little below them, which have room for a header.
_UNKNOWN = (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_ROOM = 4096
_TRAILER = 1 << 20  # bytes at the end of a file in which chunks after the audio are looked for
_LONGEST_NAME = 4
_TOTAL = slice(18, 26)  # of a FLAC file: rate, channels, bits, and 36 bits of samples
_TOTAL_MASK = (1 << 36) - 1


class AudioFileWarning(UserWarning):
    """A file that is not what its header says, and can be used: one line."""


@dataclass(frozen=True)
class Header:
    """The amount of audio that a file's header announces, and the amount that is there.

    Attributes:
        announced: bytes of audio (samples of FLAC); None where it does not say.
        present: bytes of audio that are there; None where they are not counted in bytes.
        start: of the audio in the file, bytes; None where libsndfile is to find it.
        beyond: bytes after the audio that are no chunks.
        repaired: bytes to be read before those from `start` on, in place of the file's own header;
            None where that is good.
    """

    announced: int | None = None
    present: int | None = None
    start: int | None = None
    beyond: int = 0
    repaired: bytes | None = None

    @property
    def is_truncated(self) -> bool:
        """Whether audio is missing, by the counts in bytes."""
        return None not in (self.announced, self.present) and self.announced > self.present


def read_header(file: BinaryIO) -> Header:
    """Reads the header of an audio file of any format; an empty one where it is none of these."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    magic = file.read(12)
    if magic[:4] in (b"RIFF", b"RF64") and magic[8:] == b"WAVE":
        return _read_wav(file, length)
    if magic[:4] == b"FORM" and magic[8:11] == b"AIF":
        return _read_aiff(file, length)
    if magic[:4] == b".snd":
        return _read_au(magic, length)
    if magic[:4] == b"riff":
        return _read_w64(file, length)
    if magic[:4] == b"caff":
        return _read_caf(file, length)
    if magic[:4] == b"fLaC":
        return _read_flac(file)
    return Header()


class Repaired(io.RawIOBase):
    """A file whose beginning is replaced, and that ends where its audio does."""

    def __init__(self, file: BinaryIO, header: Header):
        """`header` has `repaired` and `start`; all of the rest is there where `present` is None."""
        super().__init__()
        assert header.repaired is not None
        assert header.start is not None
        self._file, self._begin, self._start = file, header.repaired, header.start
        rest = file.seek(0, os.SEEK_END) - header.start
        self._length = len(self._begin) + (rest if header.present is None else header.present)
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position, bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position of the repaired file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fills `buffer` as far as there is something."""
        view = memoryview(buffer).cast("B")
        count = min(len(view), max(self._length - self._position, 0))
        before = self._begin[self._position : self._position + count]
        view[: len(before)] = before
        if count > len(before):
            offset = self._position + len(before) - len(self._begin)
            self._file.seek(self._start + offset)
            rest = self._file.read(count - len(before))
            view[len(before) : len(before) + len(rest)] = rest
            count = len(before) + len(rest)
        self._position += count
        return count


def _read_wav(file: BinaryIO, length: int) -> Header:
    """RIFF and RF64: chunks of a name, a size and so many bytes, filled up to an even number."""
    position, form, size_64 = 12, b"", None
    while position + 8 <= length:
        file.seek(position)
        name, size = file.read(4), int.from_bytes(file.read(4), "little")
        if name == b"ds64":
            size_64 = int.from_bytes(file.read(16)[8:], "little")
        elif name == b"fmt ":
            form = file.read(min(size, _ROOM))
        elif name == b"data":
            announced = size_64 if size == 0xFFFFFFFF and size_64 is not None else size
            return _wav_data(file, length, position + 8, announced, form)
        position += 8 + size + size % 2
    return Header()


def _wav_data(file: BinaryIO, length: int, start: int, announced: int, form: bytes) -> Header:
    present = length - start
    if announced == 0 or (announced > present and _is_unknown(announced)):
        if announced == 0 and (_are_chunks(file, start, length) or not present):
            return Header(0, 0, start)
        return _wav_of_unknown_length(file, start, length, form)
    beyond = start + announced + announced % 2
    others = max(length - beyond, 0)
    if others <= 1 or _are_chunks(file, beyond, length) or _is_filling(file, beyond):
        others = 0
    return Header(announced, present, start, others)


def _wav_of_unknown_length(file: BinaryIO, start: int, length: int, form: bytes) -> Header:
    """Gives the file an RF64 header that says how much is there, without chunks after the audio."""
    block = max(int.from_bytes(form[12:14], "little"), 1)
    present = (_audio_end(file, start, length) - start) // block * block
    sizes = (present + len(form) + 64, present, present // block)
    ds64 = b"".join(size.to_bytes(8, "little") for size in sizes) + bytes(4)
    repaired = b"RF64\xff\xff\xff\xffWAVE" + _chunk(b"ds64", ds64) + _chunk(b"fmt ", form)
    return Header(None, present, start, 0, repaired + b"data\xff\xff\xff\xff")


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def _is_unknown(size: int) -> bool:
    return any(unknown - _ROOM <= size <= unknown for unknown in _UNKNOWN)


def _are_chunks(file: BinaryIO, position: int, length: int) -> bool:
    """Whether from `position` to the end there is one chunk after the other, and nothing else."""
    if position >= length:
        return False
    while position + 8 <= length:
        file.seek(position)
        name, size = file.read(4), int.from_bytes(file.read(4), "little")
        if not _is_name(name):
            return False
        position += 8 + size + size % 2
    return length - 1 <= position <= length + 1  # the last one may lack its filling


def _is_name(name: bytes) -> bool:
    return len(name) == _LONGEST_NAME and all(32 <= c < 127 for c in name) and name.strip() != b""


def _is_filling(file: BinaryIO, position: int) -> bool:
    """Whether only zeros, or an ID3v1 tag, follow."""
    file.seek(position)
    rest = file.read(_TRAILER)
    return not rest.strip(b"\0") or (len(rest) == 128 and rest[:3] == b"TAG")


def _audio_end(file: BinaryIO, start: int, length: int) -> int:
    """Returns where audio of unknown length ends: at well-known chunks that go up to the end."""
    first = max(start, length - _TRAILER)
    file.seek(first)
    rest = file.read(length - first)
    found = [rest.find(name) for name in (b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"fact")]
    for offset in sorted(offset for offset in found if offset >= 0):
        if _are_chunks(file, first + offset, length):
            return first + offset
    return length


def _read_aiff(file: BinaryIO, length: int) -> Header:
    """AIFF and AIFF-C: chunks as of RIFF, with the larger byte first."""
    position = 12
    while position + 8 <= length:
        file.seek(position)
        name, size = file.read(4), int.from_bytes(file.read(4), "big")
        if name == b"SSND":  # begins with an offset and a block size
            start = position + 16
            return Header(size - 8, length - start, start) if size > 8 else Header()
        position += 8 + size + size % 2
    return Header()


def _read_au(magic: bytes, length: int) -> Header:
    start, size = int.from_bytes(magic[4:8], "big"), int.from_bytes(magic[8:12], "big")
    return Header() if size in (0, 0xFFFFFFFF) else Header(size, length - start, start)


def _read_w64(file: BinaryIO, length: int) -> Header:
    """Wave64: chunks of a GUID, a size that counts both, and bytes up to a multiple of eight."""
    position = 40
    while position + 24 <= length:
        file.seek(position)
        name, size = file.read(16), int.from_bytes(file.read(8), "little")
        if name[:4] == b"data":
            start = position + 24
            return Header(size - 24, length - start, start)
        if size < 24:
            break
        position += -(-size // 8) * 8
    return Header()


def _read_caf(file: BinaryIO, length: int) -> Header:
    """Core Audio Format: chunks of a name, a size of 8 bytes (-1 if unknown), and so many bytes."""
    position = 8
    while position + 12 <= length:
        file.seek(position)
        name, size = file.read(4), int.from_bytes(file.read(8), "big", signed=True)
        if size < 0:
            break
        if name == b"data":  # begins with a count of edits
            start = position + 16
            return Header(size - 4, length - start, start)
        position += 12 + size
    return Header()


def _read_flac(file: BinaryIO) -> Header:
    """FLAC: the total is erased, or libsndfile would end there; 0 means unknown."""
    file.seek(0)
    begin = bytearray(file.read(_TOTAL.stop))
    value = int.from_bytes(begin[_TOTAL], "big")
    begin[_TOTAL] = (value & ~_TOTAL_MASK).to_bytes(8, "big")
    return Header(value & _TOTAL_MASK or None, None, _TOTAL.stop, 0, bytes(begin))
