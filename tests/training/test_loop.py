import dataclasses
import io
import random
import signal
import time

import jax
import numpy as np
import pytest

from experiments.run.job import exit_code
from tests.training.processes import launch, records, wait_for_steps
from tests.training.toy import TRUTH, ToyTask
from wf_jax.errors import UserError
from wf_jax.mesh import data_mesh
from wf_jax.modules import split
from wf_jax.training import loop
from wf_jax.training.budget import LEAST, Budget
from wf_jax.training.loop import train
from wf_jax.training.metrics import MetricsFile, Progress, duration
from wf_jax.training.settings import CheckpointSettings, Session, Settings

FAST = Settings(epochs=12, learning_rate=0.05)


def test_it_learns_and_says_how_it_ended(tmp_path):
    result = train(ToyTask(), Settings(epochs=60, learning_rate=0.05), tmp_path)
    np.testing.assert_allclose(result.models.slope[...], TRUTH, atol=0.05)
    assert result.steps == 300
    assert result.stopped == "the budget is used up"
    assert [r["step"] for r in records(tmp_path)] == list(range(5, 301, 5))


def test_same_seed_same_bits(tmp_path):
    runs = [train(ToyTask(), FAST, tmp_path / name) for name in "ab"]
    np.testing.assert_array_equal(*(run.models.slope[...] for run in runs))


def test_the_best_is_kept_per_model(tmp_path):
    """At a rate that overshoots each line keeps its own best step, not the last."""
    result = train(ToyTask(), Settings(epochs=40, learning_rate=0.7), tmp_path)
    task = ToyTask()
    np.testing.assert_allclose(
        task.evaluate(result.models)["esr/line"], result.metrics["esr/line"], rtol=1e-6
    )
    last = records(tmp_path)[-1]["esr/line"]
    assert result.metrics["esr/line"].mean() < last
    assert len(set(result.best_epochs["esr/line"].tolist())) == 2


def test_goes_on_where_it_stopped(tmp_path):
    train(ToyTask(), Settings(epochs=5, learning_rate=0.05), tmp_path / "a")
    resumed = train(ToyTask(), FAST, tmp_path / "a")
    whole = train(ToyTask(), FAST, tmp_path / "b")
    np.testing.assert_array_equal(resumed.models.slope[...], whole.models.slope[...])
    a, b = records(tmp_path / "a"), records(tmp_path / "b")
    assert [r["esr/line"] for r in a] == [r["esr/line"] for r in b]
    # A finished run that is started again has nothing to do and says the same.
    again = train(ToyTask(), FAST, tmp_path / "a")
    np.testing.assert_array_equal(again.models.slope[...], whole.models.slope[...])
    assert len(records(tmp_path / "a")) == len(a)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_killed_at_a_random_moment_ends_with_the_same_bits(tmp_path, seed):
    (whole,) = launch(tmp_path / "whole", 1, 2, epochs=40)
    (killed,) = launch(tmp_path / "killed", 1, 2, pause=0.02, epochs=40)
    wait_for_steps(tmp_path / "killed", 10)
    time.sleep(random.Random(seed).uniform(0.0, 2.0))
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    killed.communicate()
    (resumed,) = launch(tmp_path / "killed", 1, 2, epochs=40)
    out, err = resumed.communicate(timeout=120)
    assert "continuing at step" in err
    assert out == whole.communicate(timeout=120)[0]
    curves = [[r["esr/line"] for r in records(tmp_path / name)] for name in ("whole", "killed")]
    assert curves[0] == curves[1]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 0), ("SIGTERM", 75)])
def test_a_signal_ends_the_run_politely(tmp_path, name, code):
    (run,) = launch(tmp_path, 1, 2, pause=0.02, epochs=10_000)
    wait_for_steps(tmp_path, 10)
    run.send_signal(getattr(signal, name))
    out, err = run.communicate(timeout=60)
    assert run.returncode == code, err
    assert out.startswith(f"stopped by {name}")
    assert "Traceback" not in err


@pytest.mark.parametrize("moment", ["loss", "evaluate"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_it_compiles_or_first_evaluates(tmp_path, monkeypatch, name, moment):
    """Ends the run after the next step with the results so far, and restores the signals."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    task, raised = ToyTask(), []
    take = getattr(task, moment)

    def signaled(*arguments):
        if not raised:
            raised.append(signal.raise_signal(getattr(signal, name)))
        return take(*arguments)

    monkeypatch.setattr(task, moment, signaled)
    stopped = train(task, dataclasses.replace(FAST, substeps=1), tmp_path / "a")
    assert (stopped.stopped, stopped.again) == (f"stopped by {name}", name == "SIGTERM")
    assert exit_code(stopped) == {"SIGINT": 130, "SIGTERM": 75}[name]
    assert stopped.steps == {"loss": 1, "evaluate": 6}[moment]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    resumed = train(ToyTask(), FAST, tmp_path / "a")
    whole = train(ToyTask(), FAST, tmp_path / "b")
    np.testing.assert_array_equal(resumed.models.slope[...], whole.models.slope[...])


def test_stopped_by_hand_the_last_evaluation_counts(tmp_path):
    """It counts for the result; the saved state continues as if unbroken."""
    task = ToyTask()
    take = task.batch

    def batch(step, rows):
        if step == 8:
            signal.raise_signal(signal.SIGINT)
        return take(step, rows)

    task.batch = batch
    stopped = train(task, dataclasses.replace(FAST, substeps=1), tmp_path / "a")
    assert stopped.stopped == "stopped by SIGINT"
    assert not stopped.finished
    last = records(tmp_path / "a")[-1]
    assert last["step"] == stopped.steps not in (5, 10)
    assert stopped.metrics["esr/line"].mean() == pytest.approx(last["esr/line"], rel=1e-6)
    resumed = train(ToyTask(), FAST, tmp_path / "a")
    whole = train(ToyTask(), FAST, tmp_path / "b")
    np.testing.assert_array_equal(resumed.models.slope[...], whole.models.slope[...])


@pytest.mark.slow
def test_minutes_are_a_budget(tmp_path):
    began = time.monotonic()
    result = train(ToyTask(pause=0.01), Settings(minutes=0.05, learning_rate=0.05), tmp_path)
    assert 2.5 < time.monotonic() - began < 20
    assert result.minutes == pytest.approx(0.05, abs=0.05)
    assert records(tmp_path)[-1]["step"] == result.steps


def test_a_run_that_diverges_keeps_the_best_before(tmp_path):
    result = train(ToyTask(broken_after=11), FAST, tmp_path)
    assert result.stopped.startswith("the training diverged at step 11 (points 11): lower")
    assert result.best_epochs["esr/line"].tolist() == [2, 2]
    assert np.isfinite(result.models.slope[...]).all()
    assert [r["step"] for r in records(tmp_path)] == [5, 10]


def test_a_run_that_diverges_at_once_is_an_error(tmp_path):
    with pytest.raises(UserError, match="diverged at step 0"):
        train(ToyTask(broken_after=0), FAST, tmp_path)


class Unjudged(ToyTask):
    """A task whose score is NaN from the given evaluation on."""

    def __init__(self, first):
        super().__init__()
        self.left = first

    def evaluate(self, lines):
        self.left -= 1
        factor = 1.0 if self.left >= 0 else np.nan
        return {"esr/line": super().evaluate(lines)["esr/line"] * factor}


def test_a_score_that_is_no_number_is_no_divergence(tmp_path):
    with pytest.raises(UserError, match="held-out audio cannot be judged: esr/line") as error:
        train(Unjudged(0), FAST, tmp_path)
    assert "diverged" not in str(error.value)
    assert "learning_rate" not in str(error.value)


def test_a_score_that_stops_being_a_number_is_divergence(tmp_path):
    result = train(Unjudged(1), FAST, tmp_path)
    assert result.stopped.startswith("the training diverged at step 9 (held-out audio)")


def test_batches_are_split_over_the_devices_that_divide_them():
    assert data_mesh(16).size == 2
    assert data_mesh(3).size == 1


# Small parts


def test_split_and_join_again():
    definition, params = split(ToyTask().init())
    assert list(params) == ["slope"]
    assert definition(params).slope[...].shape == (2, 3)
    again, _ = split(jax.eval_shape(ToyTask().init))
    assert again == definition
    assert hash(again) == hash(definition)


def test_a_run_that_goes_on_publishes_what_may_not_have_been(tmp_path):
    """Covers a session killed or terminated between a save and its publication."""
    shown = []

    def publish(step, module, record):
        shown.append((step, module.slope[...].tolist(), record["esr/line"]))
        if step == 10 and len(shown) == 2:
            raise KeyError

    whole = dataclasses.replace(FAST, checkpoints=CheckpointSettings(steps=5))
    with pytest.raises(KeyError):
        train(ToyTask(), whole, tmp_path, publish)
    train(ToyTask(), whole, tmp_path, publish)
    assert [step for step, _, _ in shown[:4]] == [5, 10, 10, 15]
    assert shown[1] == shown[2]


def test_metrics_of_a_killed_run_are_cut_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 5}\n{"step": 10}\n{"step": 15}\n{"ste')
    with path.open("a") as file:  # and what no run has written
        file.write("\n[1]\n" + "[" * 100_000 + '\n{"step": "5"}\n{"step": null}\n{"step": true}')
    assert [r["step"] for r in MetricsFile(path, 10).records] == [5, 10]
    assert path.read_text() == '{"step": 5}\n{"step": 10}\n'


class Terminal(list):
    def write(self, text):
        self.append(text)

    def flush(self):
        pass

    def isatty(self):
        return True


def test_progress_rewrites_one_line_on_a_terminal():
    terminal = Terminal()
    progress = Progress(terminal)
    progress.update("step 1")
    progress.update("step 2")  # too soon
    progress.close()
    assert "".join(terminal) == "\rstep 1\x1b[K\rstep 2\x1b[K\n"


def test_progress_in_a_log_says_nothing_twice():
    log = io.StringIO()
    progress = Progress(log)
    progress.update("step 1")
    progress.close()
    progress.update("step 2")  # too soon
    progress.close()
    progress.keep("done")
    progress.close()
    assert log.getvalue() == "step 1\nstep 2\ndone\n"


def test_duration_and_budget():
    assert [duration(m) for m in (0, 1.09, 120)] == ["0:00", "1:05", "2:00:00"]
    assert Budget(200).progress(50) == 0.25
    assert Budget(200).left_minutes(50, 0.1) == pytest.approx(15)
    assert Budget(1, minutes=10, minutes_before=5).progress(70) == 0.5


def test_a_budget_of_minutes_begins_with_the_first_step_and_has_a_least_number_of_steps():
    budget = Budget(1, minutes=1e-9)
    assert budget.minutes == 0.0
    budget.begin()
    time.sleep(0.001)
    assert budget.minutes > 0
    assert [budget.progress(step) for step in (0, LEAST // 2, LEAST, 2 * LEAST)] == [0, 0.5, 1, 1]
    assert budget.end(LEAST) == "the least number of steps, 20, took more than 1e-09 minutes"
    assert Budget(1, minutes=10).end(200) == "the budget is used up"


def test_what_cannot_be_begun_from_names_the_option_once():
    def initial():
        raise UserError("--init_from=x: gone")

    with pytest.raises(UserError, match=r"^--init_from=x: gone$"):
        loop._warm_start(None, {}, Session(initial=initial, initial_name="x"), None)
