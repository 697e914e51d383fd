"""Failures after a model is written, or beside its training, cost neither."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure

from data_pipeline.captures import Capture
from data_pipeline.latency import Latency
from data_pipeline.synthetic_pair import demo_pair
from experiments.capture import results as capture_results
from experiments.capture import samples as capture_samples
from experiments.capture.job import CaptureJob
from experiments.capture.latency_plot import plot_latency
from experiments.capture.models import read_models
from experiments.capture.samples import TrainingSamples
from experiments.configs.a2_capture import get_config
from experiments.report.drawing import picture
from experiments.run.decoration import decorating, showing
from experiments.run.folder import RunFolder
from experiments.run.sweep import complete
from wf_jax.amps import load_nam
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask
from wf_jax.amps.nam_file import read_nam
from wf_jax.errors import UserError
from wf_jax.training.loop import Result

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained():
    """Makes a task of a nano model on noise, and a result as training would return it."""
    x = 0.1 * np.random.default_rng(0).standard_normal(9000).astype(np.float32)
    audio = CaptureAudio(x[None], x[None], x[None], x[None])
    task = CaptureTask(audio, sizes=("nano",), batch_size=1, window=512)
    recorded = Capture(
        name="amp\udcff",
        sample_rate=48000,
        input_train=x,
        output_train=x,
        input_validation=x,
        output_validation=x,
        output_gain=2.0,
        latency=Latency(samples=3, method="manual"),
        findings=(),
        standard_version=None,
        validation_start_seconds=1.0,
    )
    result = Result(
        models=task.init(),
        metrics={"esr/nano": np.array([np.nan])},
        best_epochs={"esr/nano": np.array([1.0])},
        history=[{"step": 20, "minutes": 0.5, "esr/nano": 0.5}],
        steps=20,
        minutes=0.5,
        stopped="the budget is used up",
        finished=True,
    )
    return task, recorded, result


FAULTS = {
    "linear_esr": np.linalg.LinAlgError("singular"),
    "write_metrics": OSError(errno.ENOSPC, "No space left on device", "metrics.json"),
    "plot_latency": RuntimeError("In FT2Font: cannot open\nthe font"),
    "write_capture_report": MemoryError(),
}
SAID = {
    "linear_esr": "LinAlgError: singular;",
    "write_metrics": "metrics.json: No space left on device; make room",
    "plot_latency": "RuntimeError: In FT2Font: cannot open;",
    "write_capture_report": "not enough memory; close other programs",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_capture_is_written_before_what_decorates_it(trained, tmp_path, monkeypatch, name):
    """Covers a recording whose name is no UTF-8, and an ESR that JSON cannot hold."""
    task, recorded, result = trained

    def fail(*_, **__):
        raise FAULTS[name]

    monkeypatch.setattr(capture_results, name, fail)
    config = get_config("demo")
    family = read_models(config, 48000.0)
    with pytest.raises(UserError) as error:
        capture_results.write_results(
            config, tmp_path, recorded, task, family, result, None, CaptureJob(config).show
        )
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{tmp_path / 'model.nam'} is complete, but not what is made after it: ")
    assert SAID[name] in line
    load_nam(tmp_path / "model.nam")
    assert read_nam(tmp_path / "model.nam").metadata["name"] == "amp?"
    assert not (tmp_path / "report.html").exists()
    assert not complete(tmp_path)  # a sweep makes it again

    monkeypatch.undo()
    monkeypatch.setattr(capture_results, "write_capture_report", lambda *_: None)
    capture_results.write_results(
        config, tmp_path, recorded, task, family, result, None, CaptureJob(config).show
    )
    assert complete(tmp_path)


def test_the_picture_of_a_recording_whose_name_is_no_text():
    figure = Figure()
    plot_latency(figure.subplots(), Latency(samples=3, method="manual"), 48000, "amp\udcff")
    assert picture(figure)


def test_an_interrupt_is_no_fault_of_decoration(tmp_path):
    with pytest.raises(KeyboardInterrupt), decorating(tmp_path):
        raise KeyboardInterrupt


def test_a_picture_that_fails_does_not_end_a_training(trained, tmp_path, monkeypatch, capsys):
    task, recorded, result = trained
    samples = TrainingSamples(RunFolder(tmp_path), task, recorded)
    shown = []

    class Board:
        active = True

        def __call__(self, step, models, record):
            shown.append(step)

    def fail(*_):
        raise RuntimeError("no font")

    monkeypatch.setattr(capture_samples, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(samples, "_board", Board())
    monkeypatch.setattr(samples, "_show", fail)
    samples(3, result.models, {"step": 3, "minutes": 0.1, "esr/nano": 0.5})
    assert shown == [3]
    said = capsys.readouterr().out
    assert said == (
        f"\n{tmp_path}/tensorboard: nothing shown: RuntimeError: no font; the training goes on\n"
    )


def test_what_cannot_be_shown_names_its_file(tmp_path, capsys):
    with showing(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device", "a.png")
    assert capsys.readouterr().out == (
        "\na.png: cannot be written: No space left on device; the training goes on\n"
    )


FAILING = """
import runpy, sys
from wf_jax.errors import UserError
from experiments.capture import results as capture_results
def fail(*_):
    raise RuntimeError("no font")
capture_results.write_capture_report = fail
runpy.run_module("experiments.train", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_a_command_whose_report_fails(tmp_path):
    """Ends with one line and exit code 1; model.nam is there."""
    for name, x in zip(("di", "amp"), demo_pair(6.0), strict=True):
        soundfile.write(tmp_path / f"{name}.wav", x, 48000, subtype="PCM_24")
    options = {
        "data.input": tmp_path / "di.wav",
        "data.output": tmp_path / "amp.wav",
        "data.validation_seconds": 2,
        "train.batch_size": 2,
        "train.window": 4096,
        "train.steps": 1,
        "train.optimizer": "adam",
        "model.sizes": ("nano",),
    }
    result = subprocess.run(
        [
            *(sys.executable, "-c", FAILING, "--config=a2_capture"),
            f"--workdir={tmp_path / 'run'}",
            *(f"--config.{name}={value}" for name, value in options.items()),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=280,
    )
    model = tmp_path / "run" / "model.nam"
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"{model} is complete, but not what is made after it: RuntimeError: no font; mend that, "
        "then the same command makes it"
    )
    assert "Traceback" not in result.stderr
    load_nam(model)
