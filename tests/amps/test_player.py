"""The streamed step: compiled once, in place, and independent of the block sizes."""

import jax
import numpy as np
import pytest

from tests.amps.nam_examples import EXAMPLES
from wf_jax.amps import a2
from wf_jax.amps.a2_pass import IS_FAST
from wf_jax.amps.jax_form import SWITCH, jax_form
from wf_jax.amps.nam_file import parse
from wf_jax.amps.nam_models import model_of
from wf_jax.amps.player import Player
from wf_jax.errors import UserError


@pytest.fixture(scope="module", params=["native", "jax"])
def player(request):
    return Player(a2.create("nano", np.random.default_rng(0)), 64, request.param)


@pytest.fixture(scope="module")
def jax_player():
    return Player(a2.create("nano", np.random.default_rng(0)), 64, "jax")


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=700).astype(np.float32)


def play(player, x, block):
    return np.concatenate([np.array(player(x[i : i + block])) for i in range(0, len(x), block)])


@pytest.mark.slow
def test_reset_repeats_bit_for_bit(player, x):
    player.reset()
    first = play(player, x, 64)
    player.reset()
    np.testing.assert_array_equal(play(player, x, 64), first)
    assert np.ptp(first) > 1e-3


@pytest.mark.parametrize("block", [1, 7, 63])
def test_the_division_into_blocks_does_not_matter(player, x, block):
    player.reset()
    whole = play(player, x, 64)
    player.reset()
    np.testing.assert_allclose(play(player, x, block), whole, atol=2e-7)


def test_an_empty_block_changes_nothing(player, x):
    player.reset()
    expected = play(player, x[:64], 64)
    player.reset()
    assert player(x[:0]).shape == (0,)
    np.testing.assert_array_equal(play(player, x[:64], 64), expected)


def test_no_size_of_block_compiles_again(jax_player, x):
    events = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: events.append(name) if "compile" in name or "trace" in name else None
    )
    for block in (64, 1, 2, 31, 64, 50):
        play(jax_player, x[:200], block)
    calls = list(events)
    jax.jit(lambda x: x + len(events))(1.0)  # the listener does hear
    assert not calls
    assert events


def test_the_state_stays_where_it_is(jax_player, x):
    """Reuses the arrays of the last state, which are donated."""

    def places():
        leaves = [leaf for leaf in jax.tree.leaves(jax_player._stream.state) if leaf.size]
        return sorted(leaf.unsafe_buffer_pointer() for leaf in leaves)

    jax_player(x[:64])
    before = places()
    for _ in range(3):
        jax_player(x[:64])
        assert places() == before
    assert len(jax.tree.leaves(jax_player._stream.state)) <= 30


@pytest.mark.parametrize("name", ["linear_fft", "gated", "convnet"])
def test_what_lies_behind_a_short_block_does_not_matter(name, x):
    player = Player(model_of(parse(EXAMPLES[name](), "x.nam")), 64, "jax")
    expected = play(player, x[:60], 10)
    player(np.full(64, np.nan, np.float32))
    player.reset()
    np.testing.assert_array_equal(play(player, x[:60], 10), expected)


def test_outputs_belong_to_the_caller(player, x):
    first = player(x[:64])
    kept = first.copy()
    player(x[64:128])
    np.testing.assert_array_equal(first, kept)
    first *= 2.0


@pytest.mark.parametrize(
    "block", [np.zeros((1, 8), np.float32), np.zeros(8, np.int16), np.float32(0), [[0.1], [0.2]]]
)
def test_what_is_no_block_is_refused(player, block):
    with pytest.raises(ValueError, match="is not a block of floats"):
        player(block)


def test_what_is_too_long_is_refused(player):
    with pytest.raises(ValueError, match="a block of 65 samples; this player was made for 64"):
        player(np.zeros(65, np.float32))
    for size in (0, 64.5, "64"):
        with pytest.raises(ValueError, match="is not a positive number of samples"):
            Player(model_of(parse(EXAMPLES["linear"](), "x.nam")), size)


def test_several_channels():
    player = Player(model_of(parse(EXAMPLES["channels_2_in_3_out"](), "x.nam")), 32)
    assert player(np.zeros((2, 20), np.float32)).shape == (3, 20)


def test_the_output_may_be_written_elsewhere(player, x):
    player.reset()
    expected = player(x[:50])
    player.reset()
    out = x[:50].copy()
    assert player(out, out=out) is out
    np.testing.assert_array_equal(out, expected)
    with pytest.raises(ValueError, match=r"out is float32 \[49\], not float32 \[50\]"):
        player(x[:50], out=out[:49])


def test_an_engine_is_chosen():
    lstm = model_of(parse(EXAMPLES["lstm"](), "x.nam"))
    assert not Player(lstm, 16).is_native
    with pytest.raises(UserError, match="it plays WaveNets, not LSTM; use engine auto"):
        Player(lstm, 16, "native")
    with pytest.raises(ValueError, match="engine 'numpy' does not exist; choose one of auto"):
        Player(lstm, 16, "numpy")


def test_the_environment_forbids_the_a2_pass(monkeypatch):
    model = a2.create("nano", np.random.default_rng(0))
    assert (jax_form(model) is not model) == IS_FAST
    assert jax_form(model, a2_fast=False) is model
    monkeypatch.setenv(SWITCH, "0")
    assert jax_form(model) is model
    assert jax_form(model_of(parse(EXAMPLES["lstm"](), "x.nam"))).config.hidden_size > 0
