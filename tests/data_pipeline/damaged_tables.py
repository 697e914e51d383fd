"""Damages tables of text: metadata.csv, JSON documents, lines of JSON, and YAML."""

import json
import random
from typing import Any

from tests.amps.mutations import all_places, copied, damaged_text

NUMBERS = (0, -1, 1, 2**31, 2**63, 10**19, 10**30, 10**400, 1.5, -1e308, 1e308, 1e-320, 1e39)
STRINGS = ("", "x", "x" * 5000, "\n", "\ud800", "\0", "é", "../../etc/passwd", "/etc/passwd")
STRINGS += ("a" * 300, "\x1b[2J", "$x^{", "capture", "vocoder", "demo", "nan", "1", "C:\\x", "=1+1")
OTHERS = (None, True, False, float("nan"), float("inf"), [], {}, [[]], [1, 2], [None], {"": {}})
VALUES = (*NUMBERS, *STRINGS, *OTHERS)
CODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "utf-7")
IDS = (
    *("../a", "..", "/etc/passwd", "a/../../b", "C:\\a", "\\\\host\\a", "a\0b", "wavs/../../a"),
    *("~", "-", "a" * 300, "a" * 100_000, "\udc80", "\u2028", "|", '"', "a.wav.wav", ".", "*", "é"),
)


def damaged_document(document: Any, draw: random.Random) -> Any:
    """Removes, replaces, adds or doubles one to three values."""
    document = copied(document)
    for _ in range(draw.randint(1, 3)):
        places = all_places(document)
        if not places:
            return copied(draw.choice(VALUES))
        holder, key = draw.choice(places)
        change = draw.randrange(5)
        if change == 0:
            del holder[key]
        elif change == 1 and isinstance(holder, dict):
            holder[draw.choice(["", "x", "task", "\ud800", "a" * 3000])] = draw.choice(VALUES)
        elif change == 2 and isinstance(holder[key], list):
            holder[key] = draw.choice([holder[key][:-1], holder[key] * 2, holder[key] * 50])
        elif change == 3:
            other, name = draw.choice(places)
            holder[key] = copied(other[name]) if name in _keys(other) else None
        else:
            holder[key] = draw.choice(VALUES)
    return document


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def damaged_json(document: Any, draw: random.Random) -> bytes:
    """Returns the text of a damaged document, or damaged text of one."""
    if draw.random() < 0.6:
        text = json.dumps(damaged_document(document, draw))
        return text.encode()
    return damaged_table(json.dumps(document, indent=1).encode(), draw)


def damaged_lines(documents: list[Any], draw: random.Random) -> bytes:
    """Returns lines of JSON, some of them damaged."""
    lines = [
        damaged_json(document, draw).replace(b"\n", b" ")
        if draw.random() < 0.4
        else json.dumps(document).encode()
        for document in documents
    ]
    return b"\n".join(lines) + draw.choice([b"\n", b""])


def damaged_table(data: bytes, draw: random.Random) -> bytes:
    """Changes a text: another encoding, a cut, merged or damaged lines, or a huge size."""
    change = draw.randrange(13)
    lines = data.split(b"\n")
    index = draw.randrange(len(lines))
    if change == 0:
        return data.decode("utf-8", "replace").encode(draw.choice(CODINGS), "replace")
    if change == 1:
        return draw.choice([b"", b"\n", b" ", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"null", b"[]"])
    if change == 2:
        return data[: draw.randrange(len(data) + 1)]
    if change == 3:
        return data + draw.choice([b"", b"\n", b"\0"]) + data
    if change == 4:  # an id of a kind of its own
        _, bar, rest = lines[index].partition(b"|")
        lines[index] = draw.choice(IDS).encode("utf-8", "surrogateescape") + bar + rest
    elif change == 5:  # a column is missing, or too many
        part = lines[index].split(draw.choice([b"|", b",", b":"]))
        lines[index] = draw.choice([b"", b"|"]).join(draw.choice([part[1:], part[:-1], part * 9]))
    elif change == 6:  # twice
        lines.insert(draw.randrange(len(lines)), lines[index])
    elif change == 7:
        lines[index] = draw.choice([b"x", b"[", b"|", b"\0", b"{", b"1", b","]) * 1_500_000
    elif change == 8:
        return data.replace(b"\n", draw.choice([b"\r", b"\r\n", b"\x0b", b"\0", b"\xe2\x80\xa8"]))
    elif change == 9:
        place = draw.randrange(len(data) + 1)
        return data[:place] + bytes(draw.choice([1, 2, 500])) + data[place:]
    elif change == 10:
        draw.shuffle(lines)
    else:
        return damaged_text(data, draw) if data else b"\0"
    return b"\n".join(lines)
