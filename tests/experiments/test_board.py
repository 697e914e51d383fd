"""TensorBoard files: every record is in TFRecord format, checked by hand."""

import io
import struct

import matplotlib.image
import numpy as np
import pytest

from experiments.run.board import Board
from experiments.run.folder import RunFolder

pytest.importorskip("tensorboardX")


def crc32c(content):
    """Computes the checksum bit by bit, with the Castagnoli polynomial."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(content):
    """Masks a checksum as a record carries it."""
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def events(folder):
    from tensorboardX.proto.event_pb2 import Event

    (path,) = (folder / "tensorboard").glob("*tfevents*")
    left = path.read_bytes()
    while left:
        (length,), (check,) = struct.unpack("<Q", left[:8]), struct.unpack("<I", left[8:12])
        content, (end,) = left[12 : 12 + length], struct.unpack("<I", left[12 + length :][:4])
        assert (check, end) == (masked(left[:8]), masked(content))
        yield Event.FromString(content)
        left = left[16 + length :]


def test_records_are_whole_and_in_order(tmp_path):
    assert crc32c(b"123456789") == 0xE3069283  # the usual check value
    board = Board(RunFolder(tmp_path))
    assert not (tmp_path / "tensorboard").exists()  # a start that fails leaves no file
    board(5, None, {"step": 5, "loss/a": 0.5, "learning_rate": 0.25})
    picture = io.BytesIO()
    matplotlib.image.imsave(picture, np.zeros((3, 4, 3)), format="png")
    board.add_audio("clip", 6, np.zeros(100), 22050)
    board.add_picture("drawn", 7, picture.getvalue())
    first, *others = events(tmp_path)
    assert first.file_version == "brain.Event:2"
    shown = [(event.step, value.tag) for event in others for value in event.summary.value]
    assert shown == [(5, "loss/a"), (5, "learning_rate"), (6, "clip"), (7, "drawn")]
    values = [event.summary.value[0] for event in others]
    assert [value.simple_value for value in values[:2]] == [0.5, 0.25]
    assert values[2].audio.sample_rate == 22050
    assert (values[3].image.height, values[3].image.width) == (3, 4)
