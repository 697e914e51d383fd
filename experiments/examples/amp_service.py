"""An amp as a stage of a live chain: blocks in, blocks out, by a release of `experiments.export`.

    python -m experiments.examples.amp_service RELEASE di.npy wet.npy

Needs jax, numpy, flatbuffers and wf_jax.export, which imports no model code.
"""

import sys
from collections.abc import Iterable, Iterator

import numpy as np

from wf_jax.errors import UserError
from wf_jax.export import Amp, load


def play(amp: Amp, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Plays blocks [N] of mono audio through the amp, one by one; compiles at the first one."""
    state = amp.init_state(batch=1)
    for block in blocks:
        state, y = amp.step(state, block[None])
        yield y[0]


def run(release: str, source: str, target: str) -> None:
    """Plays mono audio [T] of a .npy; pads the last block with silence."""
    amp = load(release)
    if not isinstance(amp, Amp):
        raise UserError(f"{release}: a vocoder, which takes mels; name an amp's release")
    di, size = np.load(source), amp.manifest.amp.blocks[0]
    blocks = np.pad(di, (0, -len(di) % size)).reshape(-1, size)
    np.save(target, np.concatenate([di[:0], *play(amp, blocks)])[: len(di)])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python -m experiments.examples.amp_service RELEASE di.npy wet.npy")
    try:
        run(*sys.argv[1:4])
    except (OSError, ValueError) as error:
        sys.exit(str(error))
