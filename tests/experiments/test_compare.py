"""The comparison of families: its members, its table and picture, and the command itself."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data_pipeline.corpus_preparation import prepare_corpus
from data_pipeline.synthetic_speech import write_demo_corpus
from experiments.comparison import suite as comparison
from experiments.comparison.figures import COLORS, draw
from experiments.comparison.members import compare_members
from experiments.comparison.paper_likelihoods import ROWS
from experiments.comparison.suite import members_of
from experiments.comparison.table import Line, table
from experiments.configs import voice, waveflow, waveglow, wavenet
from experiments.configs.likelihood import get_config
from wf_jax.errors import UserError
from wf_jax.flows.families import CONFIGS, MODELS, new_flow
from wf_jax.flows.model_folder import load_model
from wf_jax.modules import split

ROOT = Path(__file__).parents[2]
LINE = Line("wave_glow", "WaveGlow", "a", 1234567, 800, 2.0, 3.14159, 10.5, 12, 7.123, "c")


@pytest.mark.parametrize("file", [waveflow, waveglow, wavenet])
def test_every_name_of_a_config_file_makes_a_model(file):
    """Every name in an error message works, and every option belongs to a model."""
    for name in file.NAMES:
        config = file.get_config(name).flow_config(22050)
        assert config.family == file.get_config(name).model.family
        assert all(
            getattr(config, key) == value
            for key, value in dataclasses.asdict(file.get_config(name).model).items()
        )
    with pytest.raises(ValueError, match=f"{file.__name__.split('.')[-1]}:no does not exist"):
        file.get_config("no")


def test_every_family_is_everywhere():
    """Every family has a model, a config file and a color."""
    assert (
        set(CONFIGS)
        == set(MODELS)
        == {file.Model.family for file in (voice, waveflow, waveglow, wavenet)}
        == set(COLORS)
    )


def test_a_family_of_another_file_is_refused():
    config = waveflow.get_config("tiny")
    config.model.family = "WaveGlow"
    with pytest.raises(UserError, match=r"family=WaveGlow.*--config=waveglow"):
        config.flow_config(22050)


def test_the_members_have_the_papers_sizes():
    """The comparison with table 4 of the WaveFlow paper is only valid for equal models."""
    config = get_config("paper")
    for name, entry in members_of(config).items():
        model, row = entry.run.flow_config(22050), ROWS[entry.paper]
        assert model.family == row.family
        assert model.sequential_steps(22050) == row.sequential_steps
        if model.channels <= 64:  # the others are made in the tests of their families
            arrays = split(new_flow(model, np.random.default_rng(0)))[1]
            count = sum(value.size for value in arrays.values()) / 1e6
            assert f"{np.floor(100 * count) / 100:.2f}M" == row.parameters, name


def test_members_share_data_and_budget():
    config = get_config("tiny")
    config.data.corpus, config.train.minutes = "there", 7.0
    members = members_of(config)
    assert len(members) == 9
    for entry in members.values():
        assert (entry.run.data.corpus, entry.run.train.minutes) == ("there", 7.0)
    config.only = ("waveglow",)
    assert list(members_of(config)) == ["waveglow"]
    config.only = ("waveglow,waveflow_h8",)  # as the flag gives names with a comma between
    assert list(members_of(config)) == ["waveflow_h8", "waveglow"]
    config.only = ("wavegrow",)
    with pytest.raises(UserError, match=r"only=wavegrow: no such member; there are waveflow"):
        members_of(config)


def test_the_table_says_it_all_with_the_best_first(tmp_path):
    better = dataclasses.replace(LINE, name="flow", log_likelihood=4.0, paper="", family="WaveFlow")
    lines = table([LINE, better])
    assert lines[2].startswith("| flow |")
    assert lines[2].endswith("| – | – |")
    for text in ("wave glow", "1,234,567", "3.142", "10.50", "| 12 |", "7.12", "17.59M", "4.804"):
        assert text in lines[3]
    assert len({line.count("|") for line in lines}) == 1
    draw(tmp_path / "picture.png", [LINE, better])
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"


def test_a_picture_that_fails_leaves_the_table(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no font")

    monkeypatch.setattr(comparison, "_line", lambda *_: LINE)
    monkeypatch.setattr(comparison, "draw", fail)
    with pytest.raises(UserError, match=r"likelihood\.md is complete, .*: no font; mend"):
        comparison.write_comparison(tmp_path, {"wave_glow": None})
    assert "wave glow" in (tmp_path / "likelihood.md").read_text()


def test_a_member_that_fails_costs_no_other(tmp_path, monkeypatch, capsys):
    """If one raises and one is not finished, the others are trained and compared."""
    config = get_config("tiny")
    config.data.corpus, config.only = "demo", ("waveflow_h2,waveflow_h8,waveglow",)
    trained, compared = [], []

    def run(job, workdir, session):
        trained.append(workdir.local.name)
        if len(trained) == 1:
            raise UserError("it grew")
        workdir.local.mkdir(parents=True)
        (workdir.local / "metrics.json").write_text(json.dumps({"finished": len(trained) == 3}))
        diverged = len(trained) == 2
        return SimpleNamespace(again=False, diverged=diverged, finished=not diverged)

    monkeypatch.setattr("experiments.run.job.execute", run)
    monkeypatch.setattr(comparison, "write_comparison", lambda _, some: compared.extend(some))
    assert comparison.compare(config, tmp_path) == 1
    assert trained == ["waveflow_h2", "waveflow_h8", "waveglow"]
    assert compared == ["waveglow"]
    assert "it grew\nleft out: waveflow_h2, waveflow_h8;" in capsys.readouterr().err


def test_what_no_training_could_mend_is_said_first(tmp_path):
    """Permanent faults are reported before any member is trained."""
    config = get_config("tiny")
    with pytest.raises(UserError, match=r"data.corpus is missing.*likelihood:demo"):
        compare_members(config, str(tmp_path))
    config.data.corpus, config.train.dequantize = "demo", True
    with pytest.raises(UserError, match=r"wavenet_logistic_mixture: --config.*dequant"):
        compare_members(config, str(tmp_path))


CONFIG = """
from wf_jax.errors import UserError
from experiments.configs import likelihood, wavenet

def get_config():
    config = likelihood.get_config("tiny")
    sizes = {"layers": 1, "channels": 2}
    config.members = {
        "net": likelihood.Member(wavenet.Model(head="softmax", companded_classes=8, **sizes), "a"),
    }
    config.data.window, config.train.minutes, config.train.batch_size = 600, 0.0, 2
    config.train.steps, config.train.evaluate_every = 2, 2
    return config
"""


def compare(tmp_path, *options):
    (tmp_path / "own.py").write_text(CONFIG)
    return subprocess.run(
        [
            *(sys.executable, "-m", "experiments.compare", f"--config={tmp_path / 'own.py'}"),
            *(f"--workdir={tmp_path / 'runs'}", *options),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=400,
        env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},  # to compile fast
    )


@pytest.mark.slow
def test_the_command_trains_and_compares(tmp_path):
    """Trains a head without latent to results and the table; a second start skips it."""
    write_demo_corpus(tmp_path / "clips", clips=3, seconds=0.2)
    prepare_corpus(tmp_path / "clips", tmp_path / "corpus", validation=1)
    corpus = f"--config.data.corpus={tmp_path / 'corpus'}"
    first = compare(tmp_path, corpus)
    assert first.returncode == 0, first.stderr
    runs = tmp_path / "runs"
    (line,) = json.loads((runs / "likelihood.json").read_text())
    metrics = json.loads((runs / "net" / "metrics.json").read_text())
    assert line["log_likelihood"] == metrics["log_likelihood"]
    assert line["real_time"] > 0
    model = load_model(runs / "net" / "model")
    assert line["parameters"] == sum(v.size for v in split(model)[1].values())
    assert "Latent of a held-out clip" not in (runs / "net" / "report.html").read_text()
    assert (runs / "likelihood.md").read_text() in first.stdout
    page = (runs / "likelihood.html").read_text()
    assert page.count("<audio") == 2  # the original and what the net made of it
    assert "<figcaption>net" in page
    second = compare(tmp_path, corpus)
    assert second.returncode == 0, second.stderr
    assert "member 1 of 1: net is finished already" in second.stdout
