import numpy as np
import pytest

from data_pipeline.teacher_checks import examine

RATE = 48000
TONE = np.sin(0.05 * np.arange(4 * RATE))
GROWING = TONE * np.exp(np.arange(len(TONE)) / RATE)


def amp(x):
    """Answers at once, saturates, and is silent in silence."""
    return np.tanh(3 * x)


def late(x, samples=37, offset=0.01):
    return np.concatenate([np.zeros(samples), amp(x)])[: len(x)] + offset


def said(play, repairs=()):
    found = examine(play, "amp.nam", RATE, repairs)
    return found, {f.check: f for f in found.findings if f.level != "ok"}


def test_a_sound_teacher_has_no_faults():
    found, faults = said(amp)
    assert (found.onset, found.offset, faults) == (0, 0.0, {})


@pytest.mark.parametrize("rate", [22050, 48000, 96000])
@pytest.mark.parametrize("samples", [24, 37, 960])
def test_latency_and_offset_are_measured(rate, samples):
    found = examine(lambda x: late(x, samples), "amp.nam", rate)
    assert found.onset == samples
    assert found.offset == pytest.approx(0.01)


def test_latency_and_offset_are_said_with_their_repair():
    _, faults = said(late)
    assert faults["latency"].level == faults["DC offset"].level == "warning"
    assert faults["latency"].line() == (
        "amp.nam: answers 37 samples (0.77 ms) late, a latency that the copy will have too; "
        "train it away with --config.data.repair=latency"
    )
    assert "amp.nam: plays +0.01 in silence" in faults["DC offset"].line()
    assert "--config.data.repair=dc" in faults["DC offset"].line()


def test_repaired_faults_are_notes():
    _, faults = said(late, ("latency", "dc"))
    assert {f.level for f in faults.values()} == {"note"}
    assert all("trained away" in f.line() for f in faults.values())


def test_an_early_shimmer_does_not_hide_the_latency():
    found, _ = said(lambda x: late(x) + 0.002 * x)
    assert found.onset == 37


def test_quiet_answers_count_as_well():
    """An expander that leaves only soft clicks undelayed answers at once."""
    found, _ = said(lambda x: np.where(np.abs(x) < 0.1, x, 0.0) + late(x, offset=0.0))
    assert found.onset == 0


@pytest.mark.parametrize(
    ("play", "message"),
    [
        (lambda x: np.where(np.abs(x) > 0.9, np.nan, x), "plays NaN at full-scale input"),
        (lambda x: np.full(len(x), np.nan), "plays NaN in silence"),
        (lambda x: np.where(np.abs(x) > 0.9, np.inf, x), "plays inf at full-scale input"),
        (lambda x: 1e8 * x, "plays 5e+07 at full-scale input"),
        (
            lambda x: x + 0.001 * GROWING[: len(x)],
            "grows by 2 dB in silence;",
        ),
    ],
)
def test_what_is_unstable_is_refused(play, message):
    _, faults = said(play)
    (fault,) = faults.values()
    assert fault.level == "error"
    assert not fault.ignorable
    assert fault.message.startswith("amp.nam: is unstable, ")
    assert message in fault.line()


def test_growth_after_playing_is_refused():
    def play(x):
        silent_before = np.arange(len(x)) < 3 * RATE
        return x + np.where(silent_before, 0.0, 0.01 * GROWING[: len(x)])

    _, faults = said(play)
    assert "grows by 2 dB in silence after playing" in faults["stability"].message


def test_a_tone_of_its_own_is_said():
    _, faults = said(lambda x: x + 0.001 * TONE[: len(x)])
    assert "sounds by itself in silence, -63 dBFS" in faults["idle noise"].message


def test_a_silent_teacher_is_refused():
    _, faults = said(lambda x: 0 * x + 0.3)
    assert faults["level"].level == "error"
    assert "stays silent at full-scale input" in faults["level"].message
