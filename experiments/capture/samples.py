"""Shows a capture run while it trains: sounds in samples/, and all of it in TensorBoard."""

import time
from typing import Any

import jax.numpy as jnp
import numpy as np
import soundfile

from data_pipeline.captures import Capture
from experiments.capture import figures
from experiments.capture.results import playing_level
from experiments.report.drawing import picture
from experiments.run.board import Board
from experiments.run.decoration import showing
from experiments.run.folder import RunFolder
from wf_jax.amps.capture import CaptureTask, SizedModels
from wf_jax.amps.render import render
from wf_jax.whole_files import atomic_path

SECONDS_BETWEEN = 60.0  # rendering costs training time
EXCERPT_SECONDS = 6.0


class TrainingBoard:
    """Shows how each size plays the start of the held-out DI, at recording level."""

    def __init__(self, workdir: RunFolder, task: CaptureTask, capture: Capture, every: int = 0):
        """Prepares the board, which writes nothing where tensorboardX is missing.

        Args:
            workdir: folder of the run.
            task: of the run.
            capture: its audio.
            every: evaluations between sounds in samples/; 0 for none.
        """
        self._folder, self._samples = workdir.local / "tensorboard", workdir.local / "samples"
        self._board, self._sizes, self._rate = Board(workdir), task.sizes, capture.sample_rate
        self._gain, self._lookback = capture.output_gain, task.lookback
        end = task.lookback + round(EXCERPT_SECONDS * capture.sample_rate)
        self._di = capture.input_validation[:end]
        self._target = capture.output_validation[task.lookback : end] / np.float32(self._gain)
        self._shown, self._every, self._evaluations = time.monotonic(), every, 0

    def __call__(self, step: int, models: SizedModels, record: dict[str, Any]) -> None:
        """Runs after each evaluation; see wf_jax.training.loop.train."""
        with showing(self._samples):
            if self._every and self._evaluations % self._every == 0:
                self._keep(models)
            self._evaluations += 1
        with showing(self._folder):
            if self._board.active and time.monotonic() - self._shown > SECONDS_BETWEEN:
                self._shown = time.monotonic()
                self._show(step, models)
        with showing(self._folder):
            self._board(step, models, record)

    def _keep(self, models: SizedModels) -> None:
        """Writes samples/: the amp, its DI, and each model so far."""
        self._samples.mkdir(exist_ok=True)
        clips = {"target": self._target, "DI": self._di[self._lookback :]}
        for size in self._sizes:
            # By the native engine, which compiles in under a second.
            played = render(playing_level(models[size], self._gain), [self._di])
            clips[size] = np.concatenate(list(played))[self._lookback :]
        for name, clip in clips.items():
            with atomic_path(self._samples / f"{name}.wav") as path:
                soundfile.write(path, clip, self._rate, subtype="FLOAT", format="WAV")

    def _show(self, step: int, models: SizedModels) -> None:
        predictions = {}
        for size in self._sizes:
            y = playing_level(models[size], self._gain)(jnp.asarray(self._di[None]))
            predictions[size] = np.asarray(y)[0, self._lookback :]
            self._board.add_audio(size, step, predictions[size], self._rate)
        self._board.add_audio("the amp", step, self._target, self._rate)
        drawn = figures.waveforms(self._target, predictions, self._rate)
        self._board.add_picture("waveforms", step, picture(drawn))
