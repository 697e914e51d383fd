"""The message of a run that was told to stop and start again."""

import shlex
import sys
from types import SimpleNamespace

import pytest

from experiments.run.training import Requests, carry_out
from wf_jax.training.distributed import AGAIN


@pytest.mark.parametrize("again", [True, False])
def test_sigterm_says_what_was_saved_and_how_to_go_on(tmp_path, capsys, monkeypatch, again):
    workdir = str(tmp_path / "my amp")  # which a shell must quote
    monkeypatch.setattr(sys, "argv", ["train", f"--workdir={workdir}"])
    result = SimpleNamespace(
        again=again, stopped="stopped by SIGTERM", steps=12, diverged=False, finished=not again
    )
    monkeypatch.setattr("experiments.run.job.job_of", lambda config: None)
    monkeypatch.setattr("experiments.run.job.execute", lambda job, folder, session: result)
    assert carry_out(Requests(SimpleNamespace(several=""), workdir)) == (AGAIN if again else 0)
    said = capsys.readouterr().out
    if not again:
        assert said == ""
        return
    first, command = said.splitlines()
    assert first.startswith("stopped by SIGTERM after 12 steps, saved in ")
    assert shlex.split(command)[-1] == f"--workdir={workdir}"
    assert sys.executable.endswith(shlex.split(command)[0].removeprefix("./"))
