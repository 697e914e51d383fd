import numpy as np
import pytest

from data_pipeline.captures import LEVEL_DBFS, Lesson
from data_pipeline.lessons import take_lesson
from wf_jax.errors import UserError

RATE = 48000
FILES = (("pedal.nam", "aa"), ("amp.nam", "bb"))
SIZES = {"receptive_field": 100, "window": 1000, "batch_size": 2}


@pytest.fixture
def di(rng):
    return (0.1 * rng.normal(size=4 * RATE)).astype(np.float32)


def late(x):
    return (np.concatenate([np.zeros(37), 0.5 * np.tanh(x)])[: len(x)] + 0.01).astype(np.float32)


def taken(di, *repairs, play=late, **options):
    lesson = Lesson("amp", FILES, "di.wav", repairs)
    return take_lesson(play, di, RATE, lesson, validation_seconds=1.0, **SIZES | options)


def test_the_output_is_what_the_teacher_plays(di):
    capture = taken(di)
    np.testing.assert_array_equal(capture.input_train, di[: 3 * RATE])
    np.testing.assert_array_equal(capture.input_validation, di[3 * RATE :])
    both = np.concatenate([capture.output_train, capture.output_validation])
    np.testing.assert_allclose(both, capture.output_gain * late(di), rtol=1e-6)
    level = 10 * np.log10(np.mean(capture.output_train.astype(np.float64) ** 2))
    assert level == pytest.approx(LEVEL_DBFS, abs=1e-4)
    assert capture.latency.samples == 0
    assert "after 37 samples, which the copy keeps" in capture.latency.describe(RATE)
    at_once = taken(di, "latency", play=lambda x: np.tanh(x)).latency
    assert at_once.describe(RATE) == "the teacher answers with its first sample"


def test_repairs_take_latency_and_offset_away(di):
    capture = taken(di, "latency", "dc")
    assert capture.latency.samples == 37
    clean = 0.5 * np.tanh(capture.input_train.astype(np.float64))
    np.testing.assert_allclose(capture.output_train / capture.output_gain, clean, atol=1e-6)
    assert len(capture.input_validation) == len(capture.output_validation) == RATE
    assert "answers after 37 samples, trained away" in capture.latency.describe(RATE)


@pytest.mark.parametrize(("repair", "delay", "offset"), [("latency", 0, 0.01), ("dc", 37, 0.0)])
def test_each_repair_alone(di, repair, delay, offset):
    capture = taken(di, repair)
    y = np.concatenate([np.zeros(delay), 0.5 * np.tanh(di)])[: 3 * RATE - 37] + offset
    found = capture.output_train[: len(y)] / capture.output_gain
    np.testing.assert_allclose(found, y, atol=1e-6)


def test_it_says_where_it_comes_from(di):
    capture = taken(di, "dc")
    assert (capture.name, capture.lesson.teacher) == ("amp", "pedal.nam > amp.nam")
    assert capture.lesson.metadata(0.01) == {
        "files": [{"file": "pedal.nam", "sha256": "aa"}, {"file": "amp.nam", "sha256": "bb"}],
        "esr": 0.01,
        "repaired": ["dc"],
    }


def test_an_unstable_teacher_is_refused_in_spite_of_ignore_checks(di):
    with pytest.raises(UserError, match="is unstable, it plays NaN in silence"):
        taken(di, play=lambda x: np.full(len(x), np.nan), ignore_checks=True)


def test_too_little_playing_is_refused(di):
    with pytest.raises(UserError, match=r"di\.wav: 4\.00 s leave 3\.00 s of training, but the"):
        taken(di, batch_size=200)
    with pytest.raises(UserError, match=r"make the validation part 1\.05 s or longer"):
        taken(di, receptive_field=49_000)


def test_a_silent_end_is_refused(di):
    di[3 * RATE :] = 0.0
    with pytest.raises(UserError, match=r"di\.wav: the held-out part \(3\.00 to 4\.00 s\) is sil"):
        taken(di)
