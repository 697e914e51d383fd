"""A released vocoder: mel, synthesis and likelihood, by functions that need no model code."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.audio.clips import CHUNK, Piece, bucket, fill, pieces, windows
from wf_jax.audio.draws import KEY_KIND, clip_keys
from wf_jax.errors import UserError
from wf_jax.export.manifest import Manifest
from wf_jax.export.rows import Rows, counts, floats

STREAMED = 32  # frames of a piece of a clip that is still arriving


class Vocoder:
    """A released vocoder, run by the functions of its release on arrays of any batch and length.

    Results are float32 NumPy arrays. Clips are filled up to few lengths, so that few programs are
    compiled; every number of clips in a batch is compiled by itself.

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
        self._facts = manifest.vocoder
        self._rows = Rows(devices)
        self._params = self._rows.everywhere(dict(params))
        self._functions = {name: jax.jit(call) for name, call in functions.items()}

    @property
    def sample_rate(self) -> int:
        """Sample rate of all audio, Hz."""
        return self._facts.sample_rate

    @property
    def hop(self) -> int:
        """Samples of a mel frame."""
        return self._facts.hop

    def mel(self, audio: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Computes mel spectrograms as in the model's training.

        Args:
            audio: floats [B, T], full scale 1.
            lengths: [B], samples of each clip; None: all T.

        Returns:
            [B, M, ceil(T / hop)], natural log of magnitudes; silence after a clip's end.

        Raises:
            UserError: an array of another shape or type.
        """
        audio = floats(audio, "audio", "[B, T]", {}, 2)
        lengths = counts(lengths, "lengths", len(audio), audio.shape[1])
        audio = _silent_after(audio, lengths)
        frames = -(-audio.shape[1] // self.hop)
        filled = fill(audio, self._size(frames) * self.hop, len(audio))
        return self._call("mel", filled, lengths)[:, :, :frames]

    def synthesize(
        self,
        mel: np.ndarray,
        key: jax.Array,
        temperature: float = 1.0,
        frames: np.ndarray | None = None,
        *,
        chunk: int = CHUNK,
    ) -> np.ndarray:
        """Synthesizes audio of mels, as `Flow.sample` of the model does for the same key.

        Args:
            mel: floats [B, M, F], natural log of magnitudes, as `mel` makes them.
            key: of `jax.random.key`; the first clip's audio does not depend on the others. Or a key
                for each clip, [B], whose audio is then what it is alone.
            temperature: 1 draws from the model; less is calmer, 0 takes no noise.
            frames: [B], of each clip; None: all F.
            chunk: longer clips are made in pieces of so many frames, with their context.

        Returns:
            [B, F * hop], full scale 1, not limited; zero after a clip's end. A model of clips that
            were scaled to a peak of 0.999 (manifest.vocoder.mel) speaks at that level.

        Raises:
            UserError: an array of another shape or type, or a wrong temperature.
        """
        facts, hop = self._facts, self.hop
        mel = floats(mel, "mel", f"[B, {facts.bands}, F]", {1: facts.bands}, 3)
        count, _, total = mel.shape
        frames = counts(frames, "frames", count, total)
        keys, temperature = self._drawing(key, count, temperature)
        audio = np.zeros((count, total * hop), np.float32)
        for piece in pieces(total, *self._cut(total, chunk, facts.context_frames)):
            window = mel[:, :, piece.before : piece.after]
            window = fill(window, self._size(piece.frames), count)
            first = np.full(count, piece.before, np.int32)
            lengths = hop * np.clip(frames - piece.before, 0, piece.frames)
            new = self._call("synthesize", window, keys, first, lengths, shared=(temperature,))
            new = new[:, (piece.first - piece.before) * hop : (piece.last - piece.before) * hop]
            audio[:, piece.first * hop : piece.last * hop] = new
        return audio

    def stream(
        self,
        blocks: Iterable[np.ndarray],
        key: jax.Array,
        temperature: float = 1.0,
        *,
        chunk: int = STREAMED,
        context: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Synthesizes one clip while its mel is still arriving.

        A chunk is spoken as soon as `context` frames after it are there. With the model's own
        context, the default, the parts are what `synthesize` gives for the whole, to rounding;
        with less they begin sooner, with an error: docs/benchmarks.md, "Streaming".

        Args:
            blocks: floats [M, n], the next frames, any number of them at a time.
            key: as in `synthesize`.
            temperature: likewise.
            chunk: frames that are spoken at once.
            context: frames on both sides that a chunk is computed with.

        Yields:
            The next samples [chunk * hop]; fewer at the end.

        Raises:
            UserError: as `synthesize`, or a model whose clips are made in one piece.
        """
        facts = self._facts
        if facts.context_frames is None:
            raise UserError(
                f"{self.manifest.name}: every sample depends on all before it, so that a clip is "
                "made in one piece; use synthesize"
            )
        context = facts.context_frames if context is None else context
        chunk, context = self._cut(0, chunk, context)
        keys, temperature = self._drawing(key, 1, temperature)
        checked = (
            floats(block, "mel", f"[{facts.bands}, n]", {0: facts.bands}, 2)
            for block in blocks
            if np.shape(block)[-1:] != (0,)
        )
        return self._spoken(
            windows(checked, chunk, context), chunk + 2 * context, keys, temperature
        )

    def _spoken(
        self,
        parts: Iterator[tuple[Piece, np.ndarray]],
        longest: int,
        keys: np.ndarray,
        temperature: np.float32,
    ) -> Iterator[np.ndarray]:
        """Synthesizes each piece of a clip, in arrays of one length."""
        hop, size = self.hop, self._size(longest)
        for piece, window in parts:
            first = np.full(1, piece.before, np.int32)
            lengths = np.full(1, piece.frames * hop, np.int32)
            window = fill([window], size, 1)
            new = self._call("synthesize", window, keys, first, lengths, shared=(temperature,))
            yield new[0, (piece.first - piece.before) * hop : (piece.last - piece.before) * hop]

    def log_prob(
        self, audio: np.ndarray, mel: np.ndarray, lengths: np.ndarray | None = None
    ) -> np.ndarray:
        """Computes the log-likelihood of audio at its own level, in nats per sample, [B].

        Args:
            audio: floats [B, T], full scale 1.
            mel: floats [B, M, F], F * hop at least T.
            lengths: [B], samples of each clip; None: all T.

        Raises:
            UserError: arrays of other shapes or types, or a mel that is too short.
        """
        bands, hop = self._facts.bands, self.hop
        audio = floats(audio, "audio", "[B, T]", {}, 2)
        form = f"[{len(audio)}, {bands}, F]"
        mel = floats(mel, "mel", form, {0: len(audio), 1: bands}, 3)
        frames = -(-audio.shape[1] // hop)
        if mel.shape[2] < frames:
            raise UserError(
                f"{audio.shape[1]} samples are more than {mel.shape[2]} mel frames of hop {hop} "
                f"stand for; give {frames} frames or fewer samples"
            )
        lengths = counts(lengths, "lengths", len(audio), audio.shape[1])
        audio, size = _silent_after(audio, lengths), self._size(frames)
        filled = fill(audio, size * hop, len(audio)), fill(mel[:, :, :frames], size, len(audio))
        return self._call("log_prob", *filled, lengths)

    def _call(self, name: str, *rows: np.ndarray, shared: tuple[Any, ...] = ()) -> np.ndarray:
        return np.asarray(self._functions[name](self._params, *self._rows.split(*rows), *shared))

    def _cut(self, total: int, chunk: int, context: int | None) -> tuple[int, int]:
        """Chunk and context in whole columns of the model; all of a clip that cannot be cut."""
        if context is None:
            return total, 0
        whole = isinstance(chunk, int | np.integer) and isinstance(context, int | np.integer)
        if not whole or chunk < 1 or context < 0:
            raise UserError(f"chunk {chunk}, context {context}: give 1 or more, 0 or more frames")
        step = self._facts.cut_frames
        return -(-chunk // step) * step, -(-context // step) * step

    def _size(self, frames: int) -> int:
        """The array length, in frames, for so many."""
        step = self._facts.cut_frames
        return -(-max(bucket(frames), self._facts.smallest_frames) // step) * step

    def _drawing(
        self, key: jax.Array, clips: int, temperature: float
    ) -> tuple[np.ndarray, np.float32]:
        """The data of every clip's key, uint32 [B, 2], and the temperature."""
        number = isinstance(temperature, int | float | np.number)
        if not number or not 0 <= temperature < math.inf:
            raise UserError(f"temperature {temperature!r} is not a number of 0 or more; give 1")
        typed = _typed(key)
        if typed.shape not in ((), (clips,)):
            raise UserError(f"keys of shape {list(typed.shape)}: give one, or {clips}")
        keys = clip_keys(typed, clips) if not typed.shape else _alone(typed)
        return np.asarray(jax.random.key_data(keys)), np.float32(temperature)


def _silent_after(audio: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns audio [B, T] with zeros after the end of each clip."""
    return np.where(np.arange(audio.shape[1]) < lengths[:, None], audio, 0)


@jax.vmap
def _alone(key: jax.Array) -> jax.Array:
    """Returns the key of a clip that is the first of a batch."""
    return clip_keys(key, 1)[0]


def _typed(key: Any) -> jax.Array:
    """Converts one key or several, also those of the old kind, to typed ones.

    Raises:
        UserError: it is no key, or of another kind than the artifacts take.
    """
    remedy = f'give jax.random.key(seed, impl="{KEY_KIND}")'
    if not isinstance(key, jax.Array):
        raise UserError(f"key {key!r} is none: {remedy}")
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        kind = str(jax.random.key_impl(key))
        if kind != KEY_KIND:
            raise UserError(f"key of kind {kind}: {remedy}")
        return key
    if key.shape[-1:] != (2,) or key.dtype != np.uint32:
        raise UserError(f"key of {key.dtype} {list(key.shape)}: {remedy}")
    return jax.random.wrap_key_data(key, impl=KEY_KIND)
