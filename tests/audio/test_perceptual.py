import sys

import numpy as np
import pytest

from data_pipeline.synthetic_speech import synthetic_speech
from wf_jax.audio.judge_packages import PACKAGES, absent, package
from wf_jax.audio.perceptual import perceptual_scores
from wf_jax.audio.world import harvest_pitch, world_resynthesis
from wf_jax.errors import UserError

RATE = 22050


@pytest.fixture(scope="module")
def clip():
    return synthetic_speech(2.0, RATE, seed=3)


def rough(x, level):
    return x + level * np.random.default_rng(0).normal(size=len(x)).astype(np.float32)


@pytest.mark.parametrize(("name", "best"), [("pesq", 4.644), ("zimtohrli", 5.0)])
def test_equal_clips_are_best_and_noise_lowers_the_score(clip, name, best):
    pytest.importorskip(name)
    levels = (0, 1e-3, 1e-2, 1e-1)
    values = [perceptual_scores(clip, rough(clip, level), RATE)[name] for level in levels]
    assert values[0] == pytest.approx(best, abs=1e-3)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 2.5


def test_pesq_is_that_of_the_package_at_16_khz():
    pesq = pytest.importorskip("pesq")
    x = synthetic_speech(2.0, 16000, seed=3)
    expected = pesq.pesq(16000, x, rough(x, 0.01), "wb")
    assert perceptual_scores(x, rough(x, 0.01), 16000)["pesq"] == pytest.approx(expected, abs=1e-4)


def test_what_no_package_takes_has_no_score(clip):
    """Short, silent and wild clips: several of them would crash the packages."""
    pytest.importorskip("pesq")
    none = dict.fromkeys(perceptual_scores(clip, clip, RATE))
    assert perceptual_scores(clip[:5000], clip[:5000], RATE) == none
    assert perceptual_scores(clip, 0 * clip, RATE) == none
    assert perceptual_scores(0 * clip, clip, RATE) == none
    for factor in (1e-30, 1e30):
        scores = perceptual_scores(clip, np.float32(factor) * clip, RATE)
        assert np.isfinite([value for value in scores.values() if value is not None]).all()


def test_long_clips_are_judged_by_their_beginning(clip):
    """Of a PESQ with more than fifty utterances the process would end."""
    pytest.importorskip("pesq")
    long = np.tile(np.concatenate([clip[:4500], np.zeros(4500, np.float32)]), 200)
    worse = long.copy()
    worse[21 * RATE :] = 0
    assert perceptual_scores(long, worse, RATE) == perceptual_scores(long, long, RATE)


def test_scores_of_absent_packages_are_absent(clip, monkeypatch):
    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)
    assert package("pesq") is None
    assert perceptual_scores(clip, clip, RATE) == {}
    assert absent() == (
        "without PESQ, Zimtohrli, WORLD and its pitch: pip install 'wf_jax[judge]' "
        "(Zimtohrli: Linux, x86-64)"
    )


def test_without_world_a_line_names_it(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyworld", None)
    for call in (lambda: harvest_pitch(clip, RATE), lambda: world_resynthesis(clip, clip, RATE)):
        with pytest.raises(UserError, match=r"takes the package pyworld: pip install 'wf_jax\["):
            call()
