"""Synthesizes audio from any number of mels of any length, in few compiled programs.

Short clips are filled up to one of few lengths; long ones are cut into chunks that carry the
context of the flows on both sides, so that the result is what one pass over the whole clip gives,
to float32 rounding (measured: see BUILD_NOTES, "Chunks"). A WaveNet's clips are never cut. On a CPU
a WaveFlow is decoded by compiled code, see wf_jax/flows/native.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from wf_jax.audio.clips import CHUNK, Piece, bucket, fill, pieces
from wf_jax.audio.draws import clip_keys, draw
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.decoding import halves
from wf_jax.flows.flow import Flow
from wf_jax.mesh import DATA_AXIS, local_mesh
from wf_jax.native.engines import AUTO, natively
from wf_jax.platforms import choices

if TYPE_CHECKING:
    from wf_jax.flows.native.decoder import Decoder

OnCompile = Callable[[float], object]


def context_frames(config: FlowConfig) -> int:
    """Returns the frames on each side of a chunk: the context of the flows, and of the upsampler.

    For models whose clips can be cut: config.context_samples is not None.
    """
    flows = -(-config.context_samples // config.mel.hop_length)
    return aligned(flows + config.upsampler_frames, config)


def aligned(frames: int, config: FlowConfig) -> int:
    """Rounds frames up to a whole number of columns, at which a clip can be cut."""
    step = config.group // math.gcd(config.group, config.mel.hop_length)
    return -(-frames // step) * step


def clip_pieces(frames: int, config: FlowConfig, chunk: int = CHUNK) -> list[Piece]:
    """Returns a clip of `frames` as one piece, or as chunks with their context if it can be cut."""
    if config.context_samples is None:
        return pieces(frames, frames, 0)
    return pieces(frames, aligned(chunk, config), context_frames(config))


def synthesize(
    model: Flow,
    mels: Sequence[np.ndarray],
    *,
    temperature: float = 1.0,
    seed: int = 0,
    chunk: int = CHUNK,
    batch_size: int | None = None,
    engine: str = AUTO,
    on_compile: OnCompile | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the audio of every clip as soon as it is complete.

    Args:
        model: of any family.
        mels: [M, F] each, F above 0.
        temperature: factor on the deviation of what is drawn, applied in `Flow.generate`; another
            one compiles nothing.
        seed: of all that is drawn; a clip's audio depends on its mel, this, the temperature and
            nothing else. It is what model.sample(jax.random.key(seed), mel[None]) gives.
        chunk: frames at once; more of them are computed in chunks.
        batch_size: pieces at once; what suits the devices if None.
        engine: what decodes a WaveFlow, see `wf_jax.native.engines`.
        on_compile: called with the seconds of each compilation.

    Yields:
        Number of the clip and its audio, float32 [F * hop].

    Raises:
        UserError: compiled code is insisted on, and does not decode this model.
    """
    decoder = _decoder(model, engine, on_compile)
    config, hop = model.config, model.config.mel.hop_length
    todo = [
        (clip, piece)
        for clip, mel in enumerate(mels)
        for piece in clip_pieces(mel.shape[1], config, chunk)
    ]
    devices = jax.local_device_count()
    count = batch_size or devices * min(choices().clips, -(-len(todo) // devices))
    missing = np.bincount([clip for clip, _ in todo], minlength=len(mels))
    begun: dict[int, np.ndarray] = {}
    spec = NamedSharding(local_mesh(count), PartitionSpec(DATA_AXIS))
    everywhere = NamedSharding(spec.mesh, PartitionSpec())
    key = clip_keys(jax.random.key(seed), 1)[0]
    model, key, scalar = jax.device_put((model, key, np.float32(temperature)), everywhere)
    for frames, batch in _batches(todo, count):
        first, lengths = np.zeros(count, np.int32), np.zeros(count, np.int32)
        first[: len(batch)] = [piece.before for _, piece in batch]
        lengths[: len(batch)] = [piece.frames * hop for _, piece in batch]
        windows = [mels[clip][:, piece.before : piece.after] for clip, piece in batch]
        arrays = jax.device_put((first, fill(windows, frames, count), lengths), spec)
        arrays = (key, *arrays, scalar)
        result = _computed(model, arrays, decoder, on_compile)
        for (clip, piece), row in zip(batch, result, strict=False):
            if clip not in begun:
                begun[clip] = np.zeros(mels[clip].shape[1] * hop, np.float32)
            part = row[(piece.first - piece.before) * hop : (piece.last - piece.before) * hop]
            begun[clip][piece.first * hop : piece.last * hop] = part
            missing[clip] -= 1
            if not missing[clip]:
                yield clip, begun.pop(clip)


def _decoder(model: Flow, engine: str, on_compile: OnCompile | None) -> "Decoder | None":
    """Prepares the compiled code for a model; None where JAX decodes it."""
    from wf_jax.flows.native.shapes import why_not

    if not natively(engine, why_not(model), "decode this model"):
        return None
    from wf_jax.flows.native.decoder import Decoder

    start = time.monotonic()
    decoder = Decoder(model)
    if on_compile:
        on_compile(time.monotonic() - start)
    return decoder


def _computed(
    model: Flow,
    arrays: tuple[jax.Array, ...],
    decoder: "Decoder | None",
    on_compile: OnCompile | None,
) -> np.ndarray:
    """Computes `_drawn`, in one program or in two around the decoder."""

    def run(function: Callable[..., Any], *given: Any) -> Any:
        return jax.device_get(_program(function, given, on_compile)(*given))

    if decoder is None:
        return run(_generate, model, *arrays)
    x = decoder.decode(*run(_BEFORE, model, *arrays))
    return run(_AFTER, jax.device_put(x, arrays[1].sharding), model, *arrays)


_PROGRAMS: dict[Any, Callable[..., Any]] = {}


def _program(
    function: Callable[..., Any], given: tuple[Any, ...], on_compile: OnCompile | None
) -> Callable[..., Any]:
    """Compiles a function for a model and arrays of these shapes, once."""
    leaves, structure = jax.tree.flatten(given)
    shapes = tuple((leaf.shape, leaf.dtype, leaf.sharding) for leaf in leaves)
    key = function, structure, shapes
    if key not in _PROGRAMS:
        start = time.monotonic()
        _PROGRAMS[key] = function.lower(*given).compile()
        if on_compile:
            on_compile(time.monotonic() - start)
    return _PROGRAMS[key]


def _drawn(
    model: Flow,
    key: jax.Array,
    first: jax.Array,
    mel: jax.Array,
    lengths: jax.Array,
    temperature: jax.Array,
) -> jax.Array:
    noise, seeds = draw(jnp.broadcast_to(key, first.shape), first, mel, model.config.mel.hop_length)
    return model.generate(noise, seeds, mel, lengths, temperature)


_generate = jax.jit(_drawn)
_BEFORE, _AFTER = halves(_drawn)


def _batches(
    todo: list[tuple[int, Piece]], size: int
) -> Iterator[tuple[int, list[tuple[int, Piece]]]]:
    """Yields pieces of one array length, each with its clip, and that length in frames."""
    groups: dict[int, list[tuple[int, Piece]]] = {}
    for clip, piece in todo:
        groups.setdefault(bucket(piece.frames), []).append((clip, piece))
    for frames, group in sorted(groups.items()):
        for first in range(0, len(group), size):
            yield frames, group[first : first + size]
