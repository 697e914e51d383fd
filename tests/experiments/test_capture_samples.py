"""A capture run in TensorBoard: sound and pictures now and then, numbers always."""

import base64
import io
import re
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import soundfile

from experiments.capture import samples as capture_samples
from experiments.capture.samples import TrainingSamples
from experiments.report.elements import is_running
from experiments.run.folder import RunFolder
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask


@pytest.fixture
def recorded(rng):
    x = 0.1 * rng.standard_normal((1, 9000)).astype(np.float32)
    task = CaptureTask(CaptureAudio(x, x, x, x), sizes=("nano",), batch_size=1, window=512)
    capture = SimpleNamespace(
        name="amp\udcff",
        sample_rate=48000,
        output_gain=2.0,
        input_validation=x[0],
        output_validation=x[0],
    )
    return task, capture


def test_a_page_while_training(tmp_path, recorded, monkeypatch):
    task, capture = recorded
    samples = TrainingSamples(RunFolder(tmp_path), task, capture)
    for step, esr in ((3, 0.5), (6, 0.25)):
        samples(step, task.init(), {"step": step, "minutes": step / 60, "esr/nano": esr})
        html = (tmp_path / "report.html").read_text()
        assert is_running(html)
        assert "step 3 after 0:03" in html  # the second is not due yet
        assert "<h1>amp?</h1>" in html
        assert html.count("<audio") == 2
        assert "nano, best 0.5000" in html
    monkeypatch.setattr("experiments.report.running.SECONDS_BETWEEN", 0.0)
    samples(9, task.init(), {"step": 9, "minutes": 0.15, "esr/nano": 0.3})
    html = (tmp_path / "report.html").read_text()
    assert "step 9 after 0:09" in html
    assert "nano, best 0.2500" in html


def test_sounds_so_far_at_every_second_evaluation(tmp_path, recorded, capsys):
    task, capture = recorded
    samples = TrainingSamples(RunFolder(tmp_path), task, capture, every=2)
    model, record = task.init(), {"minutes": 0.1, "esr/nano": 0.5}
    samples(3, model, {"step": 3, **record})
    assert "nothing shown" not in capsys.readouterr().out
    place = tmp_path / "samples"
    heard = {path.stem: soundfile.read(path, dtype="float32")[0] for path in place.iterdir()}
    assert set(heard) == {"DI", "nano", "target"}
    x = capture.input_validation[task.lookback :]
    np.testing.assert_array_equal(heard["DI"], x)
    np.testing.assert_array_equal(heard["target"], x / 2)  # as loud as the recording
    trained = jax.tree.map(lambda leaf: leaf[0], model["nano"])
    y = np.asarray(trained(capture.input_validation[None]))[0, task.lookback :]
    np.testing.assert_allclose(heard["nano"], y / 2, atol=1e-5)
    (place / "nano.wav").unlink()
    samples(6, model, {"step": 6, **record})
    assert not (place / "nano.wav").exists()
    samples(9, model, {"step": 9, **record})
    assert (place / "nano.wav").exists()


def test_no_sounds_where_none_are_asked_for(tmp_path, recorded):
    task, capture = recorded
    samples = TrainingSamples(RunFolder(tmp_path), task, capture)
    samples(3, task.init(), {"step": 3, "minutes": 0.1, "esr/nano": 0.5})
    assert not (tmp_path / "samples").exists()


@pytest.mark.slow
def test_the_page_plays_the_model(tmp_path, recorded):
    task, capture = recorded
    model = task.init()
    samples = TrainingSamples(RunFolder(tmp_path), task, capture)
    samples(3, model, {"step": 3, "minutes": 0.1, "esr/nano": 0.5})
    source = re.findall(r'flac;base64,([^"]+)"', (tmp_path / "report.html").read_text())[1]
    heard, _ = soundfile.read(io.BytesIO(base64.b64decode(source)))
    trained = jax.tree.map(lambda leaf: leaf[0], model["nano"])
    y = np.asarray(trained(capture.input_validation[None]))[0, task.lookback :]
    assert len(heard) == len(y)
    np.testing.assert_allclose(heard, y / 2, atol=1e-4)


@pytest.mark.slow
def test_sound_and_pictures_where_time_has_passed(tmp_path, recorded, monkeypatch):
    pytest.importorskip("tensorboardX")
    task, capture = recorded
    samples = TrainingSamples(RunFolder(tmp_path), task, capture)
    samples(3, task.init(), {"step": 3, "minutes": 0.1, "esr/nano": 0.5})
    (file,) = (tmp_path / "tensorboard").iterdir()
    numbers = file.stat().st_size
    assert 0 < numbers < 1000
    monkeypatch.setattr(capture_samples, "SECONDS_BETWEEN", 0.0)
    samples(6, task.init(), {"step": 6, "minutes": 0.2, "esr/nano": 0.4})
    content = file.read_bytes()
    assert len(content) > numbers + 2 * (9000 - task.lookback)  # 16-bit sound, twice
    assert b"waveforms" in content
    assert b"the amp" in content
