"""A released amp: whole signals, and block by block, by functions that need no model code."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.errors import UserError
from wf_jax.export.manifest import Manifest
from wf_jax.export.rows import Rows, floats

SIZES = (1, 16, 128)  # chunks that one call may play: an array length each


class Amp:
    """A released amp, played by the functions of its release.

    Signals are floats at full scale 1, [B, T] of a mono model and [B, channels, T] of another.

    Attributes:
        manifest: of the release.
    """

    def __init__(
        self,
        manifest: Manifest,
        functions: Mapping[str, Callable[..., Any]],
        params: Mapping[str, np.ndarray],
        devices: Sequence[jax.Device] | None = None,
    ):
        """See `wf_jax.export.load`; functions take (params, *inputs)."""
        self.manifest = manifest
        self._facts = manifest.amp
        self._rows = Rows(devices)
        flat, unpack = _packed(params)
        self._params = self._rows.everywhere(flat)

        def compiled(call: Callable[..., Any], donated: tuple[int, ...]) -> Callable[..., Any]:
            return jax.jit(
                lambda params, *inputs: call(unpack(params), *inputs),
                compiler_options=self._facts.compiler_options or None,
                donate_argnums=donated,
            )

        self._functions = {
            name: compiled(call, () if name == "init_state" else (1,))
            for name, call in functions.items()
        }
        self._silence: np.ndarray | None = None
        (self._state_size,) = manifest.functions["init_state"].outputs["state"].sizes()

    @property
    def sample_rate(self) -> float | None:
        """Hz, or None where the model's file does not say: 48,000 is usual."""
        return self._facts.sample_rate

    def render(self, x: np.ndarray) -> np.ndarray:
        """Plays signals of any length with silence before them: [B, T] -> float32 [B, T].

        With several channels [B, inputs, T] -> [B, outputs, T].

        Raises:
            UserError: an array of another shape or type.
        """
        x, chunk = self._signals(x), self._facts.chunk
        length, state, parts = x.shape[-1], self.init_state(len(x)), []
        longest = SIZES[-1] * chunk
        for first in range(0, length, longest):
            part = x[..., first : first + longest]
            chunks = -(-part.shape[-1] // chunk)
            size = next(size for size in SIZES if size >= chunks) * chunk
            filled = np.zeros((*x.shape[:-1], size), np.float32)
            filled[..., : part.shape[-1]] = part
            state, y = self._play("render", state, filled, np.int32(chunks))
            parts.append(y[..., : part.shape[-1]])
        return np.concatenate(parts, axis=-1)

    def init_state(self, batch: int = 1) -> jax.Array:
        """The state of `batch` sequences before their first sample: endless silence."""
        if self._silence is None:
            self._silence = np.asarray(self._functions["init_state"](self._params))
        return self._rows.placed(np.tile(self._silence, (batch, 1)))

    def step(self, state: jax.Array, block: np.ndarray) -> tuple[jax.Array, np.ndarray]:
        """Plays the next block of each sequence.

        Args:
            state: of `init_state` or `step`. It is given away: go on with the new one.
            block: [B, N], N one of the sizes that were asked for when the release was made; with
                several channels [B, inputs, N].

        Returns:
            The new state, and the output, float32 [B, N] or [B, outputs, N].

        Raises:
            UserError: an array of another shape or type.
        """
        block, blocks = self._signals(block), self._facts.blocks
        size = block.shape[-1]
        if size not in blocks:
            has = f"it has {', '.join(map(str, blocks))}" if blocks else "it has none"
            raise UserError(
                f"a block of {size} samples: {has}; export with --blocks={size}, or use render"
            )
        wanted = (len(block), self._state_size)
        if isinstance(state, jax.Array) and state.is_deleted():
            raise UserError("this state was given away; go on with the one that `step` returned")
        if jnp.shape(state) != wanted:
            raise UserError(
                f"state of shape {list(jnp.shape(state))} for a block of {len(block)} sequences: "
                f"give that of init_state({len(block)}), {list(wanted)}"
            )
        return self._play(f"step_{size}", state, block)

    def _play(
        self, name: str, state: jax.Array, x: np.ndarray, *others: Any
    ) -> tuple[jax.Array, np.ndarray]:
        (rows,) = self._rows.split(x)
        state, y = self._functions[name](self._params, state, rows, *others)
        return state, np.asarray(y)

    def _signals(self, x: np.ndarray) -> np.ndarray:
        inputs = self._facts.input_channels
        if inputs == 1:
            return floats(x, "audio", "[B, T]", {}, 2)
        return floats(x, "audio", f"[B, {inputs}, T]", {1: inputs}, 3)


def _packed(
    params: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, Callable[[jax.Array], dict[str, jax.Array]]]:
    """Packs all float32 arrays into one, since a call pays for each; returns the unpacking too."""
    shapes = {name: value.shape for name, value in params.items()}
    ends = np.cumsum([value.size for value in params.values()]).tolist()
    parts = list(zip(shapes.items(), [0, *ends], ends, strict=False))

    def unpack(flat: jax.Array) -> dict[str, jax.Array]:
        return {name: flat[a:b].reshape(shape) for (name, shape), a, b in parts}

    return np.concatenate([np.ravel(value) for value in params.values()]), unpack
