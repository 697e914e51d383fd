"""The page of a vocoder, and the whole way from a result to the files of a run."""

import base64
import dataclasses
import io
import json
import re
import sys

import jax
import numpy as np
import pytest
import soundfile

from data_pipeline.corpus import Corpus
from data_pipeline.corpus_preparation import prepare_corpus
from data_pipeline.synthetic_speech import write_demo_corpus
from experiments.configs.waveflow import get_config
from experiments.report.elements import is_running
from experiments.run.folder import RunFolder
from experiments.vocoder.figures import latent, likelihood_over_time, loudest_window
from experiments.vocoder.job import make_task
from experiments.vocoder.judged import Judged, Version
from experiments.vocoder.page import VocoderReport, heard, write_vocoder_report
from experiments.vocoder.results import write_results
from experiments.vocoder.samples import TrainingSamples
from wf_jax.audio.judge_packages import package
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import load_model
from wf_jax.flows.synthesis import synthesize
from wf_jax.modules import split
from wf_jax.training.loop import Result

RATE = 22050
SCORES = {
    "log_likelihood": 3.21,
    "bits": 10.37,
    "log_spectral_distance": 7.89,
    "mel_cepstral_distortion": 5.67,
    "vuv_f1_yin": 0.901,
    "f0_rmse_cents_yin": None,
}

RECORD = {"step": 10, "minutes": 0.1, "ll/validation": 2.0, "bits/validation": 9.0}


@pytest.fixture
def report(rng):
    x = 0.3 * np.sin(2 * np.pi * 150 * np.arange(RATE) / RATE).astype(np.float32)
    mel = rng.normal(-5, 2, size=(80, 87))
    noisy = x + 0.01 * rng.normal(size=RATE).astype(np.float32)
    rough = {"Griffin-Lim": Version(0.25 * x, {"mel_cepstral_distortion": 4.56})}
    clips = [Judged(i, f"clip-{i}", 1.0, x, noisy, mel, mel + 0.1, SCORES, rough) for i in range(6)]
    return VocoderReport(
        title="a voice",
        sample_rate=RATE,
        hop=256,
        log_likelihood=3.21,
        bits=10.37,
        parameters=5912288,
        best_step=750,
        steps=1000,
        minutes=61.5,
        history=[
            {"minutes": i, "step": 250 * i, "ll/validation": 3 - 1 / i, "nll/train": 1 / i - 3}
            for i in range(1, 5)
        ],
        baselines={"linear predictor": (1.95, 12.19), "independent Gaussian": (1.07, 13.45)},
        clips=clips,
        calm=[0.5 * clip.resynthesis for clip in clips[:4]],
        latent=rng.normal(size=RATE),
        facts={"seed": "0"},
        next_steps=["python -m experiments.synthesize --model=<run>"],
    )


def page(tmp_path, report):
    path = tmp_path / "report.html"
    write_vocoder_report(path, report)
    return path.read_text()


def test_shows_everything(tmp_path, report):
    html = page(tmp_path, report)
    for text in ("a voice", "3.210", "10.37", "5,912,288", "step 750", "1,000 steps", "1:01:30"):
        assert text in html
    for text in (
        "linear predictor",
        "1.950",
        "12.19",
        "13.45",
        "clip-5, Griffin-Lim",
        "4.56",
        "<td>–</td>",
    ):
        assert text in html
    assert html.count("<audio") == 16  # of four clips, though there are six in the table
    assert html.count("<svg") == 5
    assert "spoken at 0.6" in html
    assert "--model=&lt;run&gt;" in html


def test_needs_nothing_from_outside(tmp_path, report):
    html = page(tmp_path, report)
    sources = re.findall(r'(?:src|href)="([^"]{0,20})', html)
    assert len(sources) > 13
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert set(re.findall(r"url\((.)", html)) == {"#"}


def test_hostile_names_are_text(tmp_path, report):
    clip = dataclasses.replace(report.clips[0], name="<script>$^$")
    html = page(tmp_path, dataclasses.replace(report, clips=[clip], title="<script>"))
    assert html.count("<script") == 1
    assert "&lt;script&gt;$^$" in html


def test_what_is_heard_are_the_clips(tmp_path, report):
    encoded = re.findall(r'data:audio/flac;base64,([^"]+)"', page(tmp_path, report))
    clip = report.clips[0]
    clips = clip.original, 0.5 * clip.resynthesis, clip.resynthesis, 0.25 * clip.original
    for data, expected in zip(encoded[:4], clips, strict=True):
        x, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert rate == RATE
        np.testing.assert_allclose(x, expected, atol=1e-4)


def test_the_curve_is_the_history_beside_the_baselines(report):
    axes = likelihood_over_time(report.history, {"Gaussian": 1.07}, 2.75).axes[0]
    lines = {line.get_label().split()[0]: line for line in axes.lines}
    expected = [2, 2.5, 3 - 1 / 3, 2.75]
    np.testing.assert_allclose(lines["held"].get_ydata(), expected)
    np.testing.assert_allclose(lines["one"].get_ydata(), expected)
    assert lines["best"].get_xydata().tolist() == [[4, 2.75]]
    assert list(lines["Gaussian"].get_ydata()) == [1.07, 1.07]


def test_a_loud_voice_is_turned_down_and_the_original_is_not(report):
    x = report.clips[0].original
    html = heard("clip", x, {"spoken": 8 * x}, RATE)
    assert "<figcaption>spoken, turned down by 7." in html
    first = re.findall(r'base64,([^"]+)"', html)[0]
    np.testing.assert_allclose(soundfile.read(io.BytesIO(base64.b64decode(first)))[0], x, atol=1e-4)


def test_latent_density_is_a_density(rng):
    z = rng.normal(size=100_000)
    axes = latent(z).axes[0]
    density, edges, _ = axes.patches[0].get_data()
    assert np.sum(density * np.diff(edges)) == pytest.approx(1, abs=1e-3)
    centers = (edges[1:] + edges[:-1]) / 2
    np.testing.assert_allclose(density, np.exp(-(centers**2) / 2) / np.sqrt(2 * np.pi), atol=0.02)


def test_loudest_window():
    x = np.zeros(RATE)
    x[9000:9882] = 0.5
    assert loudest_window(x, RATE) == (9000, 9882)
    assert loudest_window(x[:100], RATE) == (0, 100)


@pytest.mark.parametrize("count", [0, 1])
def test_few_evaluations_and_silence(tmp_path, report, count):
    zeros = np.zeros(300, np.float32)
    mel = np.full((80, 2), np.log(1e-5))
    silent = Judged(0, "silence", 0.01, zeros, zeros, mel, mel, SCORES)
    small = dataclasses.replace(
        report, clips=[silent], calm=[zeros], history=report.history[:count], latent=zeros
    )
    html = page(tmp_path, small)
    assert html.count("<audio") == 3
    assert "<td>mean" not in html


# From a result to files


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Makes the task of a tiny model on three short clips, and a result as training returns it."""
    folder = tmp_path_factory.mktemp("voice")
    write_demo_corpus(folder / "clips", clips=3, seconds=0.6)
    prepare_corpus(folder / "clips", folder / "corpus", validation=2)
    corpus, config = Corpus.open(folder / "corpus"), get_config("tiny")
    config.data.corpus, config.data.window = str(folder / "corpus"), 4000
    config.model.flows, config.model.layers = 2, 2
    config.model.channels, config.model.height = 4, 8
    config.train.batch_size, config.train.evaluate_every, config.train.steps = 2, 10, 20
    task = make_task(config, config.flow_config(corpus.sample_rate), corpus)
    model = jax.device_get(task.init())
    evaluation = {k: float(v) for k, v in task.evaluate(model).items()}
    result = Result(
        models=model,
        metrics={"bits/validation": np.float32(evaluation["bits/validation"])},
        best_epochs={"bits/validation": np.float32(20 / task.steps_per_epoch)},
        history=[{"step": 20, "minutes": 0.5, "nll/train": 1.0, **evaluation}],
        steps=20,
        minutes=0.5,
        stopped="the budget is used up",
        finished=True,
    )
    return task, result, corpus, config


@pytest.fixture
def written(run, tmp_path, capsys):
    task, result, corpus, config = run
    write_results(tmp_path, task, result, corpus, config)
    return tmp_path, capsys.readouterr()


@pytest.mark.slow
def test_a_run_leaves_model_metrics_and_page(run, written):
    task, result, _, _ = run
    folder, output = written
    metrics = json.loads((folder / "metrics.json").read_text())
    expected = result.history[0]["ll/validation"]
    assert metrics["log_likelihood"] == pytest.approx(expected, abs=1e-5)
    assert metrics["judged"]["log_likelihood"] == pytest.approx(expected, abs=1e-5)
    assert metrics["best_step"] == 20
    assert metrics["judged_clips"] == [clip.name for clip in task.held_out]
    x = np.concatenate([clip.audio for clip in task.held_out]).astype(np.float64)
    predicted = metrics["baselines"]["linear predictor, order 16"]
    assert predicted > metrics["baselines"]["independent Gaussian"] > -np.log(np.abs(x).max() * 30)
    loaded, saved = split(load_model(folder / "model"))[1], split(result.models)[1]
    for name, value in saved.items():
        np.testing.assert_array_equal(loaded[name], value)
    html = (folder / "report.html").read_text()
    assert html.count("<audio") == 2 * (5 + (package("pyworld") is not None))
    assert f"{metrics['bits']:.2f}" in html
    assert f"{predicted:.3f} nats" in output.out
    assert "experiments.synthesize" in output.out


@pytest.mark.slow
def test_the_next_command_repeats_every_option(run, written):
    html = (written[0] / "report.html").read_text()
    command = next(c for c in re.findall(r"<code>(.*?)</code>", html) if "experiments.train" in c)
    for option in ("waveflow:tiny", "model.flows=2", "model.height=8", "train.steps=60"):
        assert option in command


@pytest.mark.parametrize("name", ["judge", "write_metrics", "write_vocoder_report", "_say"])
def test_a_voice_is_saved_before_what_decorates_it(run, tmp_path, monkeypatch, name):
    task, result, corpus, config = run

    def fail(*_, **__):
        raise RuntimeError("no font")

    monkeypatch.setattr(f"experiments.vocoder.results.{name}", fail)
    with pytest.raises(UserError) as error:
        write_results(tmp_path, task, result, corpus, config)
    assert str(error.value) == (
        f"{tmp_path / 'model'} is complete, but not what is made after it: RuntimeError: no font; "
        "mend that, then the same command makes it"
    )
    load_model(tmp_path / "model")


def test_samples_that_fail_do_not_end_a_training(run, tmp_path, monkeypatch, capsys):
    task, result, _, _ = run

    def fail(*_):
        raise RuntimeError("no font")

    monkeypatch.setattr("experiments.vocoder.samples.picture", fail)
    TrainingSamples(RunFolder(tmp_path), task, 1)(10, result.models, RECORD)
    said = capsys.readouterr().out
    assert said == (
        f"\n{tmp_path}/samples: nothing shown: RuntimeError: no font; the training goes on\n"
    )
    load_model(tmp_path / "model")


def test_the_best_is_saved_although_a_killed_session_had_counted_it(run, tmp_path):
    task, result, _, _ = run
    for bits, saved in ((8.5, False), (9.0, True)):
        (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 7, "bits/validation": bits}))
        TrainingSamples(RunFolder(tmp_path), task, 2)(7, result.models, RECORD)
        assert (tmp_path / "model").exists() is saved


@pytest.mark.parametrize("board", [True, False])
def test_samples_while_training(run, tmp_path, monkeypatch, board):
    task, result, _, _ = run
    if board:
        pytest.importorskip("tensorboardX")
    else:
        monkeypatch.setitem(sys.modules, "tensorboardX", None)
    samples = TrainingSamples(RunFolder(tmp_path), task, 2)
    for step in (10, 20, 25):
        samples(step, result.models, {**RECORD, "step": step, "bits/validation": 16.0})
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step-000020"]
    html = (tmp_path / "report.html").read_text()
    assert is_running(html)
    assert "step 10 after" in html  # the next pages are not due yet
    folder = tmp_path / "samples" / "step-000020"
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(f"{c.name}.{kind}" for c in task.held_out for kind in ("wav", "png"))
    clip = task.held_out[0]
    x, rate = soundfile.read(folder / f"{clip.name}.wav")
    assert soundfile.info(folder / f"{clip.name}.wav").subtype == "PCM_24"
    assert (len(x), rate) == (len(clip.audio), RATE)
    from wf_jax.audio.mel import mel_spectrogram

    mel = np.asarray(mel_spectrogram(clip.audio, task.config.mel))
    expected = next(synthesize(result.models, [mel]))[1][: len(x)]
    assert np.abs(expected).max() > 1  # an untrained model is loud: limited, not wrapped
    np.testing.assert_allclose(x, np.clip(expected, -1, 1), atol=1e-4)
    assert (tmp_path / "tensorboard").is_dir() == board


def test_long_clips_are_cut_for_samples(run, tmp_path, monkeypatch):
    task, result, _, _ = run
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setattr("experiments.vocoder.samples.SAMPLES", (3, 0.2))
    TrainingSamples(RunFolder(tmp_path), task, 1)(10, result.models, RECORD)
    files = list((tmp_path / "samples").rglob("*.wav"))
    assert [soundfile.info(path).frames for path in files] == [4410, 4410]
    assert (tmp_path / "model" / "params.npz").exists()  # the best so far, usable at once
