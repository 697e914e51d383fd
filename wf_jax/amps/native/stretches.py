"""Whole files through the native engine: equal stretches of time, one per core.

The first stretch goes on where the last one ended. Each of the others first plays what came before
it, as far as the model remembers: that is the same arithmetic on the same samples, so the audio is
that of one pass, bit for bit.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from wf_jax.amps.model import AmpModel
from wf_jax.amps.native.engine import NativeModel
from wf_jax.native.memory import address

STRETCH = 1 << 19  # samples per core and call
WORTHWHILE = 8  # times what must be played before it, a stretch is long at least


class NativeStretches:
    """Plays up to `capacity` samples a call."""

    def __init__(self, model: AmpModel, cores: int):
        """Compiles, and prepares a stream for each core."""
        native = NativeModel(model)
        self._before = native.model.receptive_field - 1
        self._streams = [native.stream() for _ in range(cores)]
        self._pool = ThreadPoolExecutor(cores)
        self.capacity = cores * STRETCH

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The next samples, float32 [n] -> [n]."""
        least = max(1, WORTHWHILE * self._before)
        count = min(len(self._streams), max(1, len(x) // least))
        ends = [len(x) * i // count for i in range(count + 1)]
        x, y = np.ascontiguousarray(x), np.empty_like(x)

        def play(i: int) -> None:
            start, stop = ends[i], ends[i + 1]
            if i:  # at least WORTHWHILE times as much stands before it in x
                self._streams[i].reset()
                self._play(i, x[start - self._before : start], None)
            self._play(i, x[start:stop], y[start:stop])

        list(self._pool.map(play, range(count)))
        last = count - 1
        self._streams[0], self._streams[last] = self._streams[last], self._streams[0]
        return y

    def _play(self, stream: int, x: np.ndarray, y: np.ndarray | None) -> None:
        y = np.empty_like(x) if y is None else y
        self._streams[stream].play(address(x), address(y), len(x), len(x))
