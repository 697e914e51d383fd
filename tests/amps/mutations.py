"""Damages .nam documents and their text, drawn from a random.Random or Hypothesis's own."""

import json
import random
import re
from typing import Any

from tests.amps.nam_documents import container, sequential
from tests.amps.nam_examples import EXAMPLES

EXTREMES = (
    *(0, -1, 1, 2, 3, 1.5, True, False, None, 64, 4095, 65_537, 10**6, 10**7, 10**9, 10**30, 2**63),
    *(1e308, -1e308, 3e38, 1e-320, -0.0, float("nan"), float("inf"), 10**4000),
    *("", "x", "x" * 1000, "\n", "\ud800", "\0", "é", "0.7.1", "0.6.0", "9.9.9", "none", "blended"),
    *("PReLU", "ReLU", "Softsigmoid", "WaveNet", "LSTM", "Linear", "sequential", "A2"),
    *(
        [],
        {},
        [[]],
        [[[[0]]]],
        [1, 2],
        [1] * 600,
        [None],
        [10**9, 10**9],
        {"": {}},
        {"type": "Tanh"},
    ),
    *({"type": "PReLU", "negative_slopes": [0.1, 0.2]}, {"active": True, "groups": 2}),
)
TOKENS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"1e400",
    b"-",
    b"\\ud800",
    b"\xc3",
    b"NaN",
    b"0",
)

Draw = random.Random


def all_places(value: Any) -> list[tuple[Any, Any]]:
    """Returns every (holder, key or index) in a document; of number lists the first and last."""
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value))) if len(value) < 30 else [0, len(value) - 1]
    else:
        return []
    return [place for key in keys for place in ((value, key), *all_places(value[key]))]


def _parts() -> dict[str, list[Any]]:
    """Collects the examples' values under each key."""
    parts: dict[str, list[Any]] = {}
    for build in EXAMPLES.values():
        for holder, key in all_places(build()):
            if isinstance(key, str) and holder[key] not in parts.setdefault(key, []):
                parts[key].append(holder[key])
    return parts


PARTS = _parts()


def copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def damaged(document: dict, draw: Draw) -> dict:
    """Applies one to three damages to a document, some of them harmless."""
    document = copied(document)
    for _ in range(draw.randint(1, 3)):
        document = _nested(document, draw) if draw.random() > 0.9 else _changed(document, draw)
    return document


def _nested(document: dict, draw: Draw) -> dict:
    """Wraps a document in other models, up to ten deep or 300 times."""
    kind, times = draw.choice(["sequential", "container", "condition"]), draw.choice([1, 2, 10])
    for _ in range(times):
        if kind == "sequential":
            document = sequential(
                "models", [document] * draw.choice([1, 2, 2 if times > 1 else 300])
            )
        elif kind == "container":
            document = container((0.5, document), (draw.choice([1.0, 2, 0.4, None]), document))
        else:
            outer = EXAMPLES["condition_wavenet"]()
            outer["config"]["condition_dsp"] = document
            document = outer
    return document


def _changed(document: dict, draw: Draw) -> dict:
    """Removes, replaces, adds or resizes one value."""
    places = all_places(document)
    if not places:
        return document
    holder, key = draw.choice(places)
    value, change = holder[key], draw.randrange(6)
    if change == 0:
        del holder[key]
    elif change == 1:
        holder[key] = copied(draw.choice(EXTREMES))
    elif change == 2:
        holder[key] = copied(draw.choice(PARTS.get(key, EXTREMES)))
    elif change == 3:
        holder[key] = copied(draw.choice(draw.choice(list(PARTS.values()))))
    elif change == 4 and isinstance(holder, dict):
        key = draw.choice([*PARTS, "unknown"])
        holder[key] = copied(draw.choice([*PARTS.get(key, [None]), *EXTREMES]))
    elif isinstance(value, list):
        holder[key] = draw.choice(
            [value[:-1], value[1:], value + value[:1], value * 2, value * 300]
        )
    elif isinstance(value, int | float):
        holder[key] = draw.choice([value + 1, value * 2, value * 1000, -value, str(value)])
    else:
        holder[key] = [value]
    return document


def damaged_text(data: bytes, draw: Draw) -> bytes:
    """Applies one to three damages to text."""
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data) + 1)
        before, after = data[:at], data[at:]
        some = draw.randint(1, 4)
        change = draw.randrange(7)
        if change == 0 and after:
            data = before + bytes([after[0] ^ 1 << draw.randrange(8)]) + after[1:]
        elif change == 1:
            data = before + after[some:]
        elif change == 2:
            data = before + bytes(draw.randrange(256) for _ in range(some)) + after
        elif change == 3:
            data = before + draw.choice(TOKENS) + after[some:]
        elif change == 4:
            data = before
        elif change == 5:
            start = draw.randrange(len(data) + 1)
            data = before + data[start : start + 10**some] + after
        else:  # another digit: what the JSON reader does not mind
            digits = [match.start() for match in re.finditer(rb"\d", after[:200])]
            if digits:
                place = at + draw.choice(digits)
                data = data[:place] + b"%d" % draw.randrange(10) + data[place + 1 :]
    return data
