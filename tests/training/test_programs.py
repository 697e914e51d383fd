"""Runs that share a compiled step, and what keeps them from it."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from wf_jax.amps.capture_task import CaptureAudio, CaptureTask, LossWeights
from wf_jax.training import programs
from wf_jax.training.programs import program_key, shared
from wf_jax.training.settings import Settings

SETTINGS = Settings()
STATE = {"w": jnp.zeros((1, 3))}


def task(seed=0, kind=CaptureTask, samples=4, **options):
    """Makes a task of one capture; `samples` of its audio are other ones."""
    rng = np.random.default_rng(samples)
    given = {"batch_size": 2, "window": 8192} | options
    parts = (rng.normal(size=(1, 40_000)).astype(np.float32) for _ in range(4))
    return kind(CaptureAudio(*parts), sizes=("nano",), seed=seed, **given)


def key(task, settings=SETTINGS, definition="a model", state=STATE):
    return program_key(task, definition, settings, state)


class Other(CaptureTask):
    """Has a loss of its own."""


def test_runs_that_differ_in_data_and_rate_share_a_program():
    settings = dataclasses.replace(SETTINGS, learning_rate=0.5, epochs=7)
    assert key(task()) == key(task(seed=1, samples=5), settings)
    assert hash(key(task())) == hash(key(task()))


@pytest.mark.parametrize(
    "other",
    [
        lambda: key(task(window=4096)),
        lambda: key(task(loss_weights=LossWeights(mrstft=0.5))),
        lambda: key(task(kind=Other)),
        lambda: key(task(), definition="another model"),
        lambda: key(task(), state={"w": jnp.zeros((1, 4))}),
        *(
            lambda change=change: key(task(), dataclasses.replace(SETTINGS, **change))
            for change in (
                {"optimizer": "soap" if SETTINGS.optimizer == "adam" else "adam"},
                {"weight_decay": 0.5},
                {"clip_norm": 0.5},
                {"average_decay": 0.5},
                {"accumulate": 2},
                {"substeps": 3},
            )
        ),
    ],
)
def test_what_a_step_is_made_of_keeps_runs_apart(other):
    assert other() != key(task())


def test_the_newest_programs_are_kept(monkeypatch):
    monkeypatch.setattr(programs, "_programs", {})
    made = []

    def make(name):
        made.append(name)
        return name, 1.0

    for name in "abcdaeab":
        assert shared(name, lambda name=name: make(name)) == (name, 1.0)
    assert made == list("abcdeb")
