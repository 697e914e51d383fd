"""The lines that a run prints."""

import time

import pytest

from wf_jax.training import lines
from wf_jax.training.lines import RunLines


@pytest.mark.parametrize(("seconds", "said"), [(0.0, 0), (0.3, 1)])
def test_long_compiling_is_said_once(monkeypatch, capsys, seconds, said):
    monkeypatch.setattr(lines, "SLOW", 0.05)
    with RunLines(quiet=False) as shown, shown.compiling():
        time.sleep(seconds)
    time.sleep(0.1)
    assert capsys.readouterr().err.count("still compiling after 0.05 s") == said


def test_a_quiet_run_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(lines, "SLOW", 0.01)
    with RunLines(quiet=True) as shown, shown.compiling():
        time.sleep(0.05)
    assert capsys.readouterr().err == ""
