"""Layouts that give the same result: parts of a batch, steps per dispatch, sharded state."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.toy import ToyTask
from wf_jax import mesh
from wf_jax.errors import UserError
from wf_jax.training.dispatch import Dispatcher
from wf_jax.training.fingerprints import fingerprints
from wf_jax.training.loop import train
from wf_jax.training.settings import CheckpointSettings, Session, Settings, parse_range

PLAIN = Settings(epochs=3, learning_rate=0.05, average_decay=0.9)


def curve(result):
    return [(r["step"], r["loss/line"], r["esr/line"], r["gradient_norm"]) for r in result.history]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return train(ToyTask(), PLAIN, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("accumulate", [2, 4])
def test_parts_of_a_batch_add_up(plain, tmp_path, accumulate):
    """The toy's loss is a mean over rows, so the mean over parts is the same."""
    result = train(ToyTask(), dataclasses.replace(PLAIN, accumulate=accumulate), tmp_path)
    np.testing.assert_allclose(curve(result), curve(plain), rtol=1e-5)


@pytest.mark.parametrize("substeps", [2, 3, 64])
def test_several_steps_per_dispatch_are_the_same_steps(plain, tmp_path, substeps):
    """2 and 3 do not divide the 5 steps between evaluations, 64 is more: none is skipped."""
    result = train(ToyTask(), dataclasses.replace(PLAIN, substeps=substeps), tmp_path)
    assert result.steps == 15
    np.testing.assert_allclose(curve(result), curve(plain), rtol=1e-5)
    assert fingerprints(jax.tree.map(jnp.asarray, result.models)).keys() == {"slope/value"}
    np.testing.assert_allclose(result.models.slope[...], plain.models.slope[...], rtol=1e-5)


def test_divergence_within_a_dispatch_names_its_step(tmp_path):
    settings = dataclasses.replace(PLAIN, substeps=5)
    result = train(ToyTask(broken_after=8), settings, tmp_path)
    assert result.stopped.startswith("the training diverged at step 8 (points 8): lower")
    assert result.diverged
    assert [record["step"] for record in result.history] == [5]


class WideTask(ToyTask):
    """The toy with six slopes, of which two devices can hold three each."""

    def __init__(self):
        super().__init__()
        self.models = ()
        self.resident = {"truth": np.float32([1, -2, 0.5, 0.3, 0.1, -0.7])}

    def init(self):
        from flax import nnx

        class Slopes(nnx.Module):
            def __init__(self):
                self.slope = nnx.Param(jnp.zeros(6))

        return Slopes()

    def batch(self, step, rows):
        return {"x": np.random.default_rng([7, step]).normal(size=(4, 6)).astype(np.float32)[rows]}

    def loss(self, module, batch, axis_names):
        error = batch["x"] @ (module.slope[...] - batch["truth"])
        loss = jax.lax.pmean(jnp.mean(jnp.square(error)), axis_names)
        return loss, {"loss/line": loss}

    def evaluate(self, module):
        error = jnp.square(jnp.asarray(module.slope[...]) - self.resident["truth"])
        return {"esr/line": jnp.sum(error)}


@pytest.mark.slow
def test_a_split_state_is_the_same_state(tmp_path, monkeypatch):
    """Parameters, moments, average and best are split; checkpoints fit every layout."""
    monkeypatch.setattr(mesh, "SMALLEST_SHARDED", 4)
    settings = dataclasses.replace(PLAIN, checkpoints=CheckpointSettings(steps=5))
    whole = train(WideTask(), settings, tmp_path / "whole")
    split = dataclasses.replace(settings, shards=2)
    shared = train(WideTask(), split, tmp_path / "split")
    np.testing.assert_allclose(curve(shared), curve(whole), rtol=1e-5)

    dispatcher = Dispatcher(WideTask(), split, lambda step: 1)
    state = dispatcher.create(dispatcher.params)
    for array in (state.params, state.average, state.optimizer_state, state.best.params):
        shapes = {leaf.addressable_shards[0].data.shape for leaf in jax.tree.leaves(array)}
        assert (3,) in shapes
        assert (6,) not in shapes

    longer = dataclasses.replace(settings, epochs=4)
    on = train(WideTask(), longer, tmp_path / "split")
    np.testing.assert_allclose(curve(on)[:3], curve(whole), rtol=1e-5)
    assert on.steps == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accumulate": 3}, "a batch of 4 has no 3 equal parts"),
        ({"shards": 3}, "cannot be split over 2 devices in 3 shards"),
    ],
)
def test_what_does_not_split_is_an_error(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        train(ToyTask(), dataclasses.replace(PLAIN, **change), tmp_path)


def test_a_step_of_other_shapes_is_refused_not_compiled():
    """Traces nothing again after the first step."""
    dispatcher = Dispatcher(ToyTask(), PLAIN, lambda step: 1)
    with dispatcher:
        state = dispatcher.create(dispatcher.params)
        state, _ = dispatcher.send(state, 0, [0.1])
        state, _ = dispatcher.send(state, 1, [0.1])
        wider = jax.tree.map(lambda x: jnp.concatenate([x, x]) if x.ndim else x, state)
        with pytest.raises(TypeError, match="compiled"):
            dispatcher.send(wider, 2, [0.1])


def test_the_state_is_given_away():
    with Dispatcher(ToyTask(), PLAIN, lambda step: 1) as dispatcher:
        state = dispatcher.create(dispatcher.params)
        dispatcher.send(state, 0, [0.1])
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))


def test_records_say_where_the_time_went(plain):
    record = plain.history[-1]
    parts = [record[f"time/{part}"] for part in ("data", "device", "host")]
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(record["time/step"], rel=0.05)
    assert record["speed/steps"] == pytest.approx(1 / record["time/step"])
    assert record["speed/gflops"] > 0
    assert record["memory/host_gb"] > 0.05


def test_a_trace_of_some_steps(tmp_path):
    train(ToyTask(), PLAIN, tmp_path, session=Session(profile=(3, 5)))
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    assert [parse_range(text) for text in (None, "10:15")] == [(), (10, 15)]
    with pytest.raises(ValueError, match="--profile_steps=15:10 is not FIRST:LAST"):
        parse_range("15:10")


def test_a_trace_of_steps_within_a_dispatch(tmp_path):
    settings = dataclasses.replace(PLAIN, substeps=5)
    train(ToyTask(), settings, tmp_path, session=Session(profile=(7, 8)))
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_the_best_evaluation_stays(tmp_path):
    """Saved by the clock at any step, the best is of those that follow an evaluation."""
    checkpoints = CheckpointSettings(minutes=1e-9, keep=1, keep_best=1)
    rising = dataclasses.replace(PLAIN, learning_rate=0.7, checkpoints=checkpoints)
    result = train(ToyTask(), rising, tmp_path)
    means = {record["step"]: record["esr/line"] for record in result.history}
    kept = {int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()}
    assert kept == {15, min(means, key=means.get)}


def test_where_a_nan_was_made(tmp_path):
    with pytest.raises(FloatingPointError, match="nan"):
        train(ToyTask(broken_after=2), PLAIN, tmp_path, session=Session(debug_nans=True))
