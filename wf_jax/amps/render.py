"""Audio of any length through a model, block by block in bounded memory."""

from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.amps.wavenet import CHUNK, State, WaveNet

BLOCK = 16 * CHUNK  # samples per call: enough that dispatching it does not count


@jax.jit
def _silence(model: WaveNet) -> State:
    return model.init_state(1)


@jax.jit
def _scan(model: WaveNet, state: State, x: jax.Array) -> tuple[State, jax.Array]:
    return model.scan(state, x)


def render(model: WaveNet, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Plays blocks one after the other, with silence before the first.

    Args:
        model: a mono model.
        blocks: float32 [n], any lengths; gathered into BLOCK samples, so that one program
            serves every file.

    Yields:
        float32 blocks, as many samples in all as went in.
    """
    state = _silence(model)
    waiting = np.zeros(0, np.float32)
    for block in blocks:
        waiting = np.concatenate([waiting, np.asarray(block, np.float32)])
        while len(waiting) >= BLOCK:
            state, y = _scan(model, state, jnp.asarray(waiting[None, :BLOCK]))
            waiting = waiting[BLOCK:]
            yield np.asarray(y)[0]
    if len(waiting):
        padded = np.pad(waiting, (0, BLOCK - len(waiting)))
        yield np.asarray(_scan(model, state, jnp.asarray(padded[None]))[1])[0, : len(waiting)]
