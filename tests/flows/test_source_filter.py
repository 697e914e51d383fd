"""The source-filter flow's own parts; that it is a flow is tested by the battery."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.flows import small
from tests.quick_jit import quick_jit
from wf_jax.audio.mel import MelSettings, mel_spectrogram
from wf_jax.audio.pitch_rows import pitch_of_context
from wf_jax.flows.families import new_flow
from wf_jax.flows.harmonic_source import at_samples, phases
from wf_jax.flows.pitch_guess import PitchGuess
from wf_jax.flows.source_filter_config import SourceFilterConfig
from wf_jax.modules import split

SETTINGS = MelSettings()
RATE, HOP = SETTINGS.sample_rate, SETTINGS.hop_length
OTHER = np.array([0, 0.7, 0.3], np.float32)


def test_bands_are_scaled_by_those_of_the_corpus(rng):
    """Gives the nets of another voice, recorded otherwise, what they had from the first."""
    model = small.random_model(small.source_filter_config())
    mels = rng.normal([-7, -3, -5, -9], [1, 2, 0.5, 3], (500, 4)).astype(np.float32)
    gain, shift = np.array([1.5, 0.5, 2, 1]), np.array([3.0, -1, 0, 0.5])
    seen = []
    for frames in (mels, mels * gain + shift):
        model.adapt(lambda frames=frames: frames)
        seen.append(np.asarray(model.band_scale(frames.T[None].astype(np.float32))))
    np.testing.assert_allclose(seen[0].mean(axis=2), 0, atol=1e-5)
    np.testing.assert_allclose(seen[0].std(axis=2), 1, rtol=1e-5)
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-4)
    model.adapt(lambda: np.full((9, 4), -5, np.float32))  # silence
    assert np.isfinite(model.band_scale(mels.T[None])).all()


def test_the_scale_is_never_trained(rng):
    model = small.random_model(small.source_filter_config())
    audio, mel = small.random_inputs(model.config, 1, 64)
    audio, mel = audio.astype(np.float32), mel.astype(np.float32)
    loss = quick_jit(jax.grad(lambda model: model.log_prob(audio, mel).sum()))
    for name, gradient in split(loss(model))[1].items():
        if name.startswith("band_scale/"):
            np.testing.assert_array_equal(gradient, 0)


def method(name):
    """Returns a compiled method of a flow: a function of the flow and its arguments."""
    return quick_jit(lambda model, *arguments: getattr(model, name)(*arguments))


def rows_of(cycles, f0, frames, center, voicing=1.0):
    """Returns the pitch rows [1, F, 3] of a phase in cycles and its pitch, by sample."""
    places = center + HOP * np.arange(frames)
    phase = cycles[places] - np.round(cycles[places])
    rows = [np.broadcast_to(voicing, frames), np.log(f0[places]), phase]
    return np.stack(rows, axis=-1)[None].astype(np.float32)


@pytest.mark.parametrize("center", [0, 128])
def test_samples_follow_the_phases_of_frames(center):
    f0 = np.linspace(120, 260, 20 * HOP + 1)
    cycles = np.cumsum(f0) / RATE
    rows = rows_of(cycles, f0, 20, center)
    voicing, log_f0, phase = (np.asarray(v)[0] for v in at_samples(rows, HOP, center, RATE))
    inner = slice(center, center + 19 * HOP)
    np.testing.assert_array_equal(voicing[inner], 1)
    np.testing.assert_allclose(np.exp(log_f0[inner]), f0[inner], rtol=1e-3)
    apart = phase[inner] - cycles[inner]
    np.testing.assert_allclose(apart - np.round(apart), 0, atol=5e-3)


def test_unvoiced_frames_have_no_say():
    """Changes pitch and phase of unvoiced frames: where a neighbor is voiced nothing changes."""
    f0 = np.full(12 * HOP + 1, 200.0)
    cycles = np.cumsum(f0) / RATE
    voicing = np.array([0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0.0])
    rows = rows_of(cycles, f0, 12, 0, voicing)
    other = np.where(voicing[None, :, None] > 0, rows, rows + OTHER)
    found = [np.asarray(at_samples(r, HOP, 0, RATE)) for r in (rows, other)]
    sounding = found[0][0, 0] > 0
    assert 0.3 < sounding.mean() < 0.8
    turns = found[1][2, 0] - found[0][2, 0]
    np.testing.assert_allclose((turns - np.round(turns))[sounding], 0, atol=1e-3)
    np.testing.assert_allclose(found[1][1, 0][sounding], found[0][1, 0][sounding], atol=1e-3)


def test_guessed_phases_are_those_that_samples_follow(rng):
    """Finds nothing to be spread between frames: the phase is the integral of the pitch."""
    log_f0 = (5.2 + 0.1 * np.cumsum(rng.standard_normal((1, 30)), axis=1)).astype(np.float32)
    phase = np.asarray(phases(log_f0, HOP, RATE))
    rows = np.stack([np.ones_like(log_f0), log_f0, phase], axis=-1)
    turned = np.asarray(at_samples(rows, HOP, 0, RATE)[2])[0, : 29 * HOP]
    steps = np.diff(turned)
    steps -= np.round(steps)
    pitch = np.interp(np.arange(29 * HOP - 1) / HOP, np.arange(30), log_f0[0])
    np.testing.assert_allclose(steps * RATE, np.exp(pitch), rtol=0.02)


def tone(f0, seconds=1.0):
    cycles = f0 * np.arange(int(seconds * RATE) // HOP * HOP) / RATE
    numbers = np.arange(1, 11)[:, None]
    return (0.1 * np.cos(2 * np.pi * numbers * cycles) / numbers).sum(axis=0).astype(np.float32)


def test_the_guess_learns_the_pitch_of_mels(rng):
    """Trains the net alone on tones and noise by a few hundred plain steps."""
    config = SourceFilterConfig(pitch_units=16)
    pitches = np.linspace(110, 330, 12)
    x = np.stack(
        [*map(tone, pitches), 0.1 * rng.standard_normal(len(tone(100))).astype(np.float32)]
    )
    context = np.pad(x, ((0, 0), (512, 512)), mode="reflect")[:, : x.shape[1] + 768]
    mel = np.asarray(mel_spectrogram(x, SETTINGS))
    flat = np.zeros((*mel.shape[::2], 1), np.float32)
    rows = np.asarray(pitch_of_context(context, flat, SETTINGS))[:, :, 3:-3]
    mel = mel[:, :, 3:-3]
    guess = jax.tree.map(np.asarray, PitchGuess(config, rng=rng))
    step = jax.jit(jax.value_and_grad(lambda guess: guess.loss(mel, rows[:, 0], rows[:, 1])))
    speed = jax.tree.map(np.zeros_like, guess)
    first = step(guess)[0]
    for _ in range(300):
        loss, gradient = step(guess)
        speed = jax.tree.map(lambda s, g: 0.9 * s + g, speed, gradient)
        guess = jax.tree.map(lambda p, s: p - 0.01 * s, guess, speed)
    assert loss < first / 2
    voicing, log_f0 = map(np.asarray, guess.guess(mel))
    assert voicing[:-1].min() > 0.8
    assert voicing[-1].mean() < 0.3
    np.testing.assert_allclose(
        np.exp(log_f0[:-1]), np.broadcast_to(pitches[:, None], log_f0[:-1].shape), rtol=0.03
    )


def test_a_mel_alone_is_completed():
    """Measures the pitch where there is audio; guesses it, from phase 0 on, where there is none."""
    model = new_flow(SourceFilterConfig(flows=1, layers=1, channels=2), np.random.default_rng(0))
    x = tone(200.0, 0.3)[None]
    mel = mel_spectrogram(x, SETTINGS)
    measured = np.asarray(method("measured")(model, mel, x))
    np.testing.assert_array_equal(measured[:, :80], mel)
    np.testing.assert_allclose(np.exp(measured[0, 81, 3:-3]), 200, rtol=0.01)
    assert model.measured(measured, x) is measured
    guessed = np.asarray(method("guessed")(model, mel))
    assert guessed[0, 82, 0] == 0
    assert np.abs(guessed[0, 82]).max() <= 0.5
    for name, other, tolerance in (("log_prob", measured, 0), ("inverse", guessed, 1e-6)):
        found, expected = (method(name)(model, x, rows) for rows in (mel, other))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=tolerance)


def test_what_a_clip_sounds_like_does_not_depend_on_its_batch(rng):
    """Guesses and generates a short clip alone, and in an array that goes on with anything."""
    model = small.random_model(small.source_filter_config(matches=2))
    mel = rng.standard_normal((2, 4, 12)).astype(np.float32)
    alone, lengths = mel[1:, :, :5], np.array([12 * 16, 5 * 16 - 3], np.int32)
    guess, generate = method("guessed"), method("generate")
    guessed = np.asarray(guess(model, mel, lengths))[1:, :, :5]
    np.testing.assert_allclose(guessed, guess(model, alone), atol=1e-5)
    noise, seeds = rng.standard_normal((2, 12 * 16)).astype(np.float32), np.zeros(2, np.uint32)
    both = np.asarray(generate(model, noise, seeds, mel, lengths))[1:, :77]
    found = np.asarray(generate(model, noise[1:, :80], seeds[1:], alone, lengths[1:]))[:, :77]
    np.testing.assert_allclose(both, found, atol=1e-3 * np.abs(found).max())


def test_values_that_do_not_fit():
    config = small.source_filter_config()
    with pytest.raises(ValueError, match="order 5 does not divide half a hop of 16"):
        dataclasses.replace(config, order=5)
    with pytest.raises(ValueError, match="harmonics 0 is below 1"):
        dataclasses.replace(config, harmonics=0)
    assert "SourceFilter: 2 flows of 2 layers" in config.describe()
