"""The benchmark of many captures: every start compiles, and is measured before its steps."""

import re

import pytest

from experiments.benchmarks import many_captures
from experiments.benchmarks.cases import Options


@pytest.fixture
def options():
    fields = dict.fromkeys(Options.__dataclass_fields__)
    return Options(**fields | {"captures": ["1", "2", "4"]})


def test_a_start_is_measured_before_the_steps_that_share_its_program(options, monkeypatch, capsys):
    compiled = set()

    def start(count):
        seconds = 1.0 if count in compiled else 10.0
        compiled.add(count)
        return seconds

    def steps(count, options):
        compiled.add(count)
        return 0.1 * count

    monkeypatch.setattr(many_captures, "_start", start)
    monkeypatch.setattr(many_captures, "_steps", steps)
    many_captures.run(options)
    said = capsys.readouterr().out
    assert "first capture: 10.0 s before its steps; every other: 1.0 s" in said
    for count in (2, 4):
        _, in_turn, step, begun, together, share = re.findall(rf"^ +{count} .*", said, re.M)[
            0
        ].split()
        assert (float(step), float(begun), float(share)) == (0.1 * count, 10.0, 1.0)
        assert float(in_turn) == pytest.approx(3600 * count / (9 + count + 30 * count), rel=1e-3)
        assert float(together) == pytest.approx(3600 * count / (10 + 30 * count), rel=1e-3)
