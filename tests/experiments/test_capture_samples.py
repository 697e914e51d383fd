"""A capture run in TensorBoard: sound and pictures now and then, numbers always."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.capture import samples as capture_samples
from experiments.capture.samples import TrainingSamples
from experiments.run.folder import RunFolder
from wf_jax.amps.capture import CaptureAudio, CaptureTask


@pytest.mark.slow
def test_sound_and_pictures_where_time_has_passed(tmp_path, rng, monkeypatch):
    pytest.importorskip("tensorboardX")
    x = 0.1 * rng.standard_normal((1, 9000)).astype(np.float32)
    task = CaptureTask(CaptureAudio(x, x, x, x), sizes=("nano",), batch_size=1, window=512)
    capture = SimpleNamespace(
        sample_rate=48000, output_gain=2.0, input_validation=x[0], output_validation=x[0]
    )
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
