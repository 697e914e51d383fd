"""A guitar played through a model: called by the sound system for every block."""

import dataclasses
import time
from typing import Any

import numpy as np

from wf_jax.amps.model import AmpModel
from wf_jax.amps.player import Player

LONGEST = 8192  # samples that a sound system may ask for at once
FADE = 0.02  # seconds from one model to the next


@dataclasses.dataclass
class Meter:
    """The levels and the load since the last look.

    Attributes:
        input: largest magnitude that came in.
        output: largest magnitude that went out.
        busy: seconds of computing.
        slowest: share of its time that the slowest block took.
        seconds: of audio.
        blocks: that were played.
    """

    input: float = 0.0
    output: float = 0.0
    busy: float = 0.0
    slowest: float = 0.0
    seconds: float = 0.0
    blocks: int = 0


class LivePlayer:
    """Plays one channel through a model to all outputs, and counts what goes wrong.

    `callback` runs in the sound system's thread; the rest may be called from any other.
    """

    def __init__(self, model: AmpModel, rate: float, channel: int = 0):
        """Compiles.

        Args:
            model: mono.
            rate: Hz, of the audio.
            channel: of the input, from 0.
        """
        self._rate, self._channel = rate, channel
        self._player = Player(model, LONGEST)
        self._next: Player | None = None
        self._fade = max(1, round(FADE * rate))
        self._faded = 0  # samples of the fade that are done
        self._ours, self._theirs = np.zeros(LONGEST, np.float32), np.zeros(LONGEST, np.float32)
        self._meter = Meter()
        self.xruns = 0  # blocks that the sound system lost, or got too late

    def change(self, model: AmpModel) -> None:
        """Goes over to another model, while the old one plays on until the new one is ready."""
        player = Player(model, LONGEST)
        self._faded = 0
        self._next = player

    def callback(self, indata: np.ndarray, outdata: np.ndarray, frames: int, _: Any, status: Any):
        """Plays a block: indata [frames, inputs] -> outdata [frames, outputs], float32."""
        start = time.perf_counter()
        if status:
            self.xruns += 1
        meter = self._meter
        x = indata[:, self._channel]
        for at in range(0, frames, LONGEST):
            part = x[at : at + LONGEST]
            y = self._player(part, out=self._ours[: len(part)])
            if self._next is not None:
                self._blend(part, y)
            # What is not a number would reach the loudspeakers as a bang.
            np.nan_to_num(y, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
            np.clip(y, -1.0, 1.0, out=y)
            outdata[at : at + LONGEST] = y[:, None]
            meter.output = max(meter.output, float(np.abs(y).max(initial=0.0)))
        meter.input = max(meter.input, float(np.abs(x).max(initial=0.0)))
        seconds, spent = frames / self._rate, time.perf_counter() - start
        meter.seconds += seconds
        meter.busy += spent
        meter.slowest = max(meter.slowest, spent / max(seconds, 1e-9))
        meter.blocks += 1

    def look(self) -> Meter:
        """The meter since the last look."""
        meter, self._meter = self._meter, Meter()
        return meter

    def _blend(self, x: np.ndarray, y: np.ndarray) -> None:
        """Goes over from the old model's y to the next model's."""
        following = self._next(x, out=self._theirs[: len(x)])
        share = (self._faded + np.arange(len(x), dtype=np.float32)) / self._fade
        y += np.minimum(share, 1.0) * (following - y)
        self._faded += len(x)
        if self._faded >= self._fade:
            self._player, self._next = self._next, None
