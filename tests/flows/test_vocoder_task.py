"""The training task: its loss is the likelihood of the windows, its evaluation that of clips."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.flows import small, toy_vocoder
from tests.flows.toy_vocoder import NoisyWindows
from tests.quick_jit import quick_jit
from wf_jax.audio.mel import mel_of_context, mel_spectrogram
from wf_jax.errors import UserError
from wf_jax.flows import vocoder_task
from wf_jax.flows.vocoder_task import (
    HeldOut,
    clip_log_likelihoods,
    dequantization_noise,
    mel_context,
)
from wf_jax.likelihood import bits_per_sample
from wf_jax.modules import split
from wf_jax.platforms import chosen
from wf_jax.training.checkpoints import Checkpoints
from wf_jax.training.fingerprints import fingerprints
from wf_jax.training.loop import train
from wf_jax.training.optimizers import make_optimizer
from wf_jax.training.settings import CheckpointSettings, Settings
from wf_jax.training.state import create_state

CONSTANT = 0.918939  # log(2 pi) / 2
BEFORE = mel_context(small.MEL, 64)[0]


@pytest.fixture(scope="module")
def model():
    return small.random_model(small.config(channels=3))


@quick_jit
def direct(model, x, mel):
    return *model.forward(x, mel), model.log_prob(x, mel)


def window_of(batch):
    return batch["audio"][:, BEFORE : BEFORE + 64]


# The loss


def test_the_first_loss_is_that_of_the_bare_audio():
    """Expects 0.918939 + mean(x^2) / 2; a lost constant or normalizer shows at once."""
    task = toy_vocoder.task()
    batch = task.batch(0)
    loss, metrics = quick_jit(task.loss)(task.init(), batch)
    expected = CONSTANT + 0.5 * np.mean(np.square(window_of(batch)))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_array_equal(metrics["nll/train"], loss)


def test_the_loss_is_the_likelihood_with_the_mel_of_the_window(model):
    """The mel comes from the window and its context: a frame's shift would show."""
    task = toy_vocoder.task()
    batch = task.batch(2)
    loss, _ = quick_jit(task.loss)(model, batch)
    audio = batch["audio"]
    # center=False: with all of its context the window's frames are those of the longer clip.
    lead = -(-BEFORE // small.MEL.hop_length) * small.MEL.hop_length
    longer = np.pad(audio, ((0, 0), (lead - BEFORE, 0)))
    mel = mel_spectrogram(longer, small.MEL)[:, :, lead // 16 : lead // 16 + 4]
    nats = direct(model, window_of(batch), mel)[2]
    np.testing.assert_allclose(loss, -np.mean(nats), rtol=1e-5)


@pytest.mark.parametrize("one_by_one", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_short_clips_count_their_samples_only(model, one_by_one):
    """Padding would flatter the likelihood (zeros are likely) and overweight short clips."""
    lengths = [64, 40, 7, 64]
    source = NoisyWindows(64, 4, lengths=lengths)
    task = toy_vocoder.task(batch_size=4, source=source, masked=True)
    task.one_by_one = one_by_one
    batch = task.batch(0)
    loss, _ = quick_jit(task.loss)(model, batch)
    mel = quick_jit(partial(mel_spectrogram, settings=small.MEL))(batch["audio"][:, BEFORE - 16 :])
    assert mel.shape[2] >= 5
    energy = 0.0
    for b, length in enumerate(lengths):
        frames = small.MEL.frames(length)
        x = window_of(batch)[b : b + 1, :length]
        z, log_det, _ = direct(model, x, mel[b : b + 1, :, 1 : 1 + frames])
        energy += 0.5 * np.sum(np.square(z)) - log_det[0]
    np.testing.assert_allclose(loss, energy / sum(lengths) + CONSTANT, rtol=1e-5)


@pytest.mark.parametrize("dequantize", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_silence_is_finite(model, dequantize):
    """Zeroed files broke public training by a log and square root at zero."""
    task = toy_vocoder.task(dequantize=dequantize)
    batch = task.batch(0)
    batch["audio"][:] = 0
    (loss, _), gradients = quick_jit(jax.value_and_grad(task.loss, has_aux=True))(model, batch)
    assert np.isfinite(loss)
    for name, gradient in split(gradients)[1].items():
        assert np.isfinite(gradient).all(), name


def test_a_voice_begins_with_the_bands_of_its_corpus(monkeypatch):
    """Takes mean and deviation from the frames that have samples, the same for every seed."""
    monkeypatch.setattr(vocoder_task, "MEASURED", 640)
    source = NoisyWindows(64, 2, lengths=[64, 20])
    scales = []
    for seed in (0, 1):
        task = toy_vocoder.task(source=source, settings=small.source_filter_config(), seed=seed)
        scale = task.init().band_scale
        scales.append((np.asarray(scale.middle), np.exp(scale.log_spread)))
    audio = np.concatenate([task.batch(step)["audio"] for step in range(5)])
    mels = np.asarray(mel_of_context(audio[:, : 3 * 16 + 64], small.MEL))
    frames = np.concatenate([mels[::2].swapaxes(1, 2), mels[1::2, :, :2].swapaxes(1, 2)], axis=1)
    frames = frames.reshape(-1, small.MEL.n_mels)
    for middle, spread in scales:
        np.testing.assert_allclose(middle, frames.mean(axis=0), rtol=1e-4)
        np.testing.assert_allclose(spread, frames.std(axis=0), rtol=1e-3)


def test_dequantization_noise():
    """One int16 step wide at the scale of the file, so times the gain; the same at each call."""
    source = NoisyWindows(64, 2, gain=1e4)  # so that float32 can tell
    task, plain = (toy_vocoder.task(source=source, dequantize=on) for on in (True, False))
    first, again, later = task.batch(0), task.batch(0), task.batch(1)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    assert not np.any(first["noise_seed"] == later["noise_seed"])
    assert first["noise_seed"][0] != first["noise_seed"][1]
    model, audio = task.init(), first["audio"]
    noisy = first | {"audio": audio + 1e4 * draw(first["noise_seed"], audio.shape[1])}
    drawn, added = quick_jit(task.loss), quick_jit(plain.loss)
    loss = drawn(model, first)[0]
    np.testing.assert_allclose(loss, added(model, noisy)[0], rtol=1e-6)
    assert abs(loss - added(model, first)[0]) > 1e-4
    noise = draw(first["noise_seed"], 4096)
    half = 0.5 / 32768
    assert np.abs(noise).max() <= half
    assert np.std(noise) == pytest.approx(half / 3**0.5, rel=0.05)
    assert abs(np.corrcoef(noise)[0, 1]) < 0.1
    np.testing.assert_array_equal(noise, draw(first["noise_seed"], 4096))


def draw(seeds, samples):
    return np.asarray(dequantization_noise(jnp.asarray(seeds), samples))


# Evaluation


@pytest.mark.slow
def test_evaluation_is_the_likelihood_of_whole_clips(model):
    """Equals single computation with `mel_spectrogram`; the mean is over samples, not clips."""
    clips = toy_vocoder.held_out(90, 33)
    task = toy_vocoder.task(clips=(90, 33))
    found = clip_log_likelihoods(model, clips)
    for clip, value in zip(clips, found, strict=True):
        mel = mel_spectrogram(clip.audio[None], small.MEL)
        np.testing.assert_allclose(value, direct(model, clip.audio[None], mel)[2][0], rtol=1e-5)
    mean = np.dot(found, [90, 33]) / 123
    metrics = task.evaluate(model)
    assert metrics["ll/validation"] == pytest.approx(mean, rel=1e-6)
    assert metrics["bits/validation"] == pytest.approx(bits_per_sample(mean), rel=1e-6)


@pytest.mark.parametrize("at_once", [1, 3])
def test_clips_of_any_length_and_gain(at_once):
    """With more clips than devices, in two buckets, each value returns to its own clip.

    The density of x' = g x is lower by log(g), which is given back (1/4 nat in Parakeet's numbers).
    """
    clips = toy_vocoder.held_out(70, 1, 1200, 80, 1100, 16)
    clips[3] = HeldOut("loud", 4 * clips[3].audio, gain=4.0)
    model = toy_vocoder.task().init()
    expected = [
        np.log(clip.gain) - CONSTANT - 0.5 * np.mean(np.square(clip.audio)) for clip in clips
    ]
    with chosen(clips=at_once):
        found = clip_log_likelihoods(model, clips)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("nats", "expected"), [(4.954, 7.853), (5.023, 7.753), (5.059, 7.701), (5.101, 7.641)]
)
def test_bits(nats, expected):
    """Expects the published numbers of bits."""
    assert bits_per_sample(nats) == pytest.approx(expected, abs=6e-4)


# Training


def state_of(folder, task):
    """Returns step and state of the newest checkpoint of a run with a moving average."""
    like = create_state(
        split(task.init())[1],
        make_optimizer("adam", task.axes_of),
        task.best_metrics,
        task.models,
        averaged=True,
    )
    like = jax.tree.map(jnp.asarray, like)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        restored = checkpoints.restore(like)
    return restored.step, restored.state


def settings(steps):
    return Settings(
        steps=steps,
        learning_rate=0.01,
        average_decay=0.9,
        checkpoints=CheckpointSettings(steps=1),
    )


@pytest.fixture(scope="module")
def six_steps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(toy_vocoder.task(dequantize=True), settings(6), folder)


@pytest.mark.slow
def test_it_learns(six_steps):
    """Six steps at a high rate improve already: the gradient points downhill."""
    _, result = six_steps
    first, second = result.history
    assert (first["step"], second["step"]) == (3, 6)
    assert second["nll/train"] < first["nll/train"]
    assert second["bits/validation"] < first["bits/validation"]


@pytest.mark.slow
def test_goes_on_where_it_stopped(six_steps, tmp_path):
    """The same bits in parameters, average, moments and best: nothing lives outside the state."""
    folder, whole = six_steps
    train(toy_vocoder.task(dequantize=True), settings(3), tmp_path)
    resumed = train(toy_vocoder.task(dequantize=True), settings(6), tmp_path)
    (steps, ours), (steps_whole, theirs) = (
        state_of(where, toy_vocoder.task()) for where in (tmp_path, folder)
    )
    assert steps == steps_whole == 6
    assert fingerprints(ours) == fingerprints(theirs)
    assert fingerprints(split(resumed.models)[1]) == fingerprints(split(whole.models)[1])
    kept = [[r["bits/validation"] for r in run.history] for run in (resumed, whole)]
    assert kept[0] == kept[1]


@pytest.mark.slow
def test_a_batch_that_is_no_number(tmp_path):
    """The run names the step and its clips; earlier checkpoints stay complete."""
    task = toy_vocoder.task(source=NoisyWindows(64, 2, broken_after=4))
    result = train(task, settings(6), tmp_path)
    assert result.stopped.startswith(
        "the training diverged at step 4 (windows clip4a, clip4b): lower train.learning_rate"
    )
    assert [record["step"] for record in result.history] == [3]
    assert all(np.isfinite(v).all() for v in split(result.models)[1].values())
    step, state = state_of(tmp_path, task)
    assert step <= 4
    for value in jax.tree.leaves(state):
        assert np.isfinite(value).all()
    assert int(state.step) == step


@pytest.mark.slow
def test_no_number_at_once_is_an_error(tmp_path):
    task = toy_vocoder.task(source=NoisyWindows(64, 2, broken_after=0))
    with pytest.raises(UserError, match=r"diverged at step 0 \(windows clip0a, clip0b\)"):
        train(task, settings(6), tmp_path)


@pytest.mark.slow
def test_eight_devices_train_as_one(tmp_path):
    """With masked clips of unequal length, a mean of the devices' means would differ."""
    program = Path(toy_vocoder.__file__)
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.flows.toy_vocoder", str(count), str(tmp_path / name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=program.parents[2],
        )
        for count, name in ((1, "one"), (8, "eight"))
    ]
    found = []
    for run in runs:
        out, err = run.communicate(timeout=300)
        assert run.returncode == 0, err
        found.append(np.array([[float(v) for v in line.split()] for line in out.splitlines()]))
    assert found[0].shape == (3, 3)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
