"""The synthesize command as a user types it, on a model so small that it takes seconds."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from data_pipeline.synthetic_speech import synthetic_speech
from experiments.vocoder.mel_inputs import find_inputs, passed_over
from experiments.vocoder.wav_output import write_clipped
from tests import hostile_files as hostile
from tests.flows import small
from tests.flows.test_synthesis import FAMILIES
from wf_jax.audio.mel import MelSettings, mel_spectrogram
from wf_jax.errors import UserError
from wf_jax.flows import synthesis
from wf_jax.flows.denoiser import Denoiser
from wf_jax.flows.model_folder import load_model, save_model
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.modules import split

ROOT = Path(__file__).parents[2]
CONFIG = WaveFlowConfig(flows=2, layers=2, channels=4, height=8)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    rng = np.random.default_rng(0)
    model = jax.tree.map(
        lambda v: np.float32(v + 0.02 * rng.standard_normal(v.shape)), WaveFlow(CONFIG, rng)
    )
    folder = tmp_path_factory.mktemp("run")
    save_model(folder / "model", CONFIG, split(model)[1])
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Makes two recordings and a mel, of different lengths."""
    folder = tmp_path_factory.mktemp("in")
    for name, seconds in (("a", 0.5), ("b", 0.8)):
        soundfile.write(folder / f"{name}.wav", synthetic_speech(seconds), 22050, subtype="PCM_16")
    mel = np.asarray(mel_spectrogram(np.float32(synthetic_speech(0.6)), CONFIG.mel))
    np.save(folder / "c.npy", mel[None])
    return folder


def synthesize(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.synthesize", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )


@pytest.mark.slow
def test_a_folder_of_recordings_and_mels(model_folder, recordings, tmp_path):
    out = tmp_path / "out"
    result = synthesize(f"--model={model_folder}", f"--input={recordings}", f"--output={out}")
    assert result.returncode == 0, result.stderr
    assert sorted(p.name for p in out.iterdir()) == ["a.wav", "b.wav", "c.wav"]
    assert "x real time" in result.stderr
    # A recording keeps its length; F frames give F * hop samples.
    frames = np.load(recordings / "c.npy").shape[2]
    samples = {p.stem: soundfile.info(p).frames for p in out.iterdir()}
    assert samples == {"a": 11025, "b": 17640, "c": frames * 256}
    assert soundfile.info(out / "a.wav").subtype == "PCM_24"
    # And it is what the model itself says, alone.
    model = load_model(model_folder / "model")
    mel = np.load(recordings / "c.npy")
    expected = model.sample(jax.random.key(0), mel)[0]
    written, _ = soundfile.read(out / "c.wav")
    np.testing.assert_allclose(written, np.clip(expected, -1, 1), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", [pytest.param("WaveNet", marks=pytest.mark.exhaustive), "WaveGlow"]
)
def test_other_families_and_the_denoiser(family, tmp_path, rng):
    """Plays a model without latent; options reach it, and its tones have their own scale."""
    config = FAMILIES[family]
    settings = dataclasses.replace(config.mel, peak_normalize=True)
    model = small.random_model(dataclasses.replace(config, mel=settings))
    save_model(tmp_path / "model", model.config, split(model)[1])
    samples = 90 * settings.hop_length - 5  # as long in arrays as the denoiser's
    soundfile.write(tmp_path / "a.wav", 0.05 * rng.standard_normal(samples), 8000, subtype="FLOAT")
    result = synthesize(
        f"--model={tmp_path}",
        f"--input={tmp_path / 'a.wav'}",
        f"--output={tmp_path / 'out'}",
        "--temperature=0.5",
        "--seed=3",
        "--denoise=0.4",
        "--format=float32",
    )
    assert result.returncode == 0, result.stderr
    warned = "one sample after another: 1,536 steps" in result.stderr
    assert warned == (family == "WaveNet")
    written, _ = soundfile.read(tmp_path / "out" / "a.wav", dtype="float32")
    (item,) = find_inputs(tmp_path / "a.wav", settings)
    assert item.gain > 2
    ((_, audio),) = synthesis.synthesize(model, [item.mel], temperature=0.5, seed=3)
    expected = Denoiser.of(model)(audio, 0.4)[:samples] / item.gain
    np.testing.assert_allclose(written, expected, atol=1e-5)
    assert np.abs(written - audio[:samples] / item.gain).max() > 1e-3


@pytest.mark.slow
def test_no_model_is_one_line(tmp_path):
    result = synthesize(f"--model={tmp_path}", "--input=x.npy", f"--output={tmp_path / 'out'}")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert str(tmp_path) in result.stderr


@pytest.mark.exhaustive
def test_what_is_no_number_is_one_line():
    """NaN passes the bounds of a flag, and must not be written or found late."""
    for flag in ("--denoise=nan", "--temperature=inf"):
        result = synthesize("--model=x", "--input=x.npy", "--output=out", flag)
        assert result.returncode == 1
        assert result.stderr == f"{flag} is not a number of 0 or more\n"


def test_a_recording_of_another_rate_is_refused_or_resampled(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, synthetic_speech(0.5, 48000), 48000)
    with pytest.raises(ValueError, match="48000 Hz, but the model was trained at 22050 Hz; add"):
        find_inputs(path, MelSettings())
    (item,) = find_inputs(path, MelSettings(), resample=True)
    assert abs(item.samples - 11025) <= 1


def test_peak_normalized_models_get_their_scale_and_give_back_the_users(tmp_path):
    x = 0.1 * synthetic_speech(0.5)
    soundfile.write(tmp_path / "x.wav", x, 22050, subtype="FLOAT")
    (item,) = find_inputs(tmp_path / "x.wav", MelSettings(peak_normalize=True))
    assert item.gain == pytest.approx(0.999 / np.abs(x).max(), rel=1e-5)
    (plain,) = find_inputs(tmp_path / "x.wav", MelSettings())
    assert np.median(item.mel - plain.mel) == pytest.approx(np.log(item.gain), abs=0.1)


def natural_mel():
    return np.asarray(mel_spectrogram(np.float32(synthetic_speech(1.0)), MelSettings()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (np.exp, "linear"),
        (lambda m: m / np.log(10), "log10"),
        (lambda m: (m + 11.5) / 14, "normalized|0 to 1|0..1"),
        (lambda m: m.T, "transpose"),
        (lambda m: m[:40], "bands"),
        (lambda m: np.where(m > 0, np.nan, m), "NaN"),
        (lambda m: np.repeat(m[None], 2, 0), r"\[80, frames\]"),
        (lambda m: m.astype(np.int32), "floats"),
        (lambda m: m[:, :0], "frames"),
    ],
)
def test_a_mel_of_another_shape_or_scale_is_recognized(change, says, tmp_path):
    path = tmp_path / "mel.npy"
    np.save(path, change(natural_mel()))
    with pytest.raises(UserError, match=says) as error:
        find_inputs(path, MelSettings())
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_the_scale_check_can_be_overruled_but_not_the_shape(tmp_path):
    np.save(tmp_path / "mel.npy", np.exp(natural_mel()))
    assert find_inputs(tmp_path / "mel.npy", MelSettings(), any_scale=True)
    np.save(tmp_path / "mel.npy", natural_mel()[:40])
    with pytest.raises(UserError, match="bands"):
        find_inputs(tmp_path / "mel.npy", MelSettings(), any_scale=True)


@pytest.mark.parametrize("content", [b"", b"no numpy at all", b"\x93NUMPY\x01\x00v\x00{"])
def test_what_is_no_npy_is_one_line(content, tmp_path):
    path = tmp_path / "mel.npy"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"not a \.npy of numbers"):
        find_inputs(path, MelSettings())


def test_pickled_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "mel.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"not a \.npy of numbers"):
        find_inputs(tmp_path / "mel.npy", MelSettings())


def test_several_arrays_in_one_file_are_refused(tmp_path):
    with (tmp_path / "mel.npy").open("wb") as file:
        np.savez(file, a=natural_mel())
    with pytest.raises(UserError, match="several arrays"):
        find_inputs(tmp_path / "mel.npy", MelSettings())


def test_an_npz_of_one_array_is_read(tmp_path):
    mel = natural_mel()
    np.savez_compressed(tmp_path / "mel.npz", feats=mel)
    (item,) = find_inputs(tmp_path, MelSettings())
    np.testing.assert_array_equal(item.mel, mel)
    np.savez(tmp_path / "mel.npz", mel=mel, energy=mel[0])
    with pytest.raises(
        UserError, match=r"mel\.npz: 2 arrays \(mel, energy, \.\.\.\); save the mel"
    ):
        find_inputs(tmp_path, MelSettings())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mel.pt", r"a file of PyTorch.*numpy\.save\(.*torch\.load"),
        ("mel.h5", r"a file of HDF5.*numpy\.save\(.*h5py\.File"),
        ("mel.HDF5", "a file of HDF5"),
        ("mel.ark", "a file of Kaldi"),
    ],
)
def test_mels_of_other_tools_have_a_remedy(name, says, tmp_path):
    (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n")
    for source in (tmp_path, tmp_path / name):
        with pytest.raises(UserError, match=f"{name}: {says}") as error:
            find_inputs(source, MelSettings())
        assert "\n" not in str(error.value)


def test_other_files_of_a_folder_are_counted(tmp_path):
    np.save(tmp_path / "mel.npy", natural_mel())
    for name in ("a.txt", "b.TXT", "c.mp3", ".hidden"):
        (tmp_path / name).write_text("no mel")
    inputs = find_inputs(tmp_path, MelSettings())
    assert passed_over(tmp_path, inputs) == "2 .txt, 1 .mp3"
    assert passed_over(tmp_path / "mel.npy", inputs) == ""


def test_files_that_announce_more_than_they_hold(tmp_path):
    path = tmp_path / "mel.npy"
    path.write_bytes(hostile.npy_header((80, 10**12)) + bytes(320))
    with pytest.raises(UserError, match="announces 320000000000000 bytes, 320 are there"):
        find_inputs(path, MelSettings())
    path = hostile.bomb(tmp_path / "mel.npz")
    with pytest.raises(UserError, match="unpacks to 3221"):
        find_inputs(path, MelSettings())


def test_what_cannot_be_known_is_a_note(tmp_path):
    mel = natural_mel()
    for name, case, note in (
        ("whole", mel, ""),
        ("square", mel[:, :80], "which axis is which cannot be told"),
        ("reversed", mel[::-1], r"pass mel[::-1]"),
    ):
        np.save(tmp_path / f"{name}.npy", case)
        (item,) = find_inputs(tmp_path / f"{name}.npy", MelSettings())
        assert note in item.note
        assert bool(note) == bool(item.note)


def test_a_stereo_recording_is_averaged(tmp_path):
    x = synthetic_speech(0.5)
    soundfile.write(tmp_path / "x.wav", np.stack([x, 0 * x], 1), 22050, subtype="FLOAT")
    soundfile.write(tmp_path / "y.wav", 0.5 * x, 22050, subtype="FLOAT")
    stereo, mono = find_inputs(tmp_path, MelSettings())
    np.testing.assert_array_equal(stereo.mel, mono.mel)


@pytest.mark.slow
def test_a_recording_is_never_replaced(model_folder, tmp_path):
    soundfile.write(tmp_path / "x.wav", synthetic_speech(0.2), 22050)
    before = (tmp_path / "x.wav").read_bytes()
    arguments = (f"--model={model_folder}", f"--input={tmp_path}", f"--output={tmp_path}")
    result = synthesize(*arguments)
    assert result.returncode == 1
    assert "would be replaced; give another --output" in result.stderr
    assert (tmp_path / "x.wav").read_bytes() == before


def test_two_files_for_one_output_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", natural_mel())
    soundfile.write(tmp_path / "a.wav", np.zeros(1000), 22050)
    with pytest.raises(UserError, match=r"two files are called a"):
        find_inputs(tmp_path, MelSettings())


def test_loud_audio_is_limited_and_never_wraps(tmp_path):
    x = np.array([0.5, 1.5, -1.5, 1.0, -1.0], np.float32)
    assert write_clipped(tmp_path / "x.wav", x, 22050) == 2
    y, _ = soundfile.read(tmp_path / "x.wav")
    np.testing.assert_allclose(y, [0.5, 1, -1, 1, -1], atol=2e-7)
    assert write_clipped(tmp_path / "x.wav", x, 22050, "float32") == 0
    np.testing.assert_array_equal(soundfile.read(tmp_path / "x.wav")[0], x)
