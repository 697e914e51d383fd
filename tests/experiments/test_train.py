"""The command lines as a user types them, on a pair so small that they take seconds."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipeline.synthetic_pair import demo_pair
from wf_jax.amps import load_nam

ROOT = Path(__file__).parents[2]
CONFIG = "--config=a2_capture"
SMALL = ["--config.train.batch_size=2", "--config.train.window=4096"]


def run(module, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{module}", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        **options,
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    for name, x in zip(("di", "amp"), demo_pair(6.0), strict=True):
        soundfile.write(folder / f"{name}.wav", x, 48000, subtype="PCM_24")
    return folder / "di.wav", folder / "amp.wav"


@pytest.fixture(scope="module")
def capture(pair, tmp_path_factory):
    """Makes a finished run of two epochs."""
    workdir = tmp_path_factory.mktemp("run") / "amp"
    result = run("train", *arguments(pair, workdir), "--config.train.epochs=2")
    assert result.returncode == 0, result.stderr
    return workdir, result


def arguments(pair, workdir):
    di, amp = pair
    files = [f"--config.data.input={di}", f"--config.data.output={amp}"]
    return [CONFIG, f"--workdir={workdir}", *files, *SMALL, "--config.data.validation_seconds=2"]


@pytest.mark.slow
def test_a_capture_from_files_to_nam_and_report(capture):
    workdir, result = capture
    assert {"model.nam", "metrics.json", "report.html", "metrics.jsonl", "config.json"} <= {
        path.name for path in workdir.iterdir()
    }
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert 0 < metrics["esr"]["standard"] < 2
    assert 0 < metrics["linear_esr"] < 1
    assert metrics["latency_samples"] == 95
    for text in ("nano", "standard", "ESR", "report.html", "found by cross-correlation"):
        assert text in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_nam_plays_at_recording_level(capture, pair):
    """Normalization is undone: the file's own output has the ESR that was reported."""
    workdir, _ = capture
    di, amp = (soundfile.read(path, dtype="float32")[0] for path in pair)
    start = len(di) - 2 * 48000
    x, y = di[start:-95], amp[start + 95 :]
    metrics = json.loads((workdir / "metrics.json").read_text())
    for value, size in ((0.0, "nano"), (1.0, "standard")):
        model = load_nam(workdir / "model.nam").at_size(value)
        p = np.asarray(model(x[None]))[0, 6346:]
        esr = np.mean((p - y[6346:]) ** 2) / np.mean(y[6346:] ** 2)
        assert esr == pytest.approx(metrics["esr"][size], rel=1e-3)
    document = json.loads((workdir / "model.nam").read_text())
    assert document["metadata"]["name"] == "amp"
    assert document["metadata"]["training"]["data"]["latency"]["calibration"]["recommended"] == 95
    assert document["metadata"]["gear_type"] is None


@pytest.mark.slow
def test_what_comes_next_can_be_pasted(capture, pair, tmp_path):
    """Runs every command of the page in a shell, with a recording in place of the example."""
    page = (capture[0] / "report.html").read_text()
    commands = [html.unescape(c) for c in re.findall(r"<code>(.*?)</code>", page)]
    assert len(commands) == 2
    for command in commands:
        pasted = command.replace(
            "--input=di.wav --output=", f"--input={pair[0]} --output={tmp_path}/"
        )
        pasted = pasted if "train.epochs" not in pasted else f"{pasted} --config.train.epochs=3"
        done = subprocess.run(pasted, shell=True, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, (pasted, done.stderr)
    assert "continuing at step" in done.stdout + done.stderr
    assert (tmp_path / "wet.wav").exists()


@pytest.mark.slow
def test_another_config_in_the_same_workdir_is_refused(capture, pair):
    workdir, _ = capture
    result = run("train", *arguments(pair, workdir), "--config.train.seed=5")
    assert result.returncode == 1
    assert "--config.train.seed=0, not 5" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("slim", [0.0, pytest.param(1.0, marks=pytest.mark.exhaustive)])
def test_render_equals_the_model(capture, tmp_path, slim):
    workdir, _ = capture
    x = np.random.default_rng(0).uniform(-0.5, 0.5, 200_000).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", x, 48000, subtype="FLOAT")
    model = f"--model={workdir / 'model.nam'}"
    files = [f"--input={tmp_path / 'x.wav'}", f"--output={tmp_path / 'y.wav'}"]
    result = run("render", model, *files, f"--slim={slim}")
    assert result.returncode == 0, result.stderr
    y, rate = soundfile.read(tmp_path / "y.wav", dtype="float32")
    assert rate == 48000
    assert soundfile.info(tmp_path / "y.wav").subtype == "FLOAT"
    expected = load_nam(workdir / "model.nam").at_size(slim)(x[None])[0]
    np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.slow
def test_render_folder_rates_and_faults(capture, tmp_path):
    workdir, _ = capture
    model, source, target = f"--model={workdir / 'model.nam'}", tmp_path / "in", tmp_path / "out"
    source.mkdir()
    soundfile.write(source / "a.wav", np.full(5000, 0.1), 44100)
    soundfile.write(source / "b.flac", np.full(7000, 0.1), 48000)
    (source / "c.wav").write_text("no audio")
    bad = np.zeros(3000, np.float32)
    bad[2000] = np.nan
    soundfile.write(source / "d.wav", bad, 48000, subtype="FLOAT")
    result = run("render", model, f"--input={source}", f"--output={target}")
    assert result.returncode == 1
    assert "44100 Hz, but the model plays at 48000 Hz; add --resample" in result.stderr
    assert "c.wav: can not be read as audio" in result.stderr
    assert (
        "d.wav: 1 samples are not numbers (NaN or infinite), the first at 0.042 s" in result.stderr
    )
    assert "Traceback" not in result.stderr
    assert [path.name for path in target.iterdir()] == ["b.wav"]
    assert soundfile.info(target / "b.wav").frames == 7000
    run("render", model, f"--input={source}", f"--output={target}", "--resample")
    resampled = soundfile.info(target / "a.wav")
    assert (resampled.frames, resampled.samplerate) == (5000, 44100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--config.data.input is missing"),
        (["--config.data.input=none.wav", "--config.data.output=b.wav"], "none.wav: no such file"),
        (["--config.data.input=demo", "--config.data.latency=soon"], "neither a number"),
        (["--config.data.input=demo", "--config.model.sizes=('huge',)"], "none of nano, standard"),
        (
            ["--config.data.input=demo", "--config.train.batch_size=-1"],
            "batch_size=-1 is not 0 or more",
        ),
    ],
)
def test_bad_options_are_one_line(tmp_path, options, message):
    result = run("train", CONFIG, f"--workdir={tmp_path}", *options)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "model.nam").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            [CONFIG, "--config.train.minuts=3"],
            "--config.train.minuts: no such option; did you mean --config.train.minutes?",
        ),
        (["--config=nowhere.py"], "nowhere.py: no such config file"),
        ([f"{CONFIG}:loud"], "a2_capture:loud does not exist; use a2_capture:demo"),
        ([CONFIG, "--config.train.minutes=ten"], "could not convert string to float: 'ten'"),
        ([CONFIG, "extra"], "unexpected argument 'extra'"),
    ],
)
def test_bad_flags_are_explained(tmp_path, options, message):
    result = run("train", f"--workdir={tmp_path / 'run'}", *options)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_render_without_a_model_is_one_line(tmp_path):
    files = [f"--input={tmp_path}/a.wav", f"--output={tmp_path}/b.wav"]
    result = run("render", f"--model={tmp_path}/none.nam", *files)
    assert result.returncode == 1
    assert "none.nam: cannot be read" in result.stderr
    assert "Traceback" not in result.stderr
