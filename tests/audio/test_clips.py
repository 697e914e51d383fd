"""Clips in few array lengths, and long ones in pieces: nothing is lost or repeated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wf_jax.audio.clips import SMALLEST, bucket, clip_mel, fill, pieces, windows
from wf_jax.audio.mel import MelSettings, mel_of_clips, mel_spectrogram


def test_buckets_are_few_and_close():
    """Bucket lengths exceed the clip by 19 % at most, with four per factor of two."""
    sizes = [bucket(n) for n in range(1, 3000)]
    assert sizes[0] == SMALLEST == 64
    assert sizes == sorted(sizes)
    assert len(set(sizes)) <= 4 * 6 + 1
    for n, size in enumerate(sizes, 1):
        assert size >= n
        assert size % 16 == 0
        assert bucket(size) == size
        if n > 64:
            assert size < 1.25 * n + 16


def test_fill():
    rows = fill([np.ones((2, 3)), np.ones((2, 1))], 4, 3)
    assert rows.dtype == np.float32
    assert rows[:, 0].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 20000])
@pytest.mark.parametrize("center", [True, False])
def test_clip_mel_is_that_of_the_clip(rng, samples, center):
    settings, x = MelSettings(center=center), 0.1 * rng.standard_normal(samples, np.float32)
    np.testing.assert_allclose(
        clip_mel(x, settings), mel_spectrogram(x, settings), rtol=1e-4, atol=1e-4
    )


@pytest.mark.slow
def test_mels_of_clips_in_one_array(rng):
    """Each mel equals that of the clip alone, with silence after it."""
    settings, lengths = MelSettings(), np.array([3000, 513, 256, 1])
    clips = [0.1 * rng.standard_normal(n, np.float32) for n in lengths]
    found = np.asarray(mel_of_clips(fill(clips, 16 * 256, 4), lengths, settings))
    for clip, mel in zip(clips, found, strict=True):
        frames = settings.frames(len(clip))
        expected = mel_spectrogram(clip, settings)
        np.testing.assert_allclose(np.exp(mel[:, :frames]), np.exp(expected), atol=1e-5)
        np.testing.assert_array_equal(mel[:, frames:], np.float32(np.log(settings.floor)))


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 12), st.integers(0, 15))
def test_windows_of_a_clip_that_arrives(portions, chunk, context):
    """Any division gives the pieces of the whole clip, each as soon as it can be."""
    total = sum(portions)
    clip, arrived = np.arange(total)[None], 0

    def blocks():
        nonlocal arrived
        for portion in portions:
            arrived += portion
            yield clip[:, arrived - portion : arrived]

    found, spoken = [], 0
    for piece, window in windows(blocks(), chunk, context):
        np.testing.assert_array_equal(window[0], np.arange(piece.before, piece.after))
        assert piece.first == spoken
        # It waited for its context, or for the end of the clip.
        assert arrived >= piece.last + context or arrived == total
        spoken = piece.last
        found.append(piece)
    assert spoken == total
    if total > chunk:
        assert found == pieces(total, chunk, context)
