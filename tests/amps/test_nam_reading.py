"""Reading any .nam file ends in a model or in one line."""

import contextlib
import json
import os
import random

import numpy as np
import pytest

from wf_jax.amps import nam_file
from wf_jax.amps.nam_file import parse, read_nam, shown
from wf_jax.errors import UserError

GOOD = '{"version": "0.7.0", "architecture": "Linear", "config": {}, "weights": [1, 0.5, -2e-3]}'
LONG = "9" * 5000


def with_weights(text):
    return GOOD.replace("1, 0.5, -2e-3", text)


def with_key(text):
    return GOOD.replace('"config": {}', f'"config": {{{text}}}')


TEXTS = {
    "not UTF-8": (GOOD.encode() + b"\xff", "not UTF-8 text"),
    "UTF-16": (GOOD.encode("utf-16"), "not UTF-8 text"),
    "cut": (GOOD[:-1], "not a complete JSON file"),
    "more": (GOOD + "{}", "not a complete JSON file: Extra data"),
    "control character": (with_key('"a\n": 1'), "not a complete JSON file: Invalid control"),
    "lists": ("[" * 100_000, "nested too deeply"),
    "objects": (with_key('"a": {' * 100_000), "nested too deeply"),
    "key twice": (GOOD[:-1] + ', "version": "0.7.0"}', "the key 'version' occurs twice"),
    "inner key twice": (with_key('"a": [{"b\\n": 1, "b\\n": 1}]'), r"the key 'b\\n' occurs twice"),
    "long key twice": (with_key(f'"{LONG}": 1, "{LONG}": 1'), r"the key '9{56}\.\.\. occurs"),
    "NaN": (with_weights("1, NaN"), "NaN is not a number that JSON knows"),
    "Infinity": (with_key('"a": -Infinity'), "-Infinity is not a number"),
    "digits": (with_key(f'"a": {LONG}'), "an integer of thousands of digits"),
    "half a character": (with_key('"a": ["\\ud83d"]'), "half a surrogate pair"),
    "half in a key": (with_key('"\\udE00\\ud83d": 1'), "half a surrogate pair"),
    "weight true": (with_weights("1, true"), r"weights\[1\] is true or false, not a number"),
    "weight text": (with_weights('"1"'), r"weights\[0\] is a string, not a number"),
    "weight null": (with_weights("0, 1.5, null"), r"weights\[2\] is null, not a number"),
    "weight list": (with_weights("[1]"), r"weights\[0\] is a list, not a number"),
    "weight 1e39": (with_weights("0, 1e39"), r"weights\[1\] is 1e\+39, not a finite float32"),
    "weight 1e999": (with_weights("0, -1e999"), r"weights\[1\] is -inf, not a finite"),
    "weight long": (with_weights(f"0, {LONG[:4000]}"), r"weights\[1\] is a number of more than 18"),
    "version long": (GOOD.replace("0.7.0", f"0.{LONG}.0"), r"version '0\.9{54}\.\.\. is not"),
    "version digits": (GOOD.replace("0.7.0", "0.٧.0"), "is not of the form"),
    "rate text": (GOOD[:-1] + ', "sample_rate": "48k\\n"}', r"\"sample_rate\" is '48k\\n'"),
    "rate huge": (GOOD[:-1] + f', "sample_rate": {LONG[:400]}}}', "more than 18 digits; give"),
    "rate inf": (GOOD[:-1] + ', "sample_rate": 1e999}', '"sample_rate" is inf'),
    "rate true": (GOOD[:-1] + ', "sample_rate": true}', '"sample_rate" is True'),
    "metadata": (GOOD[:-1] + ', "metadata": [1]}', '"metadata" is a list, not an object'),
    "config": (GOOD.replace("{}", "null"), '"config" is null, not an object'),
    "weights": (GOOD.replace("[1, 0.5, -2e-3]", "{}"), '"weights" is an object, not a list'),
    "number": ("7", "holds one JSON object, not a number"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_one_line_says_what_is_wrong(tmp_path, case):
    text, message = TEXTS[case]
    path = tmp_path / "a.nam"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message) as caught:
        read_nam(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert line.isprintable()
    assert len(line) - len(str(path)) < 160


def test_what_is_right_stays_right(tmp_path):
    path = tmp_path / "a.nam"
    text = (
        with_key('"😀": "\\ud83d\\ude00 \\\\ud83d"')[:-1] + ', "metadata": null, "sample_rate": -1}'
    )
    path.write_text(text)
    file = read_nam(path)
    assert file.config == {"😀": "😀 \\ud83d"}
    assert (file.metadata, file.sample_rate) == ({}, None)
    assert file.weights.dtype == np.float32
    np.testing.assert_array_equal(file.weights, np.float32([1, 0.5, -2e-3]))


def test_large_files_are_not_read(tmp_path, monkeypatch):
    path = tmp_path / "a.nam"
    path.write_text(GOOD)
    monkeypatch.setattr(nam_file, "LARGEST_FILE", len(GOOD))
    read_nam(path)
    path.write_text(GOOD + " ")
    with pytest.raises(UserError, match="larger than 0 MiB"):
        read_nam(path)
    monkeypatch.undo()
    with path.open("wb") as file:
        file.truncate(1 << 40)  # takes no room, but would if it were read
    with pytest.raises(UserError, match="larger than 12 MiB"):
        read_nam(path)


def test_paths_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, "a folder"),
        (tmp_path / "pipe", "not a regular file"),  # opening it would wait for a writer
        ("/dev/zero", "not a regular file"),
        (tmp_path / "none", "No such file"),
        (tmp_path / "a\0b", "cannot be read"),
        (tmp_path / ("x" * 300), "cannot be read"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            read_nam(path)
        assert str(caught.value).isprintable()


def test_damaged_files_never_raise_anything_else(tmp_path):
    """Tries a few hundred small damages to a file with a bit of everything."""
    document = {
        "version": "0.5.4",
        "metadata": {"name": "ü 😀", "loudness": -20.5, "date": {"year": 2026}},
        "architecture": "LSTM",
        "config": {"layers": [{"a": True, "b": None}], "head": "Tanh"},
        "weights": [0.5, -1e-7, 3, 1e30],
        "sample_rate": 48000.0,
    }
    whole = json.dumps(document).encode()
    tokens = [b"{", b"}", b"[", b"]", b'"', b",", b"1e400", b"-", b"\\ud800", b"\xc3", b"NaN", b"0"]
    draw, path, read = random.Random(4), tmp_path / "a.nam", 0
    for _ in range(400):
        data = whole
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(data))
            data = data[:at] + draw.choice(tokens) + data[at + draw.randint(0, 3) :]
        path.write_bytes(data)
        with contextlib.suppress(UserError):
            read_nam(path)
            read += 1
    assert 0 < read < 200


def test_shown_values_are_short_lines():
    hostile = ["x" * 10**6, "\n\ud800", 10**5000, -(10**18), {"a": 1}, [1] * 99, None, True, 1e-300]
    for value in hostile:
        assert len(shown(value)) <= 60
        assert shown(value).isprintable()
    assert shown(10**18 - 1) == "999999999999999999"
    assert shown("abc") == "'abc'"


def test_parse_takes_a_document_without_a_file():
    file = parse(json.loads(GOOD), "amp.nam: submodels[0]")
    assert file.source == "amp.nam: submodels[0]"
    with pytest.raises(UserError, match=r"^amp\.nam: submodels\[0\]: a \.nam file holds"):
        parse(None, "amp.nam: submodels[0]")
