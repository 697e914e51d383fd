"""Shows a capture run while it trains: a page, sounds in samples/, and TensorBoard data."""

import time
from typing import Any

import numpy as np

from data_pipeline.audio_files import write_wav
from data_pipeline.captures import Capture
from experiments.capture import figures
from experiments.capture.page import listen
from experiments.capture.results import playing_level
from experiments.report import elements
from experiments.report.drawing import picture
from experiments.report.elements import Picture
from experiments.report.running import RunningPage
from experiments.run.board import Board
from experiments.run.decoration import showing
from experiments.run.folder import RunFolder
from wf_jax.amps.capture_task import CaptureTask, SizedModels
from wf_jax.amps.render import render
from wf_jax.training.metrics import finite, read_records

SECONDS_BETWEEN = 60.0  # rendering costs training time
EXCERPT_SECONDS = 6.0


class TrainingSamples:
    """Shows how each size plays the start of the held-out DI, at recording level.

    A page in `workdir`/report.html; sounds in `workdir`/samples, if they are asked for; numbers,
    sound and pictures for TensorBoard in `workdir`/tensorboard, if tensorboardX is installed.
    """

    def __init__(self, workdir: RunFolder, task: CaptureTask, capture: Capture, every: int = 0):
        """Prepares all; writes nothing yet.

        Args:
            workdir: folder of the run.
            task: of the run.
            capture: its audio.
            every: evaluations between sounds in samples/; 0 for none.
        """
        self._samples, self._every, self._evaluations = workdir.local / "samples", every, 0
        self._board, self._sizes, self._rate = Board(workdir), task.sizes, capture.sample_rate
        self._folder, self._path = workdir.local / "tensorboard", workdir.local / "report.html"
        self._gain, self._lookback = capture.output_gain, task.lookback
        end = task.lookback + round(EXCERPT_SECONDS * capture.sample_rate)
        self._di = np.asarray(capture.input_validation[:end], np.float32)
        self._target = capture.output_validation[task.lookback : end] / np.float32(self._gain)
        self._shown = time.monotonic()
        self._page = RunningPage(self._path, capture.name.encode(errors="replace").decode())
        self._history = read_records(workdir.shared / "metrics.jsonl")

    def __call__(self, step: int, models: SizedModels, record: dict[str, Any]) -> None:
        """Runs after each evaluation; see wf_jax.training.loop.train."""
        self._history = [r for r in self._history if r["step"] < step] + [record]
        with showing(self._samples):
            if self._every and self._evaluations % self._every == 0:
                self._keep(self._play(models))
            self._evaluations += 1
        with showing(self._folder):
            if self._board.active and time.monotonic() - self._shown > SECONDS_BETWEEN:
                self._shown = time.monotonic()
                self._show(step, self._play(models))
        with showing(self._path):
            if self._page.due():
                self._page.write(step, record["minutes"], self._sections(self._play(models)))
        with showing(self._folder):
            self._board(step, models, record)

    def _keep(self, played: dict[str, np.ndarray]) -> None:
        """Writes samples/: the amp, its DI, and each model so far."""
        self._samples.mkdir(exist_ok=True)
        clips = {"target": self._target, "DI": self._di[self._lookback :], **played}
        for name, clip in clips.items():
            write_wav(self._samples / f"{name}.wav", clip, self._rate)

    def _play(self, models: SizedModels) -> dict[str, np.ndarray]:
        """Plays by `render`, which compiles nothing on CPUs: a hundredth of what a call costs."""
        played = {}
        for size in self._sizes:
            model = playing_level(models[size], self._gain)
            played[size] = np.concatenate(list(render(model, [self._di])))[self._lookback :]
        return played

    def _show(self, step: int, played: dict[str, np.ndarray]) -> None:
        for size, y in played.items():
            self._board.add_audio(size, step, y, self._rate)
        self._board.add_audio("the amp", step, self._target, self._rate)
        drawn = figures.waveforms(self._target, played, self._rate)
        self._board.add_picture("waveforms", step, picture(drawn))

    def _sections(self, played: dict[str, np.ndarray]) -> list[str]:
        keys = [f"esr/{size}" for size in self._sizes]
        shown = [record for record in self._history if _complete(record, keys)]
        heard = listen({"target": self._target, **played}, self._rate, "the start of it")
        if not shown:
            return [heard]
        best = {size: min(record[f"esr/{size}"] for record in shown) for size in self._sizes}
        figure = figures.esr_over_time(shown, best, None)
        return [heard, elements.pictures([Picture("ESR so far", figure, "Lower is better.")])]


def _complete(record: dict[str, Any], keys: list[str]) -> bool:
    return all(finite(record.get(key)) is not None for key in ("minutes", *keys))
