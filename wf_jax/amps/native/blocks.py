"""Blocks of a live stream through the native engine."""

from collections.abc import Callable

import numpy as np

from wf_jax.amps.model import AmpModel
from wf_jax.amps.native.engine import NativeModel
from wf_jax.native.memory import address


class NativeBlocks:
    """One stream in blocks; copies them to and from places that the compiled code knows."""

    def __init__(self, model: AmpModel, block: int):
        """Compiles, and plays silence; `block` is the largest block in samples."""
        self._stream = NativeModel(model).stream()
        inputs, outputs = model.input_channels, model.output_channels
        self._x = np.zeros((inputs, block) if inputs > 1 else block, np.float32)
        self._y = np.zeros((outputs, block) if outputs > 1 else block, np.float32)
        # What a call needs for each size met so far: making it anew would take 1 us.
        self._calls: dict[int, tuple[np.ndarray, np.ndarray, Callable[[], None]]] = {}

    def reset(self) -> None:
        """Goes back to before the first sample."""
        self._stream.reset()

    def play(self, x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """The next samples, see jax_blocks.JaxBlocks."""
        count = x.shape[-1]
        call = self._calls.get(count)
        if call is None:
            call = self._calls[count] = self._prepared(count)
        ours, result, play = call
        ours[...] = x
        play()
        if out is None:
            return result.copy()
        out[...] = result
        return out

    def _prepared(self, count: int) -> tuple[np.ndarray, np.ndarray, Callable[[], None]]:
        stride = self._x.shape[-1]
        play = self._stream.prepared(address(self._x), address(self._y), count, stride)
        return self._x[..., :count], self._y[..., :count], play
