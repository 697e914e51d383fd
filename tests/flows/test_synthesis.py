"""Many clips in few programs: only a clip's own mel and the seed determine its audio."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.flows import small
from tests.quick_jit import quick_jit
from wf_jax.audio.draws import clip_keys, draw
from wf_jax.audio.mel import MelSettings
from wf_jax.flows import synthesis
from wf_jax.flows.synthesis import clip_pieces, context_frames, synthesize
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.platforms import chosen

HOP = small.MEL.hop_length
FAMILIES = {
    "WaveFlow": small.config(channels=3),
    "WaveGlow": small.waveglow_config(upsample_hops=3),
    "WaveNet": small.wavenet_config(head="logistic_mixture"),
    "autoregressive flow": small.wavenet_config(head="affine", flows=2),
}


def mels(*frames, seed=5):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((4, n)).astype(np.float32) for n in frames]


def drawn(seed, frames, hop=HOP):
    """Returns noise [T] and seed of a clip that is computed with `seed`."""
    keys = clip_keys(jax.random.key(seed), 1)
    shape = np.zeros((1, 1, frames), np.float32)
    noise, seeds = draw(keys, np.zeros(1, np.int32), shape, hop)
    return np.asarray(noise[0]), np.asarray(seeds[0])


def audio(model, clips, **options):
    found = dict(synthesize(model, clips, **options))
    assert sorted(found) == list(range(len(clips)))
    return [found[i] for i in range(len(clips))]


@pytest.fixture(scope="module")
def model():
    return small.random_model(small.config(channels=3))


@dataclasses.dataclass(frozen=True)
class Echo:
    """Plays its noise: compiles at once, and counts how often."""

    config: WaveFlowConfig
    traced: list

    def generate(self, noise, seeds, mel, lengths, temperature):
        self.traced.append(noise.shape)
        return temperature * noise + 0 * mel.sum()


jax.tree_util.register_dataclass(Echo, data_fields=[], meta_fields=["config", "traced"])


class Shapes(list):
    """A list that may be static."""

    def __hash__(self):
        return id(self)

    def __eq__(self, other):
        return self is other


def echo(**changes):
    return Echo(small.config(**changes), Shapes())


@pytest.mark.parametrize(("clips", "rows"), [(1, 2), (3, 4), (9, 8)])
def test_a_device_computes_as_many_clips_at_once_as_suit_it(clips, rows):
    """Two devices take up to four clips each, with no more rows than clips need."""
    flow, given = echo(), mels(*[7] * clips)
    with chosen(clips=4):
        found = audio(flow, given)
    assert [shape[0] for shape in flow.traced] == [rows]
    for one, clip in zip(audio(echo(), given), found, strict=True):
        np.testing.assert_array_equal(clip, one)


# Chunks


@pytest.mark.parametrize("frames", [1, 40, 41, 80, 81, 200])
@pytest.mark.parametrize("hop", [16, 20])
def test_pieces_cover_a_clip_once(frames, hop):
    """A repeated or missing frame would click; a cut inside a column would shift all rows."""
    mel = dataclasses.replace(small.MEL, hop_length=hop)
    config = small.config(mel=mel, upsample_factors=(4, hop // 4))
    found = clip_pieces(frames, config, 40)
    assert [p.first for p in found] == [0, *(p.last for p in found[:-1])]
    assert found[-1].last == frames
    for piece in found:
        assert piece.before * hop % config.height == 0
        assert 0 <= piece.before <= piece.first < piece.last <= piece.after <= frames
        if len(found) > 1:
            assert piece.first - piece.before == min(context_frames(config), piece.first)
            assert piece.after - piece.last == min(context_frames(config), frames - piece.last)
    assert len(found) == (1 if frames <= 40 else -(-frames // 40))


def test_the_context_of_the_paper_s_model():
    """Needs 2040 columns and the upsampler's frames on each side."""
    assert context_frames(WaveFlowConfig()) == -(-2040 * 16 // 256) + 2


@pytest.mark.slow
def test_chunks_are_the_whole(model, monkeypatch):
    """Equal to rounding; too little context differs, so that this test can fail."""
    clip = mels(130)
    (whole,) = audio(model, clip)
    (chunked,) = audio(model, clip, chunk=40)
    np.testing.assert_allclose(chunked, whole, atol=1e-5)
    # At the cuts too, not only on average.
    monkeypatch.setattr(synthesis, "context_frames", lambda config: 0)
    (bare,) = audio(model, clip, chunk=40)
    wrong = np.flatnonzero(np.abs(bare - whole) > 1e-4)
    assert len(wrong)
    near = np.abs(wrong[:, None] - HOP * np.array([40, 80, 120])).min(axis=1)
    assert near.max() < HOP * context_frames(model.config)


@pytest.mark.slow
def test_a_clip_is_alone_in_its_batch(model):
    """Neighbors, order and the number of pieces at once change nothing."""
    clips = mels(20, 64, 7)
    together = audio(model, clips)
    assert [len(a) for a in together] == [20 * HOP, 64 * HOP, 7 * HOP]
    for i, clip in enumerate(clips):
        np.testing.assert_allclose(audio(model, [clip])[0], together[i], atol=1e-6)
    backwards = audio(model, clips[::-1], batch_size=3)[::-1]
    for ours, theirs in zip(backwards, together, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    # And it is what the model itself says.
    z = drawn(0, 20)[0][None]
    direct = quick_jit(lambda model, z, mel: model.inverse(z, mel))(model, z, clips[0][None])
    np.testing.assert_allclose(together[0], direct[0], atol=1e-5)


@pytest.mark.slow
def test_a_hop_that_is_no_multiple_of_the_height():
    """With hop 20, height 8, a frame is 2.5 columns, and a clip may end inside one."""
    mel = MelSettings(
        sample_rate=8000, n_fft=64, hop_length=20, win_length=64, n_mels=4, f_max=4000.0
    )
    model = small.random_model(small.config(channels=3, mel=mel, upsample_factors=(4, 5)))
    clips = mels(77, 31)
    together, chunked = audio(model, clips), audio(model, clips, chunk=25)
    assert [len(a) for a in together] == [77 * 20, 31 * 20]
    for ours, theirs in zip(chunked, together, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


# The other families


def test_a_wavenet_s_clips_are_never_cut():
    """Every sample depends on all before it: a chunk would begin without its past."""
    (piece,) = clip_pieces(5000, FAMILIES["WaveNet"], 40)
    assert (piece.before, piece.first, piece.last, piece.after) == (0, 0, 5000, 5000)


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    ["WaveGlow", "WaveNet", pytest.param("autoregressive flow", marks=pytest.mark.exhaustive)],
)
def test_a_clip_is_its_mel_and_seed_in_every_family(family):
    """Neighbors, order and array length change nothing; the model itself agrees."""
    model, clips = small.random_model(FAMILIES[family]), mels(61, 20)
    together = audio(model, clips, temperature=0.7, seed=3)
    backwards = audio(model, clips[::-1], temperature=0.7, seed=3)[::-1]
    alone = audio(model, clips[1:], temperature=0.7, seed=3)
    for found, expected in zip([*backwards, *alone], [*together, together[1]], strict=True):
        assert np.std(expected) > 1e-2
        np.testing.assert_allclose(found, expected, atol=1e-6)
    sample = quick_jit(lambda model, mel: model.sample(jax.random.key(3), mel, 0.7))
    direct = sample(model, clips[1][None])[0]
    np.testing.assert_allclose(together[1], direct, atol=1e-5)


@pytest.mark.slow
def test_chunks_of_a_waveglow_are_the_whole(monkeypatch):
    """Its context is exact in both directions; without any the chunks differ."""
    model, clip = small.random_model(FAMILIES["WaveGlow"]), mels(130)
    (whole,) = audio(model, clip)
    (chunked,) = audio(model, clip, chunk=40)
    np.testing.assert_allclose(chunked, whole, atol=1e-5)
    monkeypatch.setattr(synthesis, "context_frames", lambda config: 0)
    (bare,) = audio(model, clip, chunk=40)
    assert np.abs(bare - whole).max() > 1e-3


@pytest.mark.slow
def test_what_the_noise_does_not_give_comes_from_the_seed(monkeypatch):
    """Otherwise a mixture's components would repeat for every seed, or never again."""
    model, clip = small.random_model(FAMILIES["WaveNet"]), mels(10)
    one, again = (audio(model, clip)[0] for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert len({int(drawn(seed, 1)[1]) for seed in (0, 1, 2, 2**32 - 1)}) == 4

    def other_seeds(*arguments):  # and the same noise
        noise, seeds = draw(*arguments)
        return noise, seeds + 1

    monkeypatch.setattr(synthesis, "draw", other_seeds)
    synthesis._generate.clear_cache()
    synthesis._PROGRAMS.clear()
    assert np.abs(audio(model, clip)[0] - one).max() > 1e-2
    synthesis._PROGRAMS.clear()


@pytest.mark.slow
def test_a_frame_s_noise_is_its_own():
    """Independent of its array, of the first frame, and of the clips beside it."""
    keys = clip_keys(jax.random.key(7), 3)
    shape = np.zeros((3, 1, 12), np.float32)
    noise, seeds = draw(keys, np.zeros(3, np.int32), shape, 16)
    assert noise.shape == (3, 192)
    assert len(set(np.asarray(seeds).tolist())) == 3
    part, again = draw(keys[1:2], np.full(1, 5, np.int32), shape[:1, :, :4], 16)
    np.testing.assert_array_equal(part[0], noise[1, 5 * 16 : 9 * 16])
    assert again[0] == seeds[1]
    assert abs(np.corrcoef(np.asarray(noise))[np.triu_indices(3, 1)]).max() < 0.3
    assert np.unique(np.asarray(noise)).size == noise.size
    np.testing.assert_array_equal(
        jax.random.key_data(keys[:2]), jax.random.key_data(clip_keys(jax.random.key(7), 2))
    )


# Noise and compilation


def test_temperature_and_seed():
    """Flows that copy give the noise itself times the temperature; a new one compiles nothing."""
    clips = mels(64, 10)
    model = echo()
    one = audio(model, clips)
    np.testing.assert_array_equal(one[0], drawn(0, 64)[0])
    np.testing.assert_array_equal(one[1], drawn(0, 10)[0])
    assert abs(np.std(one[0]) - 1) < 0.1
    np.testing.assert_array_equal(audio(model, clips)[0], one[0])
    np.testing.assert_allclose(audio(model, clips, temperature=0.6)[0], 0.6 * one[0], rtol=1e-6)
    assert not any(np.any(a) for a in audio(model, clips, temperature=0.0))
    assert len(model.traced) == 1
    other = audio(model, clips, seed=1)[0]
    assert abs(np.corrcoef(other, one[0])[0, 1]) < 0.2


@pytest.mark.slow
def test_temperature_zero_of_a_model_is_its_mode(model):
    clip = mels(20)
    first, second = (audio(model, clip, temperature=0.0, seed=seed)[0] for seed in (0, 1))
    np.testing.assert_array_equal(first, second)
    assert np.any(first)


@pytest.mark.slow
def test_few_programs_for_many_lengths():
    """Twenty lengths in one call compile once per bucket, not per clip."""
    model = echo()
    lengths = list(range(30, 430, 20))
    found = audio(model, mels(*lengths), chunk=300)
    assert [len(a) for a in found] == [n * HOP for n in lengths]
    assert len(model.traced) == len(set(model.traced))
    assert len(model.traced) <= 11


def test_clips_are_given_out_as_soon_as_they_are_complete():
    """A long clip among short ones must not hold them all in memory."""
    model = echo()
    order = [i for i, _ in synthesize(model, mels(200, 10, 12), chunk=50)]
    assert sorted(order) == [0, 1, 2]
    assert dict(synthesize(model, [])) == {}


def test_a_fresh_model_plays_its_noise(rng):
    """The whole path with a real model: unchanged by masks, buckets and devices."""
    model = WaveFlow(small.config(channels=3), rng)
    (found,) = audio(model, mels(50))
    np.testing.assert_array_equal(found, drawn(0, 50)[0])
