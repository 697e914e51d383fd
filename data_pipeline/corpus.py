"""A prepared corpus of speech clips, and windows drawn from it for training.

A folder of recordings becomes a corpus by `corpus_preparation.prepare_corpus`, once; training then
only maps it into memory. A batch is a pure function of (seed, step), so a training run that is
continued sees the data it would have seen.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from data_pipeline.corpus_files import check_audio, map_audio
from data_pipeline.corpus_index import SPLITS, Clip, Index, read_index
from wf_jax.errors import UserError
from wf_jax.levels import FULL_SCALE, peak_gain
from wf_jax.random_streams import random_stream


@dataclass(frozen=True, eq=False)
class Corpus:
    """Clips of one sample rate, memory-mapped.

    Attributes:
        folder: the folder as the user named it.
        index: the content of index.json.
    """

    folder: Path
    index: Index
    _audio: np.ndarray = field(repr=False)  # int16 [total samples]

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Opens a prepared corpus by memory mapping, in milliseconds whatever its size.

        Raises:
            UserError: no such folder, not prepared, damaged, or of another version. One line.
        """
        folder = Path(folder)
        index = read_index(folder)
        return cls(folder, index, map_audio(folder, index.samples))

    @property
    def sample_rate(self) -> int:
        """Sample rate of all clips, Hz."""
        return self.index.sample_rate

    @property
    def clips(self) -> tuple[Clip, ...]:
        """All clips in the order of the audio."""
        return self.index.clips

    def select(self, split: str) -> tuple[Clip, ...]:
        """Returns the clips of "train" or "validation", in the order of the audio.

        Raises:
            ValueError: another name.
        """
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is unknown; choose {' or '.join(SPLITS)}")
        return tuple(clip for clip in self.clips if clip.split == split)

    def audio(self, clip: Clip) -> np.ndarray:
        """Returns the clip's samples, int16 [clip.samples]: a read-only view without a copy."""
        return self._audio[clip.start : clip.start + clip.samples]

    def check(self) -> None:
        """Reads the whole audio file and compares its SHA-256.

        Raises:
            UserError: the file is not the one that was written.
        """
        check_audio(self.folder, self.index)


class Windows:
    """Random windows with context from one split; every start position is equally likely.

    A clip of L samples has max(1, L - window + 1) start positions and is drawn in proportion.

    A row is [before | window | after] samples. In a clip that fills the window, the context is the
    clip's own samples where it has them; beyond its two ends it is reflected, as by `numpy.pad` of
    the whole clip with mode "reflect". A clip shorter than the window starts at the window's start:
    its left context is the reflection as well, but all that follows its end is zero, in window and
    context, since a reflection would pass for real samples in the window.
    """

    def __init__(
        self,
        corpus: Corpus,
        split: str,
        window: int,
        before: int,
        after: int,
        batch_size: int,
        seed: int,
        peak_normalize: bool = False,
    ):
        """Draws from the clips of `split`.

        Args:
            corpus: the corpus to draw from.
            split: "train" or "validation".
            window: samples, 1 or more.
            before: samples of context on the left, 0 or more.
            after: samples of context on the right, 0 or more.
            batch_size: windows in a batch, B.
            seed: 0 or more.
            peak_normalize: bring each clip's peak to 0.999, silence excepted; see
                wf_jax.levels.peak_gain.

        Raises:
            ValueError: a size or the seed is out of range.
            UserError: no clips in the split.
        """
        lowest = {"window": 1, "before": 0, "after": 0, "batch_size": 1, "seed": 0}
        given = (window, before, after, batch_size, seed)
        for (name, low), value in zip(lowest.items(), given, strict=True):
            if value < low:
                raise ValueError(f"{name} {value} is too small; choose {low} or more")
        self._corpus, self._clips = corpus, corpus.select(split)
        if not self._clips:
            raise UserError(f"{corpus.folder}: no {split} clips; prepare with --validation=1")
        self._window, self._before, self._after = window, before, after
        self._batch_size, self._seed = batch_size, seed
        lengths = np.array([clip.samples for clip in self._clips])
        self._positions = np.maximum(1, lengths - window + 1)
        self._ends = np.cumsum(self._positions)
        self._gains = np.ones(len(lengths), np.float32)
        if peak_normalize:
            self._gains[:] = [peak_gain(clip.peak) for clip in self._clips]

    def batch(self, step: int, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Returns rows of the batch of a step, a pure function of (seed, step).

        Args:
            step: 0 or more.
            rows: row numbers, int [B]; all of the batch if None. Only these are read.

        Returns:
            audio: float32 [B, before + window + after], full scale is 1.0, times the gain.
            length: int32 [B], real samples in the window: all, or those of a shorter clip.
            gain: float32 [B], factor on the audio; 1.0 without peak normalization.
        """
        chosen, starts = self._draw(step)
        if rows is not None:
            chosen, starts = chosen[rows], starts[rows]
        width = self._before + self._window + self._after
        audio = np.empty((len(chosen), width), np.float32)  # [B, before + window + after]
        length = np.empty(len(chosen), np.int32)
        gain = self._gains[chosen]
        for row, (number, start) in enumerate(zip(chosen, starts, strict=True)):
            clip = self._clips[number]
            length[row] = min(clip.samples, self._window)
            audio[row] = self._row(self._corpus.audio(clip), int(start))
        audio *= gain[:, None] / np.float32(FULL_SCALE)  # exact where the gain is 1
        return {"audio": audio, "length": length, "gain": gain}

    def names(self, step: int) -> list[str]:
        """Names the start of each window of `batch(step)`: "LJ001-0003 at 1.234 s"."""
        rate = self._corpus.sample_rate
        chosen, starts = self._draw(step)
        return [
            f"{self._clips[number].name} at {start / rate:.3f} s"
            for number, start in zip(chosen, starts, strict=True)
        ]

    def _draw(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws clip numbers [B] and start positions in these clips [B], in samples."""
        drawing = random_stream(self._seed, step)
        drawn = drawing.integers(self._ends[-1], size=self._batch_size)
        chosen = np.searchsorted(self._ends, drawn, side="right")
        return chosen, drawn - (self._ends - self._positions)[chosen]

    def _row(self, clip: np.ndarray, start: int) -> np.ndarray:
        """Returns int16 [before + window + after] with the window at `start` of the clip [L]."""
        first, last = start - self._before, start + self._window + self._after
        inside = clip[max(first, 0) : last]
        if len(inside) == last - first:
            return inside
        left = clip[_reflect(np.arange(first, 0), len(clip))]
        beyond = np.arange(len(clip), last)
        if len(clip) < self._window:
            right = np.zeros(len(beyond), clip.dtype)
        else:
            right = clip[_reflect(beyond, len(clip))]
        # Both ends are empty where the row does not reach beyond them.
        return np.concatenate([left, inside, right])


def _reflect(position: np.ndarray, length: int) -> np.ndarray:
    """Maps positions of any size to 0 .. length - 1, mirrored at the first and last sample."""
    period = max(1, 2 * (length - 1))  # a single sample has no neighbors and is repeated
    position = position % period
    return np.minimum(position, period - position) if length > 1 else position
