"""The vocoder's training command as a user types it, on a corpus and model that take seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.corpus_preparation import prepare_corpus
from data_pipeline.synthetic_speech import write_demo_corpus
from experiments.run.vocoder_folder import model_folder
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import load_model
from wf_jax.flows.shipped_voices import DEFAULT, FOLDER
from wf_jax.flows.vocoder_task import VocoderTask
from wf_jax.modules import split

ROOT = Path(__file__).parents[2]
SMALL = [
    "--config.model.flows=2",
    "--config.model.layers=2",
    "--config.model.channels=4",
    "--config.data.window=2000",
    "--config.train.evaluate_every=3",
    "--config.train.samples_every=1",
]


def train(workdir, corpus, *options, config="waveflow:tiny"):
    return subprocess.run(
        [
            *(sys.executable, "-m", "experiments.train"),
            f"--config={config}",
            *(f"--workdir={workdir}", f"--config.data.corpus={corpus}", *SMALL, *options),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=400,
        env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},  # to compile fast
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voice")
    write_demo_corpus(folder / "clips", clips=4, seconds=0.7)
    prepare_corpus(folder / "clips", folder / "corpus", validation=1)
    return folder / "corpus"


def test_a_run_from_corpus_to_report_and_on(corpus, tmp_path):
    """A mistake before it leaves nothing that blocks the corrected command."""
    workdir = tmp_path / "run"
    wrong = train(workdir, corpus, "--config.model.height=7", "--config.train.steps=6")
    assert wrong.returncode == 1
    assert "height 7 is not an even number" in wrong.stderr.strip().splitlines()[-1]
    assert "Traceback" not in wrong.stderr

    first = train(workdir, corpus, "--config.train.steps=6")
    assert first.returncode == 0, first.stderr
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [3, 6]
    result = json.loads((workdir / "metrics.json").read_text())
    assert np.isfinite(result["log_likelihood"])
    assert result["log_likelihood"] == pytest.approx(
        max(record["ll/validation"] for record in records), abs=1e-5
    )
    assert "<audio" in (workdir / "report.html").read_text()
    assert sorted(p.name for p in (workdir / "samples").iterdir()) == ["step-000003", "step-000006"]
    assert load_model(model_folder(workdir)).config.channels == 4

    more = train(workdir, corpus, "--config.train.steps=7")
    assert more.returncode == 0, more.stderr
    assert "continuing at step 6" in more.stderr
    assert json.loads((workdir / "metrics.json").read_text())["steps"] == 7


@pytest.mark.slow
def test_a_voice_from_one_that_is_there(corpus, tmp_path):
    """Fine-tunes the package's voice: the steps begin from its arrays."""
    sizes = ["--config.model.flows=4", "--config.model.layers=5", "--config.model.channels=16"]
    options = ["--config.train.steps=3", "--config.train.learning_rate=1e-6", *sizes]
    done = train(tmp_path, corpus, f"--init_from={DEFAULT}", *options, config="voice")
    assert done.returncode == 0, done.stderr
    found, begun = (split(load_model(f))[1] for f in (tmp_path / "model", FOLDER / DEFAULT))
    for name, value in begun.items():
        if not name.startswith(VocoderTask.measured):
            np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)
    assert np.isfinite(json.loads((tmp_path / "metrics.json").read_text())["log_likelihood"])
    assert "<audio" in (tmp_path / "report.html").read_text()


def test_a_folder_without_a_vocoder_says_what_it_is(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"task": "vocoder"}))
    with pytest.raises(UserError, match="no model yet"):
        model_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"task": "capture"}))
    with pytest.raises(UserError, match="a run of task capture, not a vocoder"):
        model_folder(tmp_path)
