"""The native engine: the audio of the general pass, and nothing touched but its arena."""

import sys
import threading
import tracemalloc
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from tests.amps.nam_examples import EXAMPLES
from tests.amps.native_models import Guarded, a1, example, in_blocks, noise
from tests.amps.slow_nam import play
from tests.conftest import REFERENCE
from wf_jax.amps import a2, load_nam
from wf_jax.amps.container import SlimmableContainer
from wf_jax.amps.native.engine import NativeModel
from wf_jax.amps.native.plan import BLOCK, plan_of
from wf_jax.amps.native.shapes import played, shape_of, why_not
from wf_jax.amps.native.steps import weights_in
from wf_jax.amps.native.weights import fill
from wf_jax.amps.player import Player
from wf_jax.amps.render import render
from wf_jax.native.machine_code import host
from wf_jax.native.memory import address

MIXED = (1, 7, 32, 64, 3, 50, 200, 64)
SIZES = (1, 2, 7, 15, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000, 4096)
REASONS = ("it plays WaveNets", "it plays no FiLM", "it plays no condition_dsp")


def again(name):
    return pytest.param(name, marks=pytest.mark.exhaustive)


# One of each kind; others differ from it by a number, but each compiles code of its own.
KINDS = ("gated", "blended", "gating_mixed", "post_stack_head", "channels_2_in_3_out")
SIMILAR = [name for name in EXAMPLES if name not in KINDS and "activation_" not in name]


@pytest.fixture(scope="module")
def nano():
    return a2.create("nano", np.random.default_rng(0))


def assert_close(actual, expected, relative=5e-6):
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, atol=relative * scale)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [again(name) if i % 4 and name not in KINDS else name for i, name in enumerate(EXAMPLES)],
)
def test_plays_as_the_slow_form_or_says_why_not(name):
    model = example(name)
    if reason := why_not(model):
        assert reason.startswith(REASONS)
        return
    x = noise(model, 700)
    expected = play(EXAMPLES[name](), x)
    actual = in_blocks(Player(model, 256, "native"), x, MIXED)
    assert_close(actual, expected.reshape(actual.shape))
    assert np.ptp(expected) > 1e-3  # the example says something


def test_most_examples_are_played():
    names = [name for name in EXAMPLES if not why_not(example(name))]
    assert len(names) > 40
    assert {"gated", "gating_mixed", "post_stack_head", "slimmable", "groups_layer1x1"} <= set(
        names
    )


@pytest.mark.slow
@pytest.mark.parametrize("channels", [(16, 8), (12, 6), (8, 4), (5, 2)])
def test_a1_equals_the_general_pass(channels):
    model = a1(channels)
    x = noise(model, 3000)
    expected = np.asarray(jax.jit(model)(x[None]))[0]
    assert_close(in_blocks(Player(model, 256, "native"), x, MIXED), expected)
    assert np.ptp(expected) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("size", ["nano", "standard"])
def test_a2_equals_the_general_pass(size):
    model = a2.create(size, np.random.default_rng(0))
    x = noise(model, 9000)
    expected = np.asarray(jax.jit(model)(x[None]))[0]
    assert_close(in_blocks(Player(model, 4096, "native"), x, MIXED), expected)
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize("kind", ["A2", "A1"])
def test_blocks_of_every_size_are_the_same_bit_for_bit(kind, nano):
    model = nano if kind == "A2" else a1((6, 4))
    x, player = noise(model, 9000), Player(model, 9000, "native")
    expected = player(x)
    for size in SIZES:
        player.reset()
        np.testing.assert_array_equal(
            in_blocks(player, x[: 200 * size], (size,)), expected[: 200 * size]
        )
    sizes = tuple(int(size) for size in np.random.default_rng(1).integers(1, 300, 100))
    player.reset()
    np.testing.assert_array_equal(in_blocks(player, x, sizes), expected)


def test_minutes_in_random_blocks_do_not_drift(nano):
    """Plays noise and silence in turn; all rings go round a thousand times."""
    x = noise(nano, 48000 * 60)
    x[x.size // 3 : x.size // 2] = 0.0
    expected = np.concatenate(list(render(nano, [x], 1, "native")))
    sizes = tuple(int(size) for size in np.random.default_rng(2).integers(1, 4096, 1000))
    np.testing.assert_array_equal(in_blocks(Player(nano, 4096, "native"), x, sizes), expected)


@pytest.mark.parametrize("minutes", [4, pytest.param(24 * 60, marks=pytest.mark.exhaustive)])
def test_a_day_in_random_blocks_repeats_itself_in_the_same_memory(nano, minutes):
    """The same minute over and over: from the second on, each is the one before it."""
    x = noise(nano, 48000 * 60)
    player, rng = Player(nano, 4096, "native"), np.random.default_rng(3)
    y, expected, begun = np.empty_like(x), None, 0
    for minute in range(minutes):
        at = 0
        while at < len(x):
            block = x[at : at + int(rng.integers(1, 4097))]
            player(block, out=y[at : at + len(block)])
            at += len(block)
        if minute == 1:
            expected = y.copy()
        assert minute < 2 or np.array_equal(y, expected)
        if minute == 2:
            begun = _resident()
    assert _resident() < begun + 8e6


def _resident() -> float:
    """Bytes of this process in memory; 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096.0 if status.exists() else 0.0


@pytest.mark.parametrize("cores", [2, 3])
def test_stretches_are_the_same_bit_for_bit(cores):
    model = a1((6, 4), (1, 2, 4))
    x = noise(model, 5000)
    expected = Player(model, 5000, "native")(x)
    for cuts in ((5000,), (1, 700, 701), (3000,)):
        blocks = np.split(x, cuts)
        played = np.concatenate(list(render(model, blocks, cores, "native")))
        np.testing.assert_array_equal(played, expected)


def test_stretches_of_several_calls(monkeypatch):
    monkeypatch.setattr("wf_jax.amps.native.stretches.STRETCH", 700)
    model = a1((6, 4), (1, 2, 4))
    x = noise(model, 5000)
    expected = Player(model, 5000, "native")(x)
    for cores in (1, 2, 3):
        played = np.concatenate(list(render(model, [x[:900], x[900:]], cores, "native")))
        np.testing.assert_array_equal(played, expected)


def test_what_is_not_a_number_is_forgotten(nano):
    player = Player(nano, 512, "native")
    x = noise(nano, 512)
    expected = [player(x) for _ in range(16)][-1]
    player.reset()
    player(np.full(100, np.nan, np.float32))
    player(np.full(100, np.inf, np.float32))
    assert np.isnan(player(x)).any()
    for _ in range(15):
        heard = player(x)
    assert np.isfinite(heard).all()
    player.reset()
    np.testing.assert_array_equal([player(x) for _ in range(16)][-1], expected)


def test_players_in_threads():
    models = [a1((6, 4)), *(a2.create("nano", np.random.default_rng(i)) for i in range(7))]
    x = noise(models[0], 48000)
    players = [Player(model, 64, "native") for model in models]
    expected = [in_blocks(player, x, (64,)) for player in players]
    heard = [None] * len(players)
    for player in players:
        player.reset()

    def run(i):
        heard[i] = in_blocks(players[i], x, (64,))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(players))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(heard, expected)


def test_a_call_holds_no_lock(nano):
    """Others run while a long block plays."""
    player, ticks, done = Player(nano, 1 << 22, "native"), [], threading.Event()
    thread = threading.Thread(target=lambda: (player(noise(nano, 1 << 22)), done.set()))
    thread.start()
    while not done.wait(0.005):
        ticks.append(1)
    thread.join()
    assert len(ticks) > 5


def test_a_call_allocates_nothing(nano):
    player = Player(nano, 64, "native")
    x, out = noise(nano, 64), np.empty(64, np.float32)
    place = address(player._stream._stream.arena)
    for block in (x, x[:7]):
        player(block, out=out[: len(block)])
    outs = {n: out[:n] for n in (64, 7)}
    blocks = {n: x[:n] for n in (64, 7)}
    sizes = (64, 7) * 200
    tracemalloc.start()
    try:
        player(blocks[64], out=outs[64])
        before = tracemalloc.get_traced_memory()[0]
        for n in sizes:
            player(blocks[n], out=outs[n])
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200  # an integer or two of the loop
    assert peak - before < 2000  # shapes and the like, for the time of a call
    assert address(player._stream._stream.arena) == place


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect as Linux has it")
@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("kind", ["A2", "A1", "gating_mixed", "post_stack_head"])
def test_nothing_beyond_the_arena_is_touched(kind, at_end, nano):
    model = {"A2": lambda: nano, "A1": lambda: a1((16, 8))}.get(kind, lambda: example(kind))()
    native = NativeModel(model)
    arena = Guarded(len(native.silence), at_end)
    stream = native.stream(arena.array)
    x = Guarded(3 * BLOCK + 5, at_end)
    y = Guarded(3 * BLOCK + 5, at_end)
    weights = arena.array[: native.program.plan.header].copy()
    for count in (1, 31, BLOCK, BLOCK + 1, 3 * BLOCK + 5) * 20:
        start = len(x.array) - count if at_end else 0
        stream.play(*(address(each.array) + 4 * start for each in (x, y)), count, count)
    np.testing.assert_array_equal(arena.array[: len(weights)], weights)
    assert np.isfinite(y.array).all()


def test_no_step_writes_into_the_buffer_of_another():
    """A buffer's end is marked; marks stay, but in the rows' own room."""
    native = NativeModel(a1((6, 4)))
    plan = native.program.plan
    stream = native.stream()
    buffers = {b for step in plan.steps for b in (step.source, step.out) if b} | {plan.output}
    gaps = [
        stream.arena[b.offset + (row + 1) * b.stride - 16 : b.offset + (row + 1) * b.stride]
        for b in buffers
        for row in range(b.rows)
    ]
    for gap in gaps:
        gap[:] = 7.0
    x, y = np.zeros(5000, np.float32), np.zeros(5000, np.float32)
    for count in (1, 100, 128, 4000, 5000):
        stream.play(address(x), address(y), count, count)
    assert all((gap == 7.0).all() for gap in gaps)


def test_the_arena_has_room_for_exactly_the_weights():
    target = host()
    for name in EXAMPLES:
        model = example(name)
        if not why_not(model):
            model = played(model)
            plan = plan_of(shape_of(model), target)
            arena = np.zeros(plan.size, np.float32)
            count = fill(arena, plan, target, model)
            assert count == sum(weights_in(step.kind) for step in plan.steps)
            assert 0 <= plan.header - count < 16


def test_numbers_too_small_are_zero_and_the_mode_is_set_back(nano):
    tiny = np.full(64, 1e-40, np.float32)
    assert (tiny * np.float32(0.5) != 0).all()
    player = Player(nano, 64, "native")
    silent = player(np.zeros(64, np.float32))
    player.reset()
    np.testing.assert_array_equal(player(tiny), silent)
    assert (tiny * np.float32(0.5) != 0).all()


def test_silence_is_what_silence_leads_to():
    for model in (a1((6, 4)), example("post_stack_head"), example("gating_mixed")):
        player = Player(model, 4096, "native")
        shape = (model.input_channels, 4096) if model.input_channels > 1 else 4096
        zeros = np.zeros(shape, np.float32)
        first = player(zeros)
        player(zeros)
        np.testing.assert_array_equal(player(zeros), first)
        np.testing.assert_array_equal(first[..., :1], first[..., -1:])


def test_of_a_container_the_largest_plays():
    container = SlimmableContainer([example("lstm"), example("gated")], (0.5, 1.0))
    x = noise(container, 300)
    played = [in_blocks(Player(m, 64, "native"), x, (64,)) for m in (container, example("gated"))]
    np.testing.assert_array_equal(*played)


def test_what_it_does_not_play_it_says():
    with pytest.raises(ValueError, match="the native engine does not play this model: it plays no"):
        NativeModel(example("everything"))
    wide = a1((80, 8))
    assert why_not(wide) == "it plays 64 channels at most, here are 160"
    assert why_not(a1((8, 4), (1,) * 200)) == "it plays 256 convolutions at most, here are 402"
    far = a1((8, 4), (1, 1 << 22))
    assert why_not(far) == "its memory holds 4,194,304 numbers at most"


# The C++ core's own output


def assert_plays_as_the_core(folder: Path, signal: str, name: str):
    file, _, size = name.partition("@")
    model = load_nam(folder / f"{file}.nam")
    model = model.at_size(float(size)) if size else model
    if why_not(model):
        pytest.skip(why_not(model))
    x, _ = soundfile.read(folder / f"{signal}.wav", dtype="float32")
    expected = np.load(folder / "expected.npz")[f"{signal}__{name}" if signal != "input" else name]
    for blocks in ((64,), (2048, 1, 7, 500, 32, 64)):
        actual = in_blocks(Player(model, 2048, "native"), x, blocks)
        tolerance = np.maximum(5e-5, 5e-6 * np.abs(expected).max())
        np.testing.assert_allclose(actual[: len(expected)], expected, atol=tolerance)


@pytest.mark.parametrize(
    "name",
    [
        *("A2@0.0", "A2@1.0", "wavenet", "wavenet_a1_standard", "slimmable_container@0.5"),
        *("slimmable_container@1.0", "slimmable_wavenet@0.0", "slimmable_wavenet@0.5"),
        "slimmable_wavenet@1.0",
    ],
)
def test_published_models_as_the_core_plays(nam_reference, name):
    assert_plays_as_the_core(nam_reference, "two_tone_input", name)


@pytest.mark.parametrize("number", range(16))
def test_captures_in_the_wild_as_the_core_plays(number):
    folder = REFERENCE / "wild"
    if not folder.is_dir():
        pytest.skip("the captures are not here (../shared/reference/wild)")
    assert_plays_as_the_core(folder, "input", f"wild_{number:02}")
