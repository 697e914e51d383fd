"""From mel spectrograms of any number and length to audio, in few compiled programs.

Short clips are filled up to one of few lengths; long ones are cut into chunks that carry the
context of the flows on both sides, so that the result is what one pass over the whole clip gives,
to float32 rounding (measured: see BUILD_NOTES, "Chunks"). A WaveNet's clips are never cut.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from wf_jax.flows.buckets import bucket, fill
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.flow import Flow
from wf_jax.mesh import DATA_AXIS, local_mesh

CHUNK = 1196  # frames; with the context of the paper's model 1456, an array length of `bucket`


@dataclasses.dataclass(frozen=True)
class Piece:
    """Frames `first` to `last` of a clip, computed from frames `before` to `after`."""

    clip: int
    before: int
    first: int
    last: int
    after: int

    @property
    def frames(self) -> int:
        """That go into the model."""
        return self.after - self.before


@functools.lru_cache(maxsize=1)  # the chunks of a long clip come one after another
def noise(seed: int, samples: int) -> np.ndarray:
    """Standard normal [T], float32: of a clip alone, whatever it is computed together with."""
    return np.random.default_rng(seed).standard_normal(samples, np.float32)


def draw_seed(seed: int) -> int:
    """The 32 bits that a head draws from what the noise does not give: see Flow.generate."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])  # not the noise's own


def context_frames(config: FlowConfig) -> int:
    """Frames on each side of a chunk: the context of the flows, and of the upsampler.

    For models whose clips can be cut: config.context_samples is not None.
    """
    flows = -(-config.context_samples // config.mel.hop)
    return _aligned(flows + config.upsampler_frames, config)


def pieces(clip: int, frames: int, config: FlowConfig, chunk: int = CHUNK) -> list[Piece]:
    """A clip of `frames` as one piece, or as chunks with their context where it can be cut."""
    if frames <= chunk or config.context_samples is None:
        return [Piece(clip, 0, 0, frames, frames)]
    context, chunk = context_frames(config), _aligned(chunk, config)
    return [
        Piece(
            clip,
            max(first - context, 0),
            first,
            min(first + chunk, frames),
            min(first + chunk + context, frames),
        )
        for first in range(0, frames, chunk)
    ]


def synthesize(
    model: Flow,
    mels: Sequence[np.ndarray],
    *,
    temperature: float = 1.0,
    seed: int = 0,
    chunk: int = CHUNK,
    batch_size: int | None = None,
    on_compile: Callable[[float], object] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Audio of every clip, as soon as it is complete.

    Args:
        model: of any family.
        mels: [M, F] each, F above 0.
        temperature: see Flow.generate; a new one compiles nothing.
        seed: of all that is drawn; a clip's audio depends on its mel, this, the temperature and
            nothing else.
        chunk: frames at once; more of them are computed in chunks.
        batch_size: pieces at once, one for each device if None.
        on_compile: is told the seconds that each compilation took.

    Yields:
        Number of the clip and its audio, float32 [F * hop].
    """
    config, count = model.config, batch_size or jax.local_device_count()
    hop = config.mel.hop
    todo = [piece for i, mel in enumerate(mels) for piece in pieces(i, mel.shape[1], config, chunk)]
    missing = np.bincount([piece.clip for piece in todo], minlength=len(mels))
    begun: dict[int, np.ndarray] = {}
    spec = NamedSharding(local_mesh(count), PartitionSpec(DATA_AXIS))
    everywhere = NamedSharding(spec.mesh, PartitionSpec())
    model, scalar = jax.device_put((model, np.float32(temperature)), everywhere)
    seeds = jax.device_put(np.full(count, draw_seed(seed), np.uint32), spec)
    for frames, batch in _batches(todo, count):
        drawn = [_noise_of(piece, mels[piece.clip], seed, hop) for piece in batch]
        c = [mels[piece.clip][:, piece.before : piece.after] for piece in batch]
        lengths = np.zeros(count, np.int32)
        lengths[: len(batch)] = [len(row) for row in drawn]
        arrays = (fill(drawn, frames * hop, count), fill(c, frames, count), lengths)
        arrays = (*jax.device_put(arrays, spec), seeds, scalar)
        result = np.asarray(_program(model, arrays, on_compile)(model, *arrays))
        for piece, row in zip(batch, result, strict=False):
            if piece.clip not in begun:
                begun[piece.clip] = np.zeros(mels[piece.clip].shape[1] * hop, np.float32)
            part = row[(piece.first - piece.before) * hop : (piece.last - piece.before) * hop]
            begun[piece.clip][piece.first * hop : piece.last * hop] = part
            missing[piece.clip] -= 1
            if not missing[piece.clip]:
                yield piece.clip, begun.pop(piece.clip)


def _noise_of(piece: Piece, mel: np.ndarray, seed: int, hop: int) -> np.ndarray:
    return noise(seed, mel.shape[1] * hop)[piece.before * hop : piece.after * hop]


_PROGRAMS: dict[Any, Callable[..., jax.Array]] = {}


def _program(
    model: Flow, arrays: tuple[jax.Array, ...], on_compile: Callable[[float], object] | None
) -> Callable[..., jax.Array]:
    """The compiled `_generate` for a model and arrays of these shapes."""
    leaves, structure = jax.tree.flatten((model, arrays))
    key = structure, tuple((leaf.shape, leaf.dtype, leaf.sharding) for leaf in leaves)
    if key not in _PROGRAMS:
        start = time.monotonic()
        _PROGRAMS[key] = _generate.lower(model, *arrays).compile()
        if on_compile:
            on_compile(time.monotonic() - start)
    return _PROGRAMS[key]


@jax.jit
def _generate(
    model: Flow,
    drawn: jax.Array,
    mel: jax.Array,
    lengths: jax.Array,
    seeds: jax.Array,
    temperature: jax.Array,
) -> jax.Array:
    return model.generate(drawn, seeds, mel, lengths, temperature)


def _batches(todo: list[Piece], size: int) -> Iterator[tuple[int, list[Piece]]]:
    """Pieces of one array length at a time, with that length in frames."""
    groups: dict[int, list[Piece]] = {}
    for piece in todo:
        groups.setdefault(bucket(piece.frames), []).append(piece)
    for frames, group in sorted(groups.items()):
        for first in range(0, len(group), size):
            yield frames, group[first : first + size]


def _aligned(frames: int, config: FlowConfig) -> int:
    """The next number of frames that is a whole number of columns."""
    step = config.group // math.gcd(config.group, config.mel.hop)
    return -(-frames // step) * step
