"""Audio of any length through a model, in bounded memory, on every core.

The state goes from one part of the file to the next; where several cores or devices take part, each
plays its own stretch of time and first what came before it, as far as the model remembers.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from wf_jax.amps.engines import AUTO, plays_natively
from wf_jax.amps.jax_form import Playable, compiler_options
from wf_jax.amps.model import State
from wf_jax.mesh import DATA_AXIS, local_mesh
from wf_jax.platforms import available_cores

if TYPE_CHECKING:
    from wf_jax.amps.native.stretches import NativeStretches

# Samples per device and call. Two devices each play 6,346 of an A2 twice, 0.6 % of it; at a quarter
# of this size they are 1.4 times as fast as one, here 1.7 times (nano).
BLOCK = 1 << 20


def render(
    model: Playable,
    blocks: Iterable[np.ndarray],
    devices: int | None = None,
    engine: str = AUTO,
) -> Iterator[np.ndarray]:
    """Plays blocks one after the other, with silence before the first.

    Args:
        model: a mono model.
        blocks: float32 [n], any lengths; gathered, so that one program serves every file.
        devices: how many to use; all of this process if None: its cores, or JAX's devices. A model
            that never forgets (LSTM) uses one.
        engine: "auto", "native" or "jax"; see `wf_jax.amps.engines`.

    Yields:
        float32 blocks, as many samples in all as went in.

    Raises:
        ValueError: the model is not mono.
        UserError: the native engine is asked for, and does not play the model.
    """
    if (model.input_channels, model.output_channels) != (1, 1):
        raise ValueError(
            f"a model with {model.input_channels} inputs and {model.output_channels} outputs; only "
            "mono models are rendered: play it with wf_jax.amps.player.Player"
        )
    player = _player(model, devices, engine)
    waiting: list[np.ndarray] = []
    size = 0
    for block in blocks:
        waiting.append(np.asarray(block, np.float32))
        size += len(waiting[-1])
        if size >= player.capacity:
            joined = _joined(waiting)
            while len(joined) >= player.capacity:
                yield player(joined[: player.capacity])
                joined = joined[player.capacity :]
            waiting, size = [joined], len(joined)
    if size:
        yield player(_joined(waiting))


def _joined(blocks: list[np.ndarray]) -> np.ndarray:
    """Returns them as one array; a file that came as one is not copied."""
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _player(model: Playable, devices: int | None, engine: str) -> "NativeStretches | _Stretches":
    if plays_natively(model, engine):
        from wf_jax.amps.native.stretches import NativeStretches

        return NativeStretches(model, devices or available_cores())
    devices = devices or jax.local_device_count()
    return _Stretches(model, devices if model.finite_memory else 1)


@jax.jit
def _silence(model: Playable) -> State:
    return model.silence()


class _Stretches:
    """Plays up to `capacity` samples a call, in equal stretches, one per device."""

    def __init__(self, model: Playable, devices: int):
        self._model, self._devices, self._chunk = model, devices, model.chunk
        before = model.receptive_field - 1 if devices > 1 else 0
        self._before = _ceil(before, self._chunk)
        self._longest = _ceil(BLOCK, self._chunk)
        self.capacity = devices * self._longest
        self._past = np.zeros(self._before, np.float32)
        self._play = _program(devices, self._before, tuple(compiler_options(model).items()))
        silence = _silence(model)
        self._state = jax.tree.map(lambda leaf: jnp.stack([leaf] * devices), silence)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        length = _ceil(-(-len(x) // self._devices), self._chunk)  # of one stretch
        joined = np.concatenate([self._past, x])
        rows = np.zeros((self._devices, self._before + self._longest), np.float32)
        for i, row in enumerate(rows):
            part = joined[i * length : i * length + self._before + length]
            row[: len(part)] = part
        chunks = np.int32((self._before + length) // self._chunk)
        state, y = self._play(self._model, self._state, rows, chunks)
        if self._devices == 1:
            self._state = state
        elif self._before:
            self._past = joined[-self._before :]
        return np.asarray(y)[:, :length].reshape(-1)[: len(x)]


@lru_cache
def _program(devices: int, before: int, options: tuple[tuple[str, int], ...]) -> Callable:
    """The compiled form of `_stretch` over several devices; one for all files."""
    mapped = jax.shard_map(
        partial(_stretch, before=before),
        mesh=local_mesh(devices),
        in_specs=(P(), P(DATA_AXIS), P(DATA_AXIS), P()),
        out_specs=(P(DATA_AXIS), P(DATA_AXIS)),
        check_vma=False,
    )
    return jax.jit(mapped, compiler_options=dict(options))


def _stretch(
    model: Playable, state: State, x: jax.Array, chunks: jax.Array, *, before: int
) -> tuple[State, jax.Array]:
    """One device's part: x [1, before + n] of which `chunks` chunks are real -> y [1, n]."""
    state = jax.tree.map(lambda leaf: leaf[0], state)
    state, y = model.scan(state, x, chunks)
    return jax.tree.map(lambda leaf: leaf[None], state), y[:, before:]


def _ceil(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple
