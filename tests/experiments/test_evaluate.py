"""The command `evaluate`, on a tiny model and clips of half a second."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.corpus import Corpus
from data_pipeline.corpus_preparation import prepare_corpus
from data_pipeline.synthetic_speech import write_demo_corpus
from experiments.releases.card import METRICS
from experiments.vocoder.evaluation import judge, latent
from experiments.vocoder.job import held_out_clips
from experiments.vocoder.judged import Judged, Version, contents, lines, means
from experiments.vocoder.page import write_evaluation_page
from experiments.vocoder.scores import LIKELIHOODS, SCORES
from wf_jax.audio.clips import clip_mel
from wf_jax.audio.judge_packages import PACKAGES, package
from wf_jax.audio.mel import mel_spectrogram
from wf_jax.audio.quality import mel_cepstral_distortion
from wf_jax.flows.model_folder import save_model
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.modules import split

ROOT = Path(__file__).parents[2]
CONFIG = WaveFlowConfig(flows=2, layers=2, channels=4, height=8)


@pytest.fixture(scope="module")
def model():
    """Makes random weights everywhere: a fresh model's last layer is zero."""
    definition, params = split(WaveFlow(CONFIG, np.random.default_rng(0)))
    rng = np.random.default_rng(1)
    noise = {k: (0.02 * rng.standard_normal(v.shape)).astype(v.dtype) for k, v in params.items()}
    return definition({k: v + noise[k] for k, v in params.items()})


@pytest.fixture(scope="module")
def workdir(model, tmp_path_factory):
    """Makes a finished run."""
    folder = tmp_path_factory.mktemp("run")
    write_demo_corpus(folder / "clips", clips=4, seconds=0.5)
    prepare_corpus(folder / "clips", folder / "corpus", validation=3)
    save_model(folder / "model", CONFIG, split(model)[1])
    (folder / "config.json").write_text(json.dumps({"data.corpus": "demo"}))
    return folder


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.evaluate", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )


@pytest.mark.slow
def test_table_and_file(workdir, tmp_path):
    output = tmp_path / "scores.json"
    result = run(f"--workdir={workdir}", "--clips=2", f"--output={output}")
    assert result.returncode == 0, result.stderr
    content = json.loads(output.read_text())
    assert list(content["clips"]) == ["clip-01", "clip-02"]
    for clip in content["clips"].values():
        assert clip["seconds"] == 0.5
        assert f"{clip['log_likelihood']:.3f}" in result.stdout
        assert f"{clip['mel_cepstral_distortion']:.2f}" in result.stdout
    rough = content["baselines"]["Griffin-Lim"]
    assert list(rough["clips"]) == ["clip-01", "clip-02"]
    assert rough["mean"]["log_spectral_distance"] > 0
    assert "mean, Griffin-Lim" in result.stdout
    assert ("pip install 'wf_jax[judge]'" in result.stdout) == (None in map(package, PACKAGES))
    assert "2 of 2" in result.stderr
    assert not (workdir / "evaluation.json").exists()
    html = output.with_suffix(".html").read_text()
    assert html.count("<audio") == 2 * (4 + ("WORLD" in content["baselines"]))


@pytest.mark.slow
def test_judging_equals_the_definitions(model, workdir):
    corpus = Corpus.open(workdir / "corpus")
    clips = held_out_clips(corpus, CONFIG.mel)
    judged = judge(model, clips)
    assert [clip.name for clip in judged] == [clip.name for clip in clips]
    for clip, held_out in zip(judged, clips, strict=True):
        mel = mel_spectrogram(held_out.audio[None], CONFIG.mel)
        np.testing.assert_allclose(clip.mel, mel[0], atol=1e-4)
        expected = float(model.log_prob(held_out.audio[None], mel)[0])
        assert clip.scores["log_likelihood"] == pytest.approx(expected, abs=1e-4)
        bits = (np.log(32768) - expected) / np.log(2)
        assert clip.scores["bits"] == pytest.approx(bits, abs=1e-3)
        distortion = mel_cepstral_distortion(held_out.audio, clip.resynthesis, 22050)
        assert clip.scores["mel_cepstral_distortion"] == pytest.approx(distortion)
        pulled = clip.baselines["pulled noise"]
        assert np.abs(clip_mel(pulled.audio, CONFIG.mel) - clip.mel).mean() < 0.2
        rough = clip.baselines["Griffin-Lim"]
        assert np.abs(clip_mel(rough.audio, CONFIG.mel) - clip.mel).mean() < 0.5
        distortion = mel_cepstral_distortion(held_out.audio, rough.audio, 22050)
        assert rough.scores["mel_cepstral_distortion"] == pytest.approx(distortion)
        assert "log_likelihood" not in rough.scores
    z, _ = model.forward(clips[0].audio[None], judged[0].mel[None])
    np.testing.assert_allclose(latent(model, clips[0]), z[0], atol=1e-4)


@pytest.mark.slow
def test_scores_are_at_the_level_of_the_recording(model, workdir):
    corpus = Corpus.open(workdir / "corpus")
    scaled = held_out_clips(corpus, dataclasses.replace(CONFIG.mel, peak_normalize=True))[:1]
    assert scaled[0].gain > 1.1
    (clip,) = judge(model, scaled)
    original = corpus.audio(corpus.select("validation")[0]) / np.float32(32768)
    np.testing.assert_allclose(clip.original, original, atol=1e-6)
    mel = mel_spectrogram(scaled[0].audio[None], CONFIG.mel)
    at_gain = float(model.log_prob(scaled[0].audio[None], mel)[0])
    expected = at_gain + np.log(scaled[0].gain)
    assert clip.scores["log_likelihood"] == pytest.approx(expected, abs=1e-4)
    loud = np.abs(clip.baselines["Griffin-Lim"].audio).max() / np.abs(original).max()
    assert 0.5 < loud < 2


@pytest.mark.slow
def test_the_extra_adds_its_scores_and_world(model, workdir, monkeypatch):
    clips = held_out_clips(Corpus.open(workdir / "corpus"), CONFIG.mel)[:1]
    with monkeypatch.context() as patch:
        for name in PACKAGES:
            patch.setitem(sys.modules, name, None)
        (without,) = judge(model, clips)
    assert list(without.baselines) == ["Griffin-Lim", "pulled noise"]
    plain = {"log_likelihood", "bits", "log_spectral_distance", "mel_cepstral_distortion"}
    assert set(without.scores) == plain | {"vuv_f1_yin", "f0_rmse_cents_yin"}
    for name in ("pesq", "pyworld"):
        pytest.importorskip(name)
    (clip,) = judge(model, clips)
    assert list(clip.baselines) == ["Griffin-Lim", "pulled noise", "WORLD"]
    added = {"pesq", "vuv_f1_harvest", "f0_rmse_cents_harvest"}
    assert set(clip.scores) - {"zimtohrli"} == plain | added
    assert clip.baselines["WORLD"].audio.shape == clip.original.shape


def judged_clip(name, samples, scores, rough):
    x = np.zeros(samples, np.float32)
    return Judged(0, name, 1.0, x, x, x, x, scores, {"Griffin-Lim": Version(x, rough)})


def test_means_are_over_samples_or_clips():
    def clip(samples, value, cents):
        scores = {"log_likelihood": value, "bits": value, "pesq": value, "f0_rmse_cents_yin": cents}
        return judged_clip("a", samples, scores, {"pesq": 2 * value})

    found = means([clip(100, 1.0, 30.0), clip(300, 2.0, None)])
    mean = {"log_likelihood": 1.75, "bits": 1.75, "pesq": 1.5, "f0_rmse_cents_yin": 30}
    assert found == {"model": mean, "Griffin-Lim": {"pesq": 3}}
    assert means([clip(100, 1.0, None)])["model"]["f0_rmse_cents_yin"] is None


def test_a_table_has_the_scores_that_there_are(tmp_path):
    scores = {"bits": 8.0, "pesq": 1.234, "f0_rmse_cents_yin": None}
    clips = [judged_clip(name, 9, scores, {"pesq": 2.5}) for name in ("a", "<b>")]
    table = [line.split("  ") for line in lines(clips)]
    table = [[cell.strip() for cell in line if cell] for line in table]
    model, rough = ["8.00", "1.23", "–"], ["–", "2.50", "–"]
    assert table == [
        ["bits", "PESQ", "f0 cents (YIN)"],
        *(
            [f"{name}, {who}", *row]
            for name in ("a", "<b>", "mean")
            for who, row in (("model", model), ("Griffin-Lim", rough))
        ),
    ]
    assert contents(clips)["baselines"]["Griffin-Lim"] == {
        "mean": {"pesq": 2.5},
        "clips": {"a": {"pesq": 2.5}, "<b>": {"pesq": 2.5}},
    }
    write_evaluation_page(tmp_path / "page.html", "title", clips, 22050)
    html = (tmp_path / "page.html").read_text()
    assert html.count("<audio") == 6
    for text in ("<td>&lt;b&gt;, Griffin-Lim</td>", "<td>2.50</td>", "<th>f0 cents (YIN)</th>"):
        assert text in html


def test_every_score_has_one_name_and_a_line_in_model_cards():
    assert len({score.key for score in SCORES}) == len({s.label for s in SCORES}) == len(SCORES)
    judged = {name.removeprefix("judged/") for name in METRICS if name.startswith("judged/")}
    assert judged == {score.key for score in SCORES} - {*LIKELIHOODS}


@pytest.mark.slow
def test_faults_are_one_line(workdir, tmp_path):
    save_model(tmp_path / "model", CONFIG, split(WaveFlow(CONFIG, np.random.default_rng(0)))[1])
    prepare_corpus(workdir / "clips", tmp_path / "other", validation=1, sample_rate=16000)
    faults = {
        "config.json: No such file": [f"--workdir={tmp_path / 'none'}"],
        "does not name a corpus; add --corpus": [f"--workdir={tmp_path}"],
        "no such folder": [f"--workdir={workdir}", f"--corpus={tmp_path / 'none'}"],
        "16000 Hz, but the model speaks": [f"--workdir={workdir}", f"--corpus={tmp_path}/other"],
        "name a .json file": [f"--workdir={workdir}", f"--output={tmp_path / 'x.html'}"],
        "unexpected argument 'x'": [f"--workdir={workdir}", "x"],
    }
    for message, arguments in faults.items():
        result = run(*arguments)
        assert result.returncode == 1
        assert message in result.stderr
        assert "Traceback" not in result.stderr
