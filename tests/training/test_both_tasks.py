"""The vocoder and the capture on several processes: see both_tasks.py."""

import numpy as np
import pytest

from tests.training.processes import finish, start


@pytest.mark.exhaustive
@pytest.mark.parametrize(("processes", "devices"), [(2, 2), (1, 4)])
def test_both_tasks_train_on_several_devices_as_on_one(tmp_path, processes, devices):
    """Gives the same batches in the same order, and the same losses."""
    lines = {}
    layouts = {"many": (processes, devices), "one": (1, 1)}
    for name, (count, each) in layouts.items():
        run = start(
            "tests.training.both_tasks",
            tmp_path / name,
            count,
            each,
            JAX_DISABLE_MOST_OPTIMIZATIONS="1",  # to compile fast
        )
        codes, printed, complaints = finish(run, timeout=400)
        assert codes == [0] * count, complaints
        lines[name] = [line.split() for line in printed]
    assert [line[:2] for line in lines["many"]] == [line[:2] for line in lines["one"]]
    assert len(lines["many"]) == 11
    for ours, theirs in zip(lines["many"], lines["one"], strict=True):
        np.testing.assert_allclose(np.float64(ours[2:]), np.float64(theirs[2:]), rtol=1e-5)
    assert len({line[1] for line in lines["one"]}) == 8  # both captures see the same four
