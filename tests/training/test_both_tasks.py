"""The vocoder and the capture on several processes: see both_tasks.py."""

import numpy as np
import pytest

from tests.training.processes import finish, start


@pytest.mark.slow
def test_both_tasks_train_on_two_processes_as_on_one(tmp_path):
    """2 x 2, 1 x 4, 1 x 1 devices: the same batches in the same order, and the same losses."""
    lines = {}
    for name, processes, devices in (("two", 2, 2), ("four", 1, 4), ("one", 1, 1)):
        run = start(
            "tests.training.both_tasks",
            tmp_path / name,
            processes,
            devices,
            JAX_DISABLE_MOST_OPTIMIZATIONS="1",  # to compile fast
        )
        codes, printed, complaints = finish(run, timeout=400)
        assert codes == [0] * processes, complaints
        lines[name] = [line.split() for line in printed]
    for name in ("two", "four"):
        assert [line[:2] for line in lines[name]] == [line[:2] for line in lines["one"]]
        assert len(lines[name]) == 8
        for ours, theirs in zip(lines[name], lines["one"], strict=True):
            np.testing.assert_allclose(np.float64(ours[2:]), np.float64(theirs[2:]), rtol=1e-5)
    assert len({line[1] for line in lines["one"]}) == 8  # every batch is another
