"""Playing block by block, as a plug-in host asks for it."""

from typing import Protocol

import numpy as np

from wf_jax.amps.engines import AUTO, plays_natively
from wf_jax.amps.jax_form import Playable


class Stream(Protocol):
    """One stream of audio through an engine."""

    def reset(self) -> None:
        """Goes back to before the first sample."""
        ...

    def play(self, x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """The next samples, floats [n] or [inputs, n]; written to `out` where there is one."""
        ...


class Player:
    """Plays a model on one stream of audio, in blocks of any size up to `block`.

    Everything is compiled when the player is made, and no size of block leads to another
    compilation. The native engine plays plain WaveNets on a CPU, JAX all others; a call then copies
    the block in, runs one function whose state stays where it is, and copies the output out. The
    native one does so without the interpreter's lock, so that players in several threads play at
    once. What is not a number stays in the memory of a model as long as the model remembers, in an
    LSTM until `reset`.
    """

    def __init__(self, model: Playable, block: int = 64, engine: str = AUTO):
        """Compiles, and plays silence.

        Args:
            model: what to play.
            block: the largest block in samples. For whole files there is
                `wf_jax.amps.render.render`.
            engine: "auto", "native" or "jax"; see `wf_jax.amps.engines`.

        Raises:
            ValueError: block is not a positive integer, or the engine is none.
            UserError: the native engine is asked for, and does not play the model.
        """
        if not isinstance(block, int | np.integer) or block < 1:
            raise ValueError(f"block {block!r} is not a positive number of samples")
        self.block = block
        self.model = model
        self._inputs, self._outputs = model.input_channels, model.output_channels
        self.is_native = plays_natively(model, engine)
        # Imported here: LLVM takes 0.1 s, and a model that JAX plays needs none of it.
        if self.is_native:
            from wf_jax.amps.native.blocks import NativeBlocks

            self._stream: Stream = NativeBlocks(model, block)
        else:
            from wf_jax.amps.jax_blocks import JaxBlocks

            self._stream = JaxBlocks(model, block)

    def reset(self) -> None:
        """Goes back to before the first sample: endless silence."""
        self._stream.reset()

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The next block.

        Args:
            x: floats, full scale 1, [n] (or [channels, n] where the model has several inputs), n up
                to `block`.
            out: float32 of the output's shape, which is written to and returned; x itself will do
                where the shapes agree. A new array if None.

        Returns:
            float32 of the same length; [channels, n] where the model has several outputs.

        Raises:
            ValueError: the block is longer than the player was made for, or no such array.
        """
        x = np.asarray(x)
        inputs = self._inputs
        if x.dtype.kind != "f" or x.ndim != min(inputs, 2) or (inputs > 1 and len(x) != inputs):
            shape = "[n]" if inputs == 1 else f"[{inputs}, n]"
            raise ValueError(f"{x.dtype} {list(x.shape)} is not a block of floats {shape}")
        count = x.shape[-1]
        if count > self.block:
            raise ValueError(f"a block of {count} samples; this player was made for {self.block}")
        if out is not None:
            shape = (count,) if self._outputs == 1 else (self._outputs, count)
            if out.dtype != np.float32 or out.shape != shape:
                raise ValueError(f"out is {out.dtype} {list(out.shape)}, not float32 {list(shape)}")
        return self._stream.play(x, out)
