import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from flax import nnx

from wf_jax.amps import a2, load_nam
from wf_jax.amps.a2_pass import COMPILER_OPTIONS, A2Pass
from wf_jax.amps.player import Player

# Outputs are of size 2, and the passes are 2e-6 of it apart; the core asks 5e-5 of its own.
# Longer in all than the longest lookback; standard with few lengths, it compiles for 5 s each.
BLOCKS = {3: (64, 7, 256, 64, 7, *(256,) * 6), 8: (7, 64, 7, 7, *(64,) * 24)}


def random_model(size):
    """Draws the weights of the core's own test of its fast path."""
    model = a2.create(size, np.random.default_rng(0))
    rng = np.random.default_rng(0xA2FA500 + a2.CHANNELS[size])

    def draw(leaf):
        return jnp.asarray(rng.uniform(-0.3, 0.3, leaf.shape), jnp.float32)

    model.head_scale = 0.3  # within the range of the others
    graph, weights = nnx.split(model)
    return nnx.merge(graph, jax.tree.map(draw, weights))


# Standard is the same code, and takes three times as long to compile.
@pytest.fixture(
    scope="module", params=["nano", pytest.param("standard", marks=pytest.mark.exhaustive)]
)
def model(request):
    return random_model(request.param)


@pytest.fixture(scope="module")
def fast(model):
    return A2Pass.of(model)


@pytest.fixture(scope="module")
def block():
    return jax.jit(A2Pass.block, compiler_options=COMPILER_OPTIONS)


@pytest.fixture(scope="module")
def scan():
    return jax.jit(A2Pass.scan, compiler_options=COMPILER_OPTIONS)


@pytest.fixture(scope="module")
def expected(model):
    return np.asarray(jax.jit(lambda x: model(x))(two_tone(8320)))


def two_tone(length):
    t = np.arange(length) / 48000
    x = 0.25 * np.sin(2 * np.pi * 220 * t) + 0.10 * np.sin(2 * np.pi * 1230 * t)
    return jnp.asarray(x[None], jnp.float32)


def test_describes_itself(fast, model):
    assert (fast.receptive_field, fast.sample_rate) == (6347, 48000.0)
    assert model.prewarm_samples == fast.receptive_field
    assert (fast.input_channels, fast.output_channels) == (1, 1)


@pytest.mark.exhaustive
def test_blocks_equal_the_generic_model(fast, block, expected):
    x, state, y, start = two_tone(8192), fast.silence(), [], 0
    for length in BLOCKS[fast.channels]:
        state, part = block(fast, state, x[:, start : start + length])
        assert part.shape == (1, length)
        y.append(part)
        start += length
    np.testing.assert_allclose(np.concatenate(y, axis=1), expected[:, :start], atol=1e-5)
    assert np.abs(expected).max() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("length", [64, pytest.param(256, marks=pytest.mark.exhaustive)])
def test_players_of_both_passes_agree(fast, model, length):
    """Repeats the core's own test: 2048 samples in blocks after silence."""
    x = np.asarray(two_tone(2048))[0]
    ours, theirs = (
        np.concatenate([player(part) for part in np.split(x, len(x) // length)])
        for player in (Player(fast, length), Player(model, length, "jax"))
    )
    assert np.abs(ours - theirs).max() < 5e-5
    assert np.ptp(theirs) > 0.05


@pytest.mark.slow
def test_only_the_counted_samples_advance(fast, block, expected):
    x, state, y, start = two_tone(1024), fast.silence(), [], 0
    for count in (64, 0, 1, 63, 17, 48):
        padded = jnp.concatenate(
            [x[:, start : start + count], jnp.full((1, 64 - count), 9.0)], axis=1
        )
        state, part = block(fast, state, padded, jnp.int32(count))
        y.append(part[:, :count])
        start += count
    np.testing.assert_allclose(np.concatenate(y, axis=1), expected[:, :start], atol=1e-5)
    _, after = block(fast, state, x[:, start : start + 64])
    np.testing.assert_allclose(after, expected[:, start : start + 64], atol=1e-5)


@pytest.mark.slow
def test_scan_and_block_follow_each_other(fast, block, scan, expected):
    x = two_tone(64 + 8192 + 64)
    state, first = block(fast, fast.silence(), x[:, :64])
    state, second = scan(fast, state, x[:, 64:-64])
    state, third = block(fast, state, x[:, -64:])
    y = np.concatenate([first, second, third], axis=1)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.slow
def test_silence_stays_as_it_is(fast, scan, block):
    silence = fast.silence()
    played, y = scan(fast, jnp.zeros_like(silence), jnp.zeros((1, 8192)))  # the field is 6347
    np.testing.assert_allclose(played, silence, rtol=1e-5, atol=1e-6)
    _, quiet = block(fast, silence, jnp.zeros((1, 64)))
    np.testing.assert_allclose(quiet, np.broadcast_to(y[:, -1:], (1, 64)), atol=1e-5)


@pytest.mark.slow
def test_standard_equals_the_generic_model(scan):
    model, x = random_model("standard"), two_tone(4096)
    fast = A2Pass.of(model)
    _, y = scan(fast, fast.silence(), x)
    np.testing.assert_allclose(y, jax.jit(lambda x: model(x))(x), atol=1e-5)


@pytest.mark.parametrize(
    ("size", "name"), [(0.0, "A2@0.0"), pytest.param(1.0, "A2@1.0", marks=pytest.mark.exhaustive)]
)
def test_equals_the_core(nam_reference, scan, size, name):
    fast = A2Pass.of(load_nam(nam_reference / "A2.nam").at_size(size))
    x = two_tone_of_the_core(nam_reference)[:, :8192]
    expected = np.load(nam_reference / "expected.npz")[f"two_tone_input__{name}"]
    _, y = scan(fast, fast.silence(), x)
    np.testing.assert_allclose(y[0], expected[: y.shape[1]], atol=1e-6)


def two_tone_of_the_core(folder):
    x, _ = soundfile.read(folder / "two_tone_input.wav", dtype="float32")
    return jnp.asarray(x[None])
