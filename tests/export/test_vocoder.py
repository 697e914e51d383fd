"""A released vocoder beside its model: batches, long clips, streams, and refusals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.export import small_releases as releases
from tests.flows import small
from wf_jax.errors import UserError
from wf_jax.export import load
from wf_jax.export.functions import reconfigured
from wf_jax.export.manifest import read_manifest
from wf_jax.flows.vocoder_task import HeldOut, clip_log_likelihoods

HOP = small.MEL.hop_length


@pytest.fixture(scope="module")
def model():
    return releases.flow("WaveFlow")


@pytest.fixture(scope="module")
def vocoder(tmp_path_factory):
    return load(releases.vocoder_release(tmp_path_factory.mktemp("release") / "voice"))


def programs(vocoder):
    return {name: call._cache_size() for name, call in vocoder._functions.items()}


@pytest.mark.slow
def test_many_lengths_share_a_program(vocoder):
    """Compiles one program up to 64 frames and the next up to 80; results have the asked length."""
    key, before = jax.random.key(0), programs(vocoder)
    for frames in (1, 2, 17, 40, 64):
        mel, audio = releases.mels(1, frames), releases.clip(1, frames * HOP - 3)
        assert vocoder.synthesize(mel, key).shape == (1, frames * HOP)
        assert vocoder.log_prob(audio, mel).shape == (1,)
        assert vocoder.mel(audio).shape == (1, 4, frames)
    after = programs(vocoder)
    assert all(after[name] - before[name] <= 1 for name in after)
    for frames in (65, 70, 79):
        assert vocoder.mel(releases.clip(1, frames * HOP)).shape == (1, 4, frames)
    assert programs(vocoder)["mel"] <= after["mel"] + 1


@pytest.mark.slow
def test_clips_of_a_batch_may_have_different_lengths(vocoder):
    """Each clip is as alone, but for its key; silence follows it."""
    mel, frames, key = releases.mels(2, 30), np.array([30, 11]), jax.random.key(4)
    together = vocoder.synthesize(mel, key, 0.7, frames)
    assert not together[1, 11 * HOP :].any()
    cut = vocoder.synthesize(mel[:, :, :11], key, 0.7)
    np.testing.assert_allclose(together[1, : 11 * HOP], cut[1], atol=1e-6)
    (first,) = vocoder.synthesize(mel[:1], key, 0.7)
    np.testing.assert_allclose(together[0], first, atol=1e-6)
    audio, lengths = releases.clip(2, 300), np.array([300, 117])
    nats = vocoder.log_prob(audio, vocoder.mel(audio, lengths), lengths)  # whatever follows them
    alone = vocoder.log_prob(audio[1:, :117], vocoder.mel(audio[1:, :117]))
    np.testing.assert_allclose(nats[1:], alone, rtol=1e-5)


@pytest.mark.slow
def test_temperature(vocoder):
    """Zero draws nothing; a new one compiles nothing."""
    mel, before = releases.mels(1, 20), programs(vocoder)["synthesize"]
    mode, again = (vocoder.synthesize(mel, jax.random.key(seed), 0.0) for seed in (0, 1))
    np.testing.assert_array_equal(mode, again)
    calm, wild = (np.std(vocoder.synthesize(mel, jax.random.key(0), t)) for t in (0.3, 1.0))
    assert np.std(mode) < calm < wild
    assert programs(vocoder)["synthesize"] <= before + 1


def test_old_style_keys(vocoder):
    mel = releases.mels(1, 5)
    new, old = jax.random.key(3), jax.random.PRNGKey(3)
    np.testing.assert_array_equal(vocoder.synthesize(mel, new), vocoder.synthesize(mel, old))


@pytest.mark.slow
def test_a_key_for_each_clip(vocoder):
    """A clip with its own key sounds as it does alone, whatever row it stands in."""
    mel, keys = releases.mels(2, 30), jax.random.split(jax.random.key(3))
    together = vocoder.synthesize(mel, keys, 0.7)
    for row, one, key in zip(together, mel, keys, strict=True):
        np.testing.assert_allclose(row, vocoder.synthesize(one[None], key, 0.7)[0], atol=1e-6)


def test_what_floats_are_does_not_matter(vocoder):
    mel, key = releases.mels(1, 5), jax.random.key(3)
    expected = vocoder.synthesize(mel, key)
    np.testing.assert_array_equal(vocoder.synthesize(mel.astype(np.float64), key), expected)
    assert vocoder.synthesize(jnp.asarray(mel, jnp.bfloat16), key).shape == expected.shape


@pytest.mark.slow
def test_clips_that_are_scaled_to_their_peak(tmp_path):
    """Takes the mel of the scaled clip, the likelihood of the clip as it is."""
    settings = dataclasses.replace(small.MEL, peak_normalize=True)
    model = small.random_model(small.config(channels=3, mel=settings))
    folder = releases.written(tmp_path / "voice", model)
    vocoder, quiet = load(folder), 0.01 * releases.clip(1, 300)
    scaled = quiet * (0.999 / np.abs(quiet).max())
    mel = releases.mel_of(scaled)
    np.testing.assert_allclose(vocoder.mel(quiet), mel, atol=1e-4)
    (expected,) = clip_log_likelihoods(
        model, [HeldOut("clip", scaled[0], float(scaled[0, 0] / quiet[0, 0]))]
    )
    np.testing.assert_allclose(vocoder.log_prob(quiet, mel), expected, rtol=1e-4)


@pytest.mark.slow
def test_a_hop_that_is_no_multiple_of_the_height(tmp_path):
    """With hop 20, height 8, arrays are of whole columns, and a clip may end inside one."""
    settings = dataclasses.replace(small.MEL, hop_length=20)
    model = small.random_model(small.config(channels=3, mel=settings, upsample_factors=(4, 5)))
    vocoder, mel = load(releases.written(tmp_path / "voice", model)), releases.mels(1, 31)
    audio = vocoder.synthesize(mel, jax.random.key(2), 0.7)
    np.testing.assert_allclose(audio, releases.sampled(model, mel, 2, 0.7), atol=1e-5)
    assert vocoder.mel(audio[:, :-3]).shape == (1, 4, 31)


@pytest.mark.slow
def test_arrays_are_as_long_as_the_release_says(tmp_path, monkeypatch):
    """Another version of this library may fill up to other lengths."""
    vocoder = load(releases.vocoder_release(tmp_path / "voice"))
    monkeypatch.setattr("wf_jax.audio.clips.SMALLEST", 16)
    assert vocoder.mel(releases.clip(1, 20 * HOP)).shape == (1, 4, 20)


# Long clips and streams


@pytest.fixture(scope="module")
def long(vocoder):
    """Returns a mel of 130 frames, and its audio in one piece."""
    mel = releases.mels(1, 130)
    return mel, vocoder.synthesize(mel, jax.random.key(9), 0.8)


@pytest.mark.slow
def test_pieces_are_the_whole(vocoder, long):
    mel, whole = long
    pieces = vocoder.synthesize(mel, jax.random.key(9), 0.8, chunk=40)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


@pytest.mark.parametrize("portions", [(1,) * 130, (50, 0, 33, 47), (130,)])
def test_a_stream_is_the_whole(vocoder, long, portions):
    mel, whole = long
    ends = np.cumsum(portions)[:-1]
    parts = list(vocoder.stream(np.split(mel[0], ends, axis=1), jax.random.key(9), 0.8, chunk=24))
    assert [len(part) for part in parts] == [24 * HOP] * 5 + [10 * HOP]
    np.testing.assert_allclose(np.concatenate(parts), whole[0], atol=1e-5)


def test_a_stream_speaks_as_soon_as_its_context_is_there(vocoder):
    """Latency is a chunk and the context after it, no more; few programs are compiled."""
    context = vocoder.manifest.vocoder.context_frames
    arrived, spoken, before = 0, 0, programs(vocoder)["synthesize"]

    def blocks():
        nonlocal arrived
        for column in releases.mels(1, 200)[0].T:
            assert arrived < spoken + 16 + context  # else the next chunk is late
            arrived += 1
            yield column[:, None]

    for part in vocoder.stream(blocks(), jax.random.key(0), chunk=16):
        spoken += len(part) // HOP
    assert spoken == 200
    assert programs(vocoder)["synthesize"] <= before + 1


def test_too_little_context_is_another_result(vocoder, long):
    """Shows that the two tests above can fail; more context comes nearer."""
    mel, whole = long
    errors = [
        np.abs(
            np.concatenate(
                list(vocoder.stream([mel[0]], jax.random.key(9), 0.8, chunk=24, context=context))
            )
            - whole[0]
        ).max()
        for context in (0, 1, 2)
    ]
    assert errors[0] > errors[1] > errors[2] > 1e-5


def test_an_empty_stream(vocoder):
    assert list(vocoder.stream([], jax.random.key(0))) == []


@pytest.mark.slow
def test_a_wavenet_cannot_be_cut(tmp_path):
    vocoder = load(releases.vocoder_release(tmp_path / "wavenet", "WaveNet"))
    assert vocoder.manifest.vocoder.context_frames is None
    with pytest.raises(UserError, match="made in one piece; use synthesize"):
        vocoder.stream([releases.mels(1, 5)[0]], jax.random.key(0))


# Devices and types


@pytest.mark.slow
def test_a_batch_over_devices(vocoder, tmp_path):
    """Rows of each device equal those of one device; three do not divide over two devices."""
    folder = releases.vocoder_release(tmp_path / "voice")
    both = load(folder, devices=jax.devices()[:2])
    mel = releases.mels(2, 20)
    one, two = (v.synthesize(mel, jax.random.key(0)) for v in (vocoder, both))
    np.testing.assert_allclose(one, two, atol=1e-6)
    audio = releases.clip(3, 300)
    np.testing.assert_allclose(both.mel(audio), vocoder.mel(audio), atol=1e-6)


@pytest.mark.slow
def test_bfloat16(tmp_path, vocoder, model):
    """Its nets compute in bfloat16; its audio is float32, its arrays are unchanged."""
    half = load(releases.vocoder_release(tmp_path / "voice", dtype="bfloat16"))
    assert half.manifest.dtype == "bfloat16"
    # And it is the default of a model that was trained so.
    trained = releases.written(tmp_path / "own", reconfigured(model, compute_dtype="bfloat16"))
    assert read_manifest(trained).dtype == "bfloat16"
    assert {value.dtype for value in half.manifest.params.values()} == {"float32"}
    mel, key = releases.mels(1, 20), jax.random.key(0)
    ours, exact = half.synthesize(mel, key, 0.7), vocoder.synthesize(mel, key, 0.7)
    assert ours.dtype == np.float32
    error = np.sqrt(np.mean(np.square(ours - exact)) / np.mean(np.square(exact)))
    assert 1e-4 < error < 0.05


# Refusals


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda v, k: v.mel(np.zeros(9)), "audio of shape [9]: give [B, T]"),
        (lambda v, k: v.mel(np.zeros((1, 0))), "no size of which is 0"),
        (lambda v, k: v.mel(np.zeros((1, 9), np.int16)), "audio of type int16: give floats"),
        (lambda v, k: v.mel(np.zeros((1, 9)), [9, 9]), "lengths of int64 [2]: give 1 whole"),
        (lambda v, k: v.mel(np.zeros((1, 9)), [0]), "lengths from 0 to 0: give 1 to 9"),
        (lambda v, k: v.synthesize(np.zeros((4, 9)), k), "mel of shape [4, 9]: give [B, 4, F]"),
        (lambda v, k: v.synthesize(np.zeros((1, 5, 9)), k), "give [B, 4, F]"),
        (lambda v, k: v.synthesize(np.zeros((1, 4, 9)), k, -1.0), "temperature -1.0"),
        (lambda v, k: v.synthesize(np.zeros((1, 4, 9)), k, np.nan), "temperature nan"),
        (lambda v, k: v.synthesize(np.zeros((1, 4, 9)), 7), "key 7 is none: give jax.random.key"),
        (lambda v, k: v.synthesize(np.zeros((1, 4, 9)), None), "key None is none"),
        (lambda v, k: v.synthesize(np.zeros((1, 4, 9)), jnp.zeros(3)), "key of float32 [3]"),
        (
            lambda v, k: v.synthesize(np.zeros((1, 4, 9)), jax.random.split(k, 3)),
            "keys of shape [3]: give one, or 1",
        ),
        (lambda v, k: v.synthesize(np.zeros((1, 4, 9)), k, "1"), "temperature '1' is not"),
        (lambda v, k: v.stream([], k, chunk=1.5), "chunk 1.5, context"),
        (lambda v, k: v.synthesize(np.zeros((1, 4, 9)), k, 1.0, chunk=0), "chunk 0"),
        (
            lambda v, k: v.synthesize(np.zeros((1, 4, 9)), jax.random.key(0, impl="rbg")),
            "key of kind rbg: give jax.random.key",
        ),
        (
            lambda v, k: v.log_prob(np.zeros((1, 33)), np.zeros((1, 4, 2))),
            "33 samples are more than 2 mel frames of hop 16 stand for; give 3 frames",
        ),
        (
            lambda v, k: v.log_prob(np.zeros((2, 33)), np.zeros((1, 4, 3))),
            "mel of shape [1, 4, 3]: give [2, 4, F]",
        ),
        (
            lambda v, k: next(v.stream([np.zeros((5, 2))], k)),
            "mel of shape [5, 2]: give [4, n]",
        ),
    ],
)
def test_wrong_arguments_are_one_line(vocoder, call, expected):
    with pytest.raises(UserError) as caught:
        call(vocoder, jax.random.key(0))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
