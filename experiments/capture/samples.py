"""Shows a capture run in TensorBoard while it trains: numbers, sound and pictures."""

import time
from typing import Any

import jax.numpy as jnp
import numpy as np

from data_pipeline.captures import Capture
from experiments.capture import figures
from experiments.capture.results import playing_level
from experiments.report.drawing import picture
from experiments.run.board import Board
from experiments.run.decoration import showing
from experiments.run.folder import RunFolder
from wf_jax.amps.capture import CaptureTask, SizedModels

SECONDS_BETWEEN = 60.0  # rendering costs training time
EXCERPT_SECONDS = 6.0


class TrainingBoard:
    """Shows how each size plays the start of the held-out DI, at recording level."""

    def __init__(self, workdir: RunFolder, task: CaptureTask, capture: Capture):
        """Prepares the board; writes nothing where tensorboardX is missing."""
        self._folder = workdir.local / "tensorboard"
        self._board, self._sizes, self._rate = Board(workdir), task.sizes, capture.sample_rate
        self._gain, self._lookback = capture.output_gain, task.lookback
        end = task.lookback + round(EXCERPT_SECONDS * capture.sample_rate)
        self._di = jnp.asarray(capture.input_validation[None, :end])
        self._target = capture.output_validation[task.lookback : end] / np.float32(self._gain)
        self._shown = time.monotonic()

    def __call__(self, step: int, models: SizedModels, record: dict[str, Any]) -> None:
        """Runs after each evaluation; see wf_jax.training.loop.train."""
        with showing(self._folder):
            if self._board.active and time.monotonic() - self._shown > SECONDS_BETWEEN:
                self._shown = time.monotonic()
                self._show(step, models)
        with showing(self._folder):
            self._board(step, models, record)

    def _show(self, step: int, models: SizedModels) -> None:
        predictions = {}
        for size in self._sizes:
            y = playing_level(models[size], self._gain)(self._di)
            predictions[size] = np.asarray(y)[0, self._lookback :]
            self._board.add_audio(size, step, predictions[size], self._rate)
        self._board.add_audio("the amp", step, self._target, self._rate)
        drawn = figures.waveforms(self._target, predictions, self._rate)
        self._board.add_picture("waveforms", step, picture(drawn))
