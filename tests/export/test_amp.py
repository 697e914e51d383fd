"""A released amp beside its model: any length, blocks with a state, and refusals."""

import json

import jax
import numpy as np
import pytest

from tests.amps.nam_examples import EXAMPLES
from tests.export import small_releases as releases
from wf_jax.amps import load_nam
from wf_jax.amps.a2_pass import IS_FAST
from wf_jax.errors import UserError
from wf_jax.export import load
from wf_jax.export.artifacts import lower
from wf_jax.export.check import played
from wf_jax.export.functions import amp_functions
from wf_jax.export.manifest import MANIFEST
from wf_jax.modules import split


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("release") / "amp"
    return releases.amp_release(made, "legacy", blocks=(64, 200))


@pytest.fixture(scope="module")
def amp(folder):
    return load(folder)


@pytest.fixture(scope="module")
def model(folder):
    return load_nam(folder / "model.nam")


@pytest.mark.slow
def test_long_signals_go_in_stretches(amp, model, monkeypatch):
    """Each stretch begins where the last ended, and few sizes are compiled."""
    monkeypatch.setattr("wf_jax.export.amp.SIZES", (1, 2))
    chunk, before = amp.manifest.amp.chunk, amp._functions["render"]._cache_size()
    for samples in (2 * chunk + 5, 3 * chunk + 1, 4 * chunk):
        x = releases.clip(1, samples)
        np.testing.assert_allclose(amp.render(x), played(model, x), atol=1e-5)
    assert amp._functions["render"]._cache_size() == before + 2


@pytest.mark.slow
def test_blocks_of_every_size_that_was_asked_for(amp, model):
    x = releases.clip(2, 64 + 200 + 200 + 64)
    state, parts = amp.init_state(2), []
    for size in (64, 200, 200, 64):
        first = sum(part.shape[1] for part in parts)
        state, y = amp.step(state, x[:, first : first + size])
        parts.append(y)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), played(model, x), atol=1e-5)


def test_a_step_is_compiled_once(amp):
    """Does not compile again for the state that it gave back."""
    before, state = amp._functions["step_64"]._cache_size(), amp.init_state(5)
    for _ in range(3):
        state, _ = amp.step(state, releases.clip(5, 64))
    assert amp._functions["step_64"]._cache_size() == before + 1


def test_a_state_is_given_away(amp):
    """Changes the state in place: no block copies the model's memory."""
    state = amp.init_state(1)
    new, _ = amp.step(state, releases.clip(1, 64))
    assert state.is_deleted()
    assert not new.is_deleted()
    with pytest.raises(UserError, match="this state was given away; go on with the one"):
        amp.step(state, releases.clip(1, 64))
    # And the beginning can be had again.
    one, two = (amp.step(amp.init_state(1), releases.clip(1, 64))[1] for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_a_batch_over_devices(folder, amp):
    both = load(folder, devices=jax.devices()[:2])
    for batch in (2, 3):
        x = releases.clip(batch, 500)
        np.testing.assert_allclose(both.render(x), amp.render(x), atol=1e-6)
        state, y = both.step(both.init_state(batch), x[:, :64])
        state, z = both.step(state, x[:, 64:128])
        expected = amp.render(x[:, :128])
        np.testing.assert_allclose(np.concatenate([y, z], 1), expected, atol=1e-6)


@pytest.mark.slow
def test_sizes_of_a_slimmable_model(tmp_path):
    """The requested size is in the functions; the file keeps all."""
    x, small = releases.clip(1, 300), {}
    for size in (0.0, 1.0):
        made = releases.amp_release(tmp_path / str(size) / "amp", "slimmable", size=size)
        expected = played(load_nam(made / "model.nam").at_size(size), x)
        small[size] = load(made).render(x)
        np.testing.assert_allclose(small[size], expected, atol=1e-5)
    assert np.abs(small[0.0] - small[1.0]).max() > 1e-3


def test_several_channels(tmp_path):
    made = releases.amp_release(tmp_path / "amp", "channels_2_in_3_out")
    amp, x = load(made), np.stack([releases.clip(1, 300, seed) for seed in (1, 2)], axis=1)
    expected = played(load_nam(made / "model.nam"), x)
    assert expected.shape == (1, 3, 300)
    np.testing.assert_allclose(amp.render(x), expected, atol=1e-5)
    _, y = amp.step(amp.init_state(1), x[..., :64])
    np.testing.assert_allclose(y, expected[..., :64], atol=1e-5)
    with pytest.raises(UserError, match=r"give \[B, 2, T\]"):
        amp.render(x[:, 0])


@pytest.mark.skipif(not IS_FAST, reason="the A2 pass is fast from jax 0.12 on")
def test_a2_for_cpus_alone_takes_its_pass(tmp_path):
    made = releases.amp_release(tmp_path / "amp", "A2", platforms=("cpu",))
    amp, x = load(made), releases.clip(1, 5000)
    assert amp.manifest.amp.a2_pass
    assert amp.manifest.amp.compiler_options
    np.testing.assert_allclose(amp.render(x), played(load_nam(made / "model.nam"), x), atol=1e-5)


@pytest.mark.slow
def test_the_a2_pass_is_rebuilt_as_such(tmp_path, monkeypatch):
    """Covers also a model where it would not be chosen: the release's arrays are packed for it."""
    monkeypatch.setattr("wf_jax.amps.jax_form.forbidden", lambda: "")
    made = releases.amp_release(tmp_path / "amp", "A2", platforms=("cpu",), blocks=())
    monkeypatch.setattr("wf_jax.amps.jax_form.forbidden", lambda: "not here")
    content = json.loads((made / MANIFEST).read_text())
    assert content["amp"]["a2_pass"]
    (made / MANIFEST).write_text(json.dumps(content | {"expires": "2026-01-31"}))
    with pytest.warns(UserWarning, match="rebuilt from the model"):
        amp = load(made)
    state, x = amp.init_state(1), releases.clip(1, 4096)
    assert state.shape == (1, 19536)
    call = amp._functions["render"].lower(amp._params, state, x, np.int32(1))
    assert call.out_info[1].shape == (1, 4096)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_nam_can_be_exported(tmp_path, name):
    model = load_nam(releases.nam(tmp_path, name)).at_size(1.0)
    for function in amp_functions(model, [64]):
        exported = lower(function, split(model)[1], releases.PLATFORMS)
        assert exported.platforms == releases.PLATFORMS


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda amp: amp.render(np.zeros(9)), "audio of shape [9]: give [B, T]"),
        (lambda amp: amp.render(np.zeros((1, 9), np.int16)), "int16 / 32768"),
        (
            lambda amp: amp.step(amp.init_state(1), np.zeros((1, 65))),
            "a block of 65 samples: it has 64, 200; export with --blocks=65, or use render",
        ),
        (
            lambda amp: amp.step(amp.init_state(2), np.zeros((1, 64))),
            "for a block of 1 sequences: give that of init_state(1)",
        ),
    ],
)
def test_wrong_arguments_are_one_line(amp, call, expected):
    with pytest.raises(UserError) as caught:
        call(amp)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
