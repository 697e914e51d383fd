"""Audio files as libsndfile and others write them, and damages to them.

Each damage states its allowed outcomes: see `Kind`.
"""

import enum
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import soundfile

# (suffix, format, subtype, byte order) of libsndfile.
FORMS = (
    *((".wav", "WAV", sub, "FILE") for sub in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32")),
    *((".wav", "WAV", sub, "FILE") for sub in ("FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM")),
    *((".wav", "WAV", sub, "BIG") for sub in ("PCM_16", "FLOAT")),
    *((".wav", "WAVEX", sub, "FILE") for sub in ("PCM_16", "PCM_24", "FLOAT")),
    *((".rf64", "RF64", sub, "FILE") for sub in ("PCM_16", "FLOAT")),
    *((".w64", "W64", sub, "FILE") for sub in ("PCM_16", "PCM_24", "FLOAT")),
    *((".aiff", "AIFF", sub, "FILE") for sub in ("PCM_S8", "PCM_16", "PCM_24")),
    *((".aifc", "AIFF", sub, "FILE") for sub in ("FLOAT", "DOUBLE", "ALAW")),
    (".aifc", "AIFF", "PCM_16", "LITTLE"),
    *((".caf", "CAF", sub, "FILE") for sub in ("PCM_16", "PCM_24", "FLOAT", "ALAC_16")),
    *((".au", "AU", sub, "FILE") for sub in ("PCM_16", "FLOAT")),
    *((".flac", "FLAC", sub, "FILE") for sub in ("PCM_16", "PCM_24", "PCM_S8")),
    *((".ogg", "OGG", sub, "FILE") for sub in ("VORBIS", "OPUS")),
    (".mp3", "MP3", "MPEG_LAYER_III", "FILE"),
    (".wav", "NIST", "PCM_16", "FILE"),
    (".wav", "VOC", "PCM_16", "FILE"),
)
WIDTHS = {"PCM_U8": 1, "PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
WIDTHS |= {"ULAW": 1, "ALAW": 1}
EXTREMES = (0, 1, 2, 3, 4, 8, 100, 4096, 2**16 - 1, 2**24, 2**31 - 4096, 2**31 - 1, 2**31)
EXTREMES += (2**31 + 2, 2**32 - 4096, 2**32 - 8, 2**32 - 2, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)

UNKNOWN = (2**31 - 1, 2**31, 2**32 - 1)  # sizes up to 4096 below mean that it is not known


class Kind(enum.IntEnum):
    """The allowed outcomes of a damaged file read without a note; the worst of several counts."""

    SAME = 0  # what the file held before
    COVERED = 1  # as many bytes of audio as are there, whatever they are taken for
    SAID = 2  # nothing: it must be refused, or a note must say what is left out
    ANY = 3  # what cannot be known


@dataclass(frozen=True)
class Sample:
    """A file's bytes.

    Attributes:
        data: the file's bytes.
        suffix: the proper suffix.
        form: libsndfile's format.
        subtype: libsndfile's subtype.
        samples: its samples, float64 [T, C].
        streamed: whether its header leaves the length unknown.
        kind: the allowed outcomes.
        story: the damages, for messages.
    """

    data: bytes
    suffix: str
    form: str
    subtype: str
    samples: np.ndarray = field(repr=False)
    streamed: bool = False
    kind: Kind = Kind.SAME
    story: tuple[str, ...] = ()

    @property
    def is_coded(self) -> bool:
        """True if the format has checksums of its contents."""
        return self.form in ("FLAC", "OGG")

    def damaged(self, data: bytes, kind: Kind, what: str) -> "Sample":
        if self.kind == Kind.SAID:  # what had to be said may be gone again
            kind = Kind.ANY
        return replace(self, data=data, kind=max(self.kind, kind), story=(*self.story, what))


@lru_cache(maxsize=64)
def _encoded(number: int, length: int, channels: int, rate: int) -> Sample:
    suffix, form, subtype, order = FORMS[number]
    noise = np.random.default_rng([length, channels]).uniform(-0.4, 0.4, (length, channels))
    file = io.BytesIO()
    soundfile.write(file, noise, rate, format=form, subtype=subtype, endian=order)
    data = file.getvalue()
    with soundfile.SoundFile(io.BytesIO(data)) as opened:
        opened.seekable = lambda: False
        samples = opened.read(1 << 20, always_2d=True)
    return Sample(data, suffix, form, subtype, samples, story=(f"{form} {subtype} {order}",))


def seed(draw: random.Random, number: int | None = None) -> Sample:
    """Makes a good file of one of the forms, short or a second long."""
    number = draw.randrange(len(FORMS)) if number is None else number % len(FORMS)
    is_opus = FORMS[number][2] == "OPUS"
    rate = 48_000 if is_opus else draw.choice([22_050, 44_100, 48_000])
    sample = _encoded(number, draw.choice([7, 800, 4800, rate]), draw.choice([1, 1, 2]), rate)
    if draw.random() < 0.5:
        sample = _with_more_chunks(sample, draw)
    return _streamed(sample) if draw.random() < 0.15 else sample


# Parts of a file


def parts(data: bytes) -> tuple[bytes, list[bytes]]:
    """Splits a file into its start, chunks, blocks or pages."""
    layouts: dict[bytes, tuple[int, int, Callable[[bytes], int]]] = {
        b"RIFF": (12, 8, lambda h: 8 + _even(int.from_bytes(h[4:8], "little"))),
        b"RF64": (12, 8, lambda h: 8 + _even(int.from_bytes(h[4:8], "little"))),
        b"RIFX": (12, 8, lambda h: 8 + _even(int.from_bytes(h[4:8], "big"))),
        b"FORM": (12, 8, lambda h: 8 + _even(int.from_bytes(h[4:8], "big"))),
        b"riff": (40, 24, lambda h: -(-int.from_bytes(h[16:24], "little") // 8) * 8),
        b"caff": (8, 12, lambda h: 12 + int.from_bytes(h[4:12], "big")),
        b"fLaC": (4, 4, lambda h: 4 + int.from_bytes(h[1:4], "big")),
        b"OggS": (0, 27, lambda h: 27 + h[26]),
    }
    if data[:4] not in layouts or len(data) <= layouts[data[:4]][0]:
        return data[:24], [data[24:]]
    begin, header, length = layouts[data[:4]]
    found, position = [], begin
    while position < len(data):
        size = length(data[position : position + header].ljust(header, b"\0"))
        if data[:4] == b"OggS":
            size += sum(data[position + 27 : position + size])
        elif data[:4] == b"fLaC" and found and found[-1][:1] >= b"\x80":
            size = len(data)  # the frames
        found.append(data[position : position + max(size, 1)])
        position += max(size, 1)
    return data[:begin], found


def _even(size: int) -> int:
    return size + size % 2


def chunk(like: bytes, name: bytes, content: bytes) -> bytes:
    """Makes a chunk in the style of a file that begins with `like`."""
    if like == b"riff":
        size = len(content) + 24
        return name + bytes(12) + size.to_bytes(8, "little") + content + bytes(-size % 8)
    if like == b"caff":
        return name + len(content).to_bytes(8, "big") + content
    order = "big" if like in (b"RIFX", b"FORM") else "little"
    return name + len(content).to_bytes(4, order) + content + bytes(len(content) % 2)


def _with_more_chunks(sample: Sample, draw: random.Random) -> Sample:
    """Adds chunks that other programs write, before and after the audio."""
    like = sample.data[:4]
    if like not in (b"RIFF", b"RF64", b"RIFX", b"FORM", b"riff", b"caff"):
        return sample
    begin, chunks = parts(sample.data)
    names = (
        (b"free",) if like == b"caff" else (b"junk", b"JUNK", b"iXML", b"PAD ", b"cust", b"axml")
    )
    if like == b"riff":  # libsndfile leaves the filling of its last chunk away
        chunks[-1] += bytes(-len(chunks[-1]) % 8)
    places = {b"RF64": [1, 2], b"caff": [1]}.get(like, [0, 1])
    behind = [] if like == b"caff" else [len(chunks)]  # it fills up a file that needs no filling
    for place in (*behind, draw.choice(places)):
        name, size = draw.choice(names), draw.choice([0, 4, 37, 60, 500])
        chunks.insert(place, chunk(like, name, draw.randbytes(size)))
    data = begin + b"".join(chunks)
    if like in (b"RIFF", b"RIFX", b"FORM"):
        size = (len(data) - 8).to_bytes(4, "little" if like == b"RIFF" else "big")
        data = like + size + data[8:]
    return sample.damaged(data, Kind.SAME, "more chunks")


def _streamed(sample: Sample) -> Sample:
    """Makes a file whose writer could not go back to its header."""
    data, like = sample.data, sample.data[:4]
    if like == b"RIFF" and sample.subtype in WIDTHS:
        at = _audio_chunk(data) + 4
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        data = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 : end]
    elif like == b".snd":
        data = data[:8] + b"\xff\xff\xff\xff" + data[12:]
    elif like == b"fLaC":
        value = int.from_bytes(data[18:26], "big") >> 36 << 36
        data = data[:18] + value.to_bytes(8, "big") + bytes(16) + data[42:]
    else:
        return sample
    return replace(sample, data=data, streamed=True, story=(*sample.story, "streamed"))


_AUDIO = (b"data", b"SSND")


def _audio_chunk(data: bytes) -> int:
    """Returns the position of the audio chunk; 0 for a file without chunks."""
    begin, chunks = parts(data)
    position = len(begin)
    for each in chunks:
        if each[:4] in _AUDIO:
            return position
        position += len(each)
    return 0


# Damages


def damaged(sample: Sample, draw: random.Random) -> Sample:
    """Applies one or several damages."""
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        if sample.data:
            sample = draw.choice(DAMAGES)(sample, draw)
    # After several, what was taken away may be filled by what comes behind.
    story = [what for what in sample.story[1:] if what not in ("more chunks", "streamed")]
    fillers = ("junk", "followed", "twice", "reordered", "unknown", "without")
    filled = any(word in what for word in fillers for what in story)
    return replace(sample, kind=Kind.ANY) if len(story) > 1 and filled else sample


def _cut(sample: Sample, draw: random.Random) -> Sample:
    size = draw.choice(
        [
            draw.randrange(len(sample.data)),
            draw.randrange(min(len(sample.data), 100)),
            len(sample.data) - draw.randint(1, min(len(sample.data), 9)),
        ]
    )
    # A header does not tell that a stream was cut between two frames.
    kind = Kind.ANY if sample.streamed else Kind.SAME
    return sample.damaged(sample.data[:size], kind, f"cut to {size} of {len(sample.data)}")


def _flip(sample: Sample, draw: random.Random) -> Sample:
    data = bytearray(sample.data)
    ends = [min(len(data), 120), len(data)]
    for _ in range(draw.choice([1, 1, 2, 8])):
        at = draw.randrange(draw.choice(ends) if sample.is_coded else ends[0])
        data[at] = draw.choice([data[at] ^ 1 << draw.randrange(8), draw.randrange(256)])
    what = next((i for i in range(len(data)) if data[i] != sample.data[i]), None)
    return sample.damaged(bytes(data), Kind.COVERED, f"flipped from {what}")


def _size(sample: Sample, draw: random.Random) -> Sample:
    """Changes the size of a chunk."""
    begin, chunks = parts(sample.data)
    index = draw.randrange(len(chunks))
    start = len(begin) + sum(map(len, chunks[:index]))
    like = sample.data[:4]
    offset, width, order = {
        b"RIFX": (4, 4, "big"),
        b"FORM": (4, 4, "big"),
        b"riff": (16, 8, "little"),
        b"caff": (4, 8, "big"),
        b"fLaC": (1, 3, "big"),
    }.get(like, (4, 4, "little"))
    if like == b".snd":
        start, offset, order = 0, draw.choice([4, 8]), "big"
    elif like == b"RF64" and chunks[index][:4] in (b"ds64", b"data") and draw.random() < 0.7:
        start, offset, width = 20, draw.choice([0, 8, 16]), 8
    at = start + offset
    old = int.from_bytes(sample.data[at : at + width], order)
    near = [old - 1, old + 1, old - 2, old + 2, old // 2, old * 2, len(sample.data), old - 24]
    value = draw.choice([*EXTREMES, *near]) % 256**width
    data = sample.data[:at] + value.to_bytes(width, order) + sample.data[at + width :]
    is_unknown = value in (0, 2**32 - 1) or any(x - 4096 <= value <= x for x in UNKNOWN)
    # A byte that fills up cannot always be told from audio of eight bits; and of an AU stream
    # nothing but its header says where the audio begins.
    odd = is_unknown and sample.samples.size * WIDTHS.get(sample.subtype, 2) % 2
    odd = odd or (abs(value - old) == 1 and WIDTHS.get(sample.subtype) == 1)
    again = (is_unknown or sample.streamed) and any("size" in what for what in sample.story)
    kind = Kind.ANY if odd or again or (like == b".snd" and sample.streamed) else Kind.SAME
    what = f"size at {at} {old} to {'unknown ' * is_unknown}{value}"
    return replace(sample, streamed=sample.streamed or is_unknown).damaged(data, kind, what)


def _outer_size(sample: Sample, draw: random.Random) -> Sample:
    """Changes the size of the whole file."""
    if sample.data[:4] not in (b"RIFF", b"RIFX", b"FORM", b"riff"):
        return sample
    at, width = (16, 8) if sample.data[:4] == b"riff" else (4, 4)
    value = draw.choice(EXTREMES) % 256**width
    order = "big" if sample.data[:4] in (b"RIFX", b"FORM") else "little"
    data = sample.data[:at] + value.to_bytes(width, order) + sample.data[at + width :]
    return sample.damaged(data, Kind.SAME, f"outer size {value}")


def _drop(sample: Sample, draw: random.Random) -> Sample:
    begin, chunks = parts(sample.data)
    gone = chunks.pop(draw.randrange(len(chunks)))
    # The same bytes may decode to something else without their format.
    kind = Kind.COVERED if sample.form in ("NIST", "VOC", "MP3", "AU") else Kind.SAME
    sample = replace(sample, streamed=sample.streamed or gone[:4] == b"ds64")
    return sample.damaged(begin + b"".join(chunks), kind, f"without {gone[:4]!r}")


def _double(sample: Sample, draw: random.Random) -> Sample:
    begin, chunks = parts(sample.data)
    index = draw.randrange(len(chunks))
    twice = chunks[index]
    chunks.insert(draw.choice([index, len(chunks)]), twice)
    is_audio = twice[:4] in _AUDIO or sample.form in ("NIST", "VOC", "MP3", "AU")
    is_audio = is_audio or (sample.is_coded and len(twice) > 200)
    kind = Kind.SAID if is_audio else Kind.SAME
    if sample.streamed:
        kind = Kind.ANY
    return sample.damaged(begin + b"".join(chunks), kind, f"twice {twice[:4]!r}")


def _reorder(sample: Sample, draw: random.Random) -> Sample:
    begin, chunks = parts(sample.data)
    draw.shuffle(chunks)
    kind = Kind.ANY if sample.streamed else Kind.SAME
    return sample.damaged(begin + b"".join(chunks), kind, "reordered")


def _append(sample: Sample, draw: random.Random) -> Sample:
    junk = draw.choice(
        [draw.randbytes(draw.choice([1, 3, 64, 3000])), bytes(64), b"TAG" + bytes(125)]
    )
    kind = Kind.ANY if sample.streamed else Kind.SAME
    return sample.damaged(sample.data + junk, kind, f"{len(junk)} bytes of junk")


def _concatenate(sample: Sample, draw: random.Random) -> Sample:
    other = sample.data if draw.random() < 0.4 else seed(draw).data
    kind = Kind.ANY if sample.streamed else Kind.SAID
    return sample.damaged(sample.data + other, kind, f"followed by {other[:4]!r}")


def _zeros(sample: Sample, draw: random.Random) -> Sample:
    start = draw.randrange(min(len(sample.data), 300))
    count = draw.choice([1, 2, 4, 16, 300])
    data = sample.data[:start] + bytes(count) + sample.data[start + count :]
    return sample.damaged(data[: len(sample.data)], Kind.COVERED, f"{count} zeros at {start}")


def _insert(sample: Sample, draw: random.Random) -> Sample:
    start = draw.randrange(min(len(sample.data), 300))
    more = draw.randbytes(draw.choice([1, 2, 4, 16]))
    data = sample.data[:start] + more + sample.data[start:]
    return sample.damaged(data, Kind.COVERED, f"{len(more)} bytes at {start}")


def _absurd(sample: Sample, draw: random.Random) -> Sample:
    """Changes sample rate, number of channels, width or kind of sample."""
    like, data = sample.data[:4], sample.data
    order = "big" if like in (b"RIFX", b"FORM", b".snd", b"caff") else "little"
    if like == b".snd":
        at, width = draw.choice([(12, 4), (16, 4), (20, 4)])
    elif like == b"fLaC":
        at, width, order = (*draw.choice([(18, 3), (20, 2), (8, 2), (10, 2)]), "big")
    else:
        at = max(data.find(b"fmt "), data.find(b"COMM"), data.find(b"desc"), 0)
        head = {b"riff": 24, b"caff": 12}.get(like, 8)
        fields = [(0, 2), (2, 2), (4, 4), (8, 4), (12, 2), (14, 2), (16, 4), (24, 2)]
        offset, width = draw.choice(fields)
        at += head + offset
    if like == b"FORM" and draw.random() < 0.4:  # the rate is a float of 80 bits
        at, width = data.find(b"COMM") + 16, 10
    value = draw.choice(
        [*EXTREMES, 5, 6, 12, 16, 24, 32, 1024, 65534, 768_000, draw.getrandbits(64)]
    )
    data = data[:at] + (value % 256**width).to_bytes(width, order) + data[at + width :]
    return sample.damaged(data[: len(sample.data)], Kind.COVERED, f"{value} at {at}")


def _numbers(sample: Sample, draw: random.Random) -> Sample:
    """Inserts NaN, infinite and huge samples."""
    if sample.subtype not in ("FLOAT", "DOUBLE"):
        return sample
    is_big = sample.data[:4] in (b"RIFX", b"FORM", b".snd")
    value = draw.choice([np.nan, np.inf, -np.inf, 3e38, 1e300, 1e11, 65.0, 1e-310])
    with np.errstate(over="ignore"):
        kind = "f4" if sample.subtype == "FLOAT" else "f8"
        number = np.array(value, (">" if is_big else "<") + kind).tobytes()
    width = len(number)
    count = len(sample.samples) * sample.samples.shape[1]
    start = _audio_chunk(sample.data) or len(sample.data) - count * width
    start += {b"riff": 24, b"caff": 16, b"FORM": 16, b".snd": 0}.get(sample.data[:4], 8)
    at = start + width * draw.randrange(count)
    data = (sample.data[:at] + number + sample.data[at + width :])[: len(sample.data)]
    return sample.damaged(data, Kind.COVERED, f"{value} at {at}")


def _suffix(sample: Sample, draw: random.Random) -> Sample:
    other = replace(sample, suffix=draw.choice([form[0] for form in FORMS]))
    return other.damaged(sample.data, Kind.SAME, f"called {other.suffix}")


DAMAGES = (
    *(_cut, _cut, _flip, _flip, _size, _size, _outer_size, _drop, _double, _reorder),
    *(_append, _concatenate, _zeros, _insert, _absurd, _absurd, _numbers, _suffix),
)
