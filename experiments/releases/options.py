"""The options of a release, checked before JAX is loaded."""

import dataclasses
from collections.abc import Sequence

from wf_jax.errors import UserError
from wf_jax.export.manifest import PLATFORMS

LONGEST = 1 << 20  # samples of a block


@dataclasses.dataclass(frozen=True)
class ReleaseOptions:
    """The options of a release; see the flags of experiments.export."""

    platforms: tuple[str, ...]
    dtype: str | None = None
    blocks: tuple[int, ...] = (64,)
    size: float = 1.0
    license: str = ""


def platforms_of(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the named platforms, each once.

    Raises:
        UserError: none, or an unknown one.
    """
    wrong = sorted(set(names) - set(PLATFORMS))
    if wrong or not names:
        known = ", ".join(PLATFORMS)
        raise UserError(f"--platforms={','.join(wrong)}: give one or more of {known}")
    return tuple(dict.fromkeys(names))


def blocks_of(texts: Sequence[str]) -> tuple[int, ...]:
    """Returns sizes of blocks, in samples, each once and in order.

    Raises:
        UserError: one is no number of samples.
    """
    for text in texts:
        if not text.isdecimal() or not 1 <= int(text) <= LONGEST:
            raise UserError(f"--blocks: {text!r} is no number of samples from 1 to {LONGEST:,}")
    return tuple(sorted({int(text) for text in texts}))
