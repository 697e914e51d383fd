"""TensorBoard files of a run, where tensorboardX is installed: scalars, sounds and pictures."""

import io
from typing import Any

import numpy as np
from matplotlib.image import imread

from experiments.workdir import Workdir

GROUPS = ("learning_rate", "gradient_norm")  # shown beside all names with a slash


class Board:
    """Writes into `workdir`/tensorboard; does nothing where tensorboardX is missing."""

    def __init__(self, workdir: Workdir):
        """Opens the folder."""
        self._workdir = workdir
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            self._writer = None
        else:
            self._writer = SummaryWriter(str(workdir.local / "tensorboard"))

    def __call__(self, step: int, module: Any, record: dict[str, Any]) -> None:
        """The numbers of a record; see `publish` in wf_jax.training.loop.train."""
        if self._writer:
            for name, value in record.items():
                if "/" in name or name in GROUPS:
                    self._writer.add_scalar(name, value, step)
            self._writer.flush()
        self._workdir.upload()

    def add_audio(self, name: str, step: int, audio: np.ndarray, sample_rate: int) -> None:
        """Audio [T]; what is beyond full scale is clipped."""
        if self._writer:
            self._writer.add_audio(name, np.clip(audio, -1, 1), step, sample_rate)

    def add_picture(self, name: str, step: int, png: bytes) -> None:
        """A PNG."""
        if self._writer:
            image = imread(io.BytesIO(png))[..., :3]
            self._writer.add_image(name, image, step, dataformats="HWC")
