"""The message of a run that was told to stop and start again."""

import shlex
import sys
from types import SimpleNamespace

import pytest
from absl import flags

from experiments import train
from wf_jax.training.distributed import AGAIN


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Returns the parsed flags of a run, in a folder that a shell must quote."""
    line = ["train", f"--workdir={tmp_path / 'my amp'}"]
    monkeypatch.setattr(sys, "argv", line)
    values = flags.FLAGS
    was = values.is_parsed()
    values.mark_as_parsed()
    monkeypatch.setattr(train, "_WORKDIR", SimpleNamespace(value=str(tmp_path / "my amp")))
    monkeypatch.setattr(train, "_SWEEP", SimpleNamespace(value=None))
    monkeypatch.setattr(train, "_session", lambda: None)
    yield line
    if not was:
        values.unparse_flags()


@pytest.mark.parametrize("again", [True, False])
def test_sigterm_says_what_was_saved_and_how_to_go_on(given, capsys, monkeypatch, again):
    result = SimpleNamespace(
        again=again, stopped="stopped by SIGTERM", steps=12, diverged=False, finished=not again
    )
    monkeypatch.setattr("experiments.run.job.job_of", lambda config: None)
    monkeypatch.setattr("experiments.run.job.execute", lambda job, folder, session: result)
    assert train._run(None) == (AGAIN if again else 0)
    said = capsys.readouterr().out
    if not again:
        assert said == ""
        return
    first, command = said.splitlines()
    assert first.startswith("stopped by SIGTERM after 12 steps, which are saved in ")
    assert shlex.split(command)[-1] == given[1]
    assert sys.executable.endswith(shlex.split(command)[0].removeprefix("./"))
