"""An amp as a stage of a live chain: blocks in, blocks out, by a release of `experiments.export`.

    python -m experiments.examples.amp_service RELEASE di.npy wet.npy

Needs jax, numpy, flatbuffers and wf_jax.export, which imports no model code.
"""

import sys
from collections.abc import Iterable, Iterator

import numpy as np

from wf_jax.export import Amp, ReleaseError, load


def play(amp: Amp, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Blocks [N] of mono audio through the amp, each as it comes; compiles at the first one."""
    state = amp.init_state(batch=1)
    for block in blocks:
        state, y = amp.step(state, block[None])
        yield y[0]


if __name__ == "__main__":
    try:
        released = load(sys.argv[1])
        di = np.load(sys.argv[2])
        size = released.manifest.amp.blocks[0]
        whole = di[: len(di) // size * size].reshape(-1, size)
        wet = np.concatenate(list(play(released, whole)))
        rest = released.render(di[None])[0]  # or all at once, the last samples too
        np.save(sys.argv[3], np.concatenate([wet, rest[len(wet) :]]))
    except ReleaseError as error:
        sys.exit(str(error))
