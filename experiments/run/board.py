"""Writes TensorBoard files of a run, if tensorboardX is installed: scalars, sound, pictures."""

import io
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.image import imread

from experiments.run.folder import RunFolder
from wf_jax.errors import UserError, why

GROUPS = ("learning_rate", "gradient_norm")  # shown beside all names with a slash


class Board:
    """Writes to a file in `workdir`/tensorboard; does nothing where tensorboardX is missing.

    Uses only the record contents of tensorboardX. Its SummaryWriter writes in a thread: a full disk
    ends that without a word, and then the training waits for it for ever.
    """

    def __init__(self, workdir: RunFolder):
        """Prepares the board; the file is made with its first content."""
        self._workdir, self._folder = workdir, workdir.local / "tensorboard"
        self._file = self._folder / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
        try:
            from tensorboardX import summary
        except ImportError:
            summary = None
        self._summary = summary

    @property
    def active(self) -> bool:
        """True if anything is written."""
        return self._summary is not None

    def __call__(self, step: int, module: Any, record: dict[str, Any]) -> None:
        """Writes the numbers of a record, then uploads; see `publish` in training/loop.py.

        Raises:
            UserError: they cannot be written.
        """
        if self._summary:
            shown = {k: v for k, v in record.items() if "/" in k or k in GROUPS}
            self._add(step, (self._summary.scalar(k, v) for k, v in shown.items()))
        try:
            self._workdir.upload()
        except OSError as error:  # the next time will do
            print(f"\n{error.filename}: cannot be written: {why(error)}", flush=True)

    def add_audio(self, name: str, step: int, audio: np.ndarray, sample_rate: int) -> None:
        """Adds audio [T], clipped to full scale."""
        if self._summary:
            self._add(step, [self._summary.audio(name, np.clip(audio, -1, 1), sample_rate)])

    def add_picture(self, name: str, step: int, png: bytes) -> None:
        """Adds a PNG."""
        if self._summary:
            image = imread(io.BytesIO(png))[..., :3]
            self._add(step, [self._summary.image(name, image, dataformats="HWC")])

    def _add(self, step: int, contents: Iterable[Any]) -> None:
        from tensorboardX.proto.event_pb2 import Event

        now = time.time()
        events = [Event(wall_time=now, step=step, summary=content) for content in contents]
        try:
            if not self._file.exists():
                self._folder.mkdir(parents=True, exist_ok=True)
                events.insert(0, Event(wall_time=now, file_version="brain.Event:2"))
            with self._file.open("ab") as file:
                file.writelines(_framed(event.SerializeToString()) for event in events)
        except OSError as error:
            raise UserError(f"{self._folder}: cannot be written: {why(error)}") from None


def _framed(content: bytes) -> bytes:
    """Frames a TFRecord: length and content, each with its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(content))
    return b"".join(part + struct.pack("<I", masked_crc32c(part)) for part in (length, content))
