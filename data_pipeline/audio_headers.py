"""Reads headers of audio files, to find faults that libsndfile repairs silently.

libsndfile plays the rest of a file that was cut in transfer, plays chunks after the audio of a
recording of unknown length, and stops where a wrong header says. So the header is read here first,
and the announced amount of audio is compared with the amount that is there.
"""

import io
import os
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np

from data_pipeline.ogg_pages import first_stream
from wf_jax.errors import UserError

# Sizes that programs write when they cannot know the length (sox and ffmpeg through a pipe,
# recorders that were cut off): these and those a little below them, which have room for a header.
_UNKNOWN = (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_ROOM = 4096
_TRAILER = 1 << 20  # bytes at the end of a file in which chunks after the audio are looked for
_LONGEST_NAME = 4
_TOTAL = slice(18, 26)  # of a FLAC file: rate, channels, bits, and 36 bits of samples
_TOTAL_MASK = (1 << 36) - 1
_AUDIO_NAMES = (b"data", b"SSND", b"RIFF", b"RIFX", b"RF64", b"FORM", b"riff", b"caff")
_FORMATS = "WAV, RF64, Wave64, AIFF, CAF, AU, FLAC and Ogg"
_EXPORT = "export it as a mono WAV file"


class AudioFileWarning(UserWarning):
    """A usable file that disagrees with its own header; one line."""


@dataclass(frozen=True)
class Header:
    """The amount of audio that a file's header announces, and the amount that is there.

    Attributes:
        announced: bytes of audio (samples of FLAC); None where it does not say.
        present: bytes of audio that are there; None where they are not counted in bytes.
        beyond: bytes after the audio that are left out, and are no chunks of its description.
        begin: bytes to be read in place of those before `start`.
        start: first byte that is read from the file as it is.
        stop: end of these bytes; None for the end of the file.
    """

    announced: int | None = None
    present: int | None = None
    beyond: int = 0
    begin: bytes = b""
    start: int = 0
    stop: int | None = None

    @property
    def is_truncated(self) -> bool:
        """True if audio is missing, judged by the byte counts."""
        return None not in (self.announced, self.present) and self.announced > self.present

    @property
    def is_counted(self) -> bool:
        """True if the whole file must be decoded to know its length."""
        return self.present is None


def read_header(file: BinaryIO) -> Header:
    """Reads the header of an audio file.

    Refuses libsndfile's other formats: a VOC, NIST or MP3 file cannot be checked for completeness.

    Raises:
        UserError: an unsupported format, or parts that contradict each other; without the file's
            name.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    magic = file.read(12)
    if magic[:4] in (b"RIFF", b"RF64", b"RIFX") and magic[8:] == b"WAVE":
        return _read_wav(file, length, _BIG if magic[:4] == b"RIFX" else _LITTLE)
    if magic[:4] == b"FORM" and magic[8:11] == b"AIF":
        return _of_chunks(file, length, _find(file, length, 12, _BIG, b"SSND"), 8)
    if magic[:4] == b".snd":
        return _read_au(file, magic, length)
    if magic[:4] == b"riff":
        return _of_chunks(file, length, _find(file, length, 40, _W64, b"data"), 0)
    if magic[:4] == b"caff":
        return _of_chunks(file, length, _find(file, length, 8, _CAF, b"data"), 4)
    if magic[:4] == b"fLaC":
        return _read_flac(file)
    if magic[:4] == b"OggS":
        return _read_ogg(file, length)
    raise UserError(f"can not be read as audio (it is none of {_FORMATS}); {_EXPORT}")


class Source(io.RawIOBase):
    """The bytes of a file as libsndfile sees them: a replaced beginning and an early end.

    Seeking before the first byte is not an error: a C callback could not report it.
    """

    def __init__(self, file: BinaryIO, header: Header):
        """Wraps a file with this header."""
        super().__init__()
        self._file, self._begin, self._start = file, header.begin, header.start
        stop = file.seek(0, os.SEEK_END)
        stop = stop if header.stop is None else min(stop, header.stop)
        self._length = len(self._begin) + max(stop - header.start, 0)
        self._position = 0

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position; one before the start becomes the start."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = min(max(base + offset, 0), 1 << 62)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fills `buffer` with as many bytes as are left."""
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


@dataclass(frozen=True)
class _Chunks:
    """The layout of a format's chunks: a name, then a size in bytes.

    Attributes:
        name: bytes of it.
        width: bytes of the size.
        order: byte order of the size.
        unit: bytes, up to a multiple of which a chunk is filled up.
        inclusive: whether the size counts the chunk's beginning.
    """

    name: int
    width: int
    order: Literal["little", "big"]
    unit: int
    inclusive: bool = False

    @property
    def head(self) -> int:
        """Bytes of name and size together."""
        return self.name + self.width

    def read(self, file: BinaryIO, position: int) -> tuple[bytes, int]:
        """Reads name and size of the next chunk; the size is negative where there is none."""
        file.seek(position)
        head = file.read(self.head)
        size = int.from_bytes(head[self.name :], self.order, signed=self.width == 8)
        return head[:4], size - self.head if self.inclusive else size

    def after(self, position: int, size: int) -> int:
        """Returns the position of the next chunk, after one of `size` bytes at `position`."""
        return position + self.head + -(-size // self.unit) * self.unit


_LITTLE, _BIG = _Chunks(4, 4, "little", 2), _Chunks(4, 4, "big", 2)
_W64, _CAF = _Chunks(16, 8, "little", 8, inclusive=True), _Chunks(4, 8, "big", 1)


@dataclass(frozen=True)
class _Audio:
    """The audio chunk: start of its content, announced size, kind."""

    start: int
    size: int
    chunks: _Chunks


def _find(
    file: BinaryIO,
    length: int,
    position: int,
    chunks: _Chunks,
    wanted: bytes,
    others: dict[bytes, bytes] | None = None,
) -> _Audio:
    """Walks the chunks up to the audio chunk; keeps the beginning of `others`."""
    while position + chunks.head <= length:
        name, size = chunks.read(file, position)
        if name == wanted:
            return _Audio(position + chunks.head, size, chunks)
        if size < 0:
            break
        if others is not None and name in others:
            others[name] = file.read(min(size, _ROOM))
        position = chunks.after(position, size)
    where = f"no chunk {wanted.decode()} of audio in it"
    raise UserError(f"can not be read as audio ({where}); {_EXPORT}")


def _of_chunks(file: BinaryIO, length: int, audio: _Audio, skipped: int) -> Header:
    """Returns the header of a format whose audio chunk begins with `skipped` other bytes."""
    start, chunks = audio.start + skipped, audio.chunks
    if audio.size == -1 and chunks is _CAF:  # unknown, and so the last one
        return Header(None, max(length - start, 0))
    if audio.size < skipped:
        raise UserError("holds no samples (0 s of audio); export it again")
    present, stop = max(length - start, 0), audio.start + audio.size
    if stop > length:
        return Header(audio.size - skipped, present)
    end = chunks.after(audio.start - chunks.head, audio.size)
    beyond = _beyond(file, end, length, chunks) or _filled(file, stop, end)
    # libsndfile takes what follows the audio of Wave64 for audio, and other audio for a fault.
    ends = chunks is _W64 or beyond
    return Header(audio.size - skipped, present, beyond, stop=stop if ends else None)


def _read_wav(file: BinaryIO, length: int, chunks: _Chunks) -> Header:
    """Reads the header of RIFF, RIFX and RF64 files."""
    others = {b"ds64": b"", b"fmt ": b""}
    audio = _find(file, length, 12, chunks, b"data", others)
    size_64, announced, start = others[b"ds64"][8:16], audio.size, audio.start
    if announced == 0xFFFFFFFF and len(size_64) == 8:
        announced = int.from_bytes(size_64, "little")
    present = length - start
    is_unknown = announced > present and _is_unknown(announced) and chunks is _LITTLE
    if announced == 0 and (not present or _are_chunks(file, start, length, chunks)):
        return Header(0, 0)
    if announced == 0 or is_unknown:
        return _wav_of_unknown_length(file, start, length, others[b"fmt "])
    return _of_chunks(file, length, _Audio(start, announced, chunks), 0)


def _wav_of_unknown_length(file: BinaryIO, start: int, length: int, form: bytes) -> Header:
    """Replaces the header by an RF64 header with the real length, without later chunks."""
    block = max(int.from_bytes(form[12:14], "little"), 1)
    present = (_audio_end(file, start, length) - start) // block * block
    sizes = (present + len(form) + 64, present, present // block)
    ds64 = b"".join(size.to_bytes(8, "little") for size in sizes) + bytes(4)
    begin = b"RF64\xff\xff\xff\xffWAVE" + _chunk(b"ds64", ds64) + _chunk(b"fmt ", form)
    begin += b"data\xff\xff\xff\xff"
    return Header(None, present, 0, begin, start, start + present)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def _is_unknown(size: int) -> bool:
    return any(unknown - _ROOM <= size <= unknown for unknown in _UNKNOWN)


def _beyond(file: BinaryIO, position: int, length: int, chunks: _Chunks) -> int:
    """Counts the bytes after the audio that are neither chunks nor padding."""
    others = max(length - position, 0)
    if others < chunks.unit or _is_filling(file, position):
        return 0
    return 0 if _are_chunks(file, position, length, chunks) else others


def _filled(file: BinaryIO, position: int, end: int) -> int:
    """Counts the bytes that pad a chunk; 0 unless they are zeros, as they should be."""
    file.seek(position)
    filling = file.read(end - position)
    return len(filling) if filling.strip(b"\0") else 0


def _are_chunks(file: BinaryIO, position: int, length: int, chunks: _Chunks) -> bool:
    """Returns whether `position` to the end is a gapless row of non-audio chunks.

    A second audio chunk or another file does not count.
    """
    if position >= length:
        return False
    while position + chunks.head <= length:
        name, size = chunks.read(file, position)
        if not _is_name(name) or size < 0 or name in _AUDIO_NAMES:
            return False
        position = chunks.after(position, size)
    return length - chunks.unit < position < length + chunks.unit  # the last may lack its filling


def _is_name(name: bytes) -> bool:
    return len(name) == _LONGEST_NAME and all(32 <= c < 127 for c in name) and name.strip() != b""


def _is_filling(file: BinaryIO, position: int) -> bool:
    """Returns whether only zeros or an ID3v1 tag follow."""
    file.seek(position)
    rest = file.read(_TRAILER)
    return not rest.strip(b"\0") or (len(rest) == 128 and rest[:3] == b"TAG")


def _audio_end(file: BinaryIO, start: int, length: int) -> int:
    """Returns the end of WAV audio of unknown length: where chunks follow up to the end of file.

    Four bytes of audio look like a name, and the next four like that very size, once in 10^11
    samples.
    """
    first = max(start, length - _TRAILER)
    file.seek(first)
    rest = file.read(length - first)
    letters = np.frombuffer(rest, np.uint8)
    printable = (letters >= 32) & (letters < 127)
    names = printable[:-7] & printable[1:-6] & printable[2:-5] & printable[3:-4]
    ends = {len(rest) - 1, len(rest), len(rest) + 1}  # the last one may lack its filling
    found = len(rest)
    for at in map(int, np.flatnonzero(names)[::-1]):
        size = int.from_bytes(rest[at + 4 : at + 8], "little")
        if _LITTLE.after(at, size) in ends and _is_name(rest[at : at + 4]):
            ends.add(at)
            found = at
    return first + found


def _read_au(file: BinaryIO, magic: bytes, length: int) -> Header:
    """Reads an AU header: start and length of the audio; nothing follows the audio."""
    start, size = int.from_bytes(magic[4:8], "big"), int.from_bytes(magic[8:12], "big")
    present = max(length - start, 0)
    if size in (0, 0xFFFFFFFF):
        return Header(None, present)
    others = max(present - size, 0)
    beyond = 0 if others <= 1 or _is_filling(file, start + size) else others
    return Header(size, present, beyond)


def _read_flac(file: BinaryIO) -> Header:
    """Reads a FLAC header and clears its total (0 is unknown), at which libsndfile would stop."""
    file.seek(0)
    begin = bytearray(file.read(_TOTAL.stop))
    value = int.from_bytes(begin[_TOTAL], "big")
    begin[_TOTAL] = (value & ~_TOTAL_MASK).to_bytes(8, "big")
    return Header(value & _TOTAL_MASK or None, None, 0, bytes(begin), _TOTAL.stop)


def _read_ogg(file: BinaryIO, length: int) -> Header:
    """Checks Ogg pages: libsndfile silently skips damaged ones and all after the first stream."""
    file.seek(0)
    end = first_stream(file)
    beyond = 0 if _is_filling(file, end) else length - end
    return Header(None, None, beyond, b"", 0, end)
