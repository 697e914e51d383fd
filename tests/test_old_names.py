"""Files of earlier versions: their names are read, wherever they stand."""

import dataclasses
import json

import pytest

from experiments.run.reading import read_run
from experiments.run.same_run import check_same_run
from tests.flows import small
from wf_jax.audio.mel_settings import MelSettings
from wf_jax.errors import UserError
from wf_jax.export.manifest import (
    FORMAT,
    MANIFEST,
    Manifest,
    Signature,
    VocoderFacts,
    read_manifest,
)
from wf_jax.flows.model_folder import load_model, save_model
from wf_jax.modules import split
from wf_jax.old_names import current_names

OLD = {
    "sample_rate": 8000,
    "fft_size": 64,
    "hop": 16,
    "window_length": 64,
    "bands": 4,
    "low_hz": 0.0,
    "high_hz": 4000.0,
    "floor": 1e-5,
    "center": False,
    "peak_normalise": False,
}
NEW = dataclasses.asdict(small.MEL)


def test_old_names_become_those_of_today():
    for old, new in (
        ({"mel": OLD}, {"mel": NEW}),
        ({"model": {"mel": OLD}}, {"model": {"mel": NEW}}),
        ({"vocoder": {"hop": 16, "mel": OLD}}, {"vocoder": {"hop": 16, "mel": NEW}}),
        ({f"mel.{k}": v for k, v in OLD.items()}, {f"mel.{k}": v for k, v in NEW.items()}),
        ({"train": {"dequantise": True}}, {"train": {"dequantize": True}}),
        ({"train.dequantise": True}, {"train.dequantize": True}),
    ):
        assert current_names(old) == new
        assert current_names(new) == new


@pytest.mark.parametrize("content", [None, [], "mel", 3, {"mel": 1, "model": [], "vocoder": None}])
def test_other_content_stays(content):
    assert current_names(content) == content


def test_both_names_at_once_are_not_joined():
    content = {"mel": {"hop": 1, "hop_length": 2}, "mel.bands": 1, "mel.n_mels": 2}
    assert current_names(content) == content


def test_a_model_folder_of_an_earlier_version(tmp_path):
    """The configuration is the same; with both names of a setting the file is refused."""
    model = small.random_model(small.config())
    save_model(tmp_path, model.config, split(model)[1])
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    assert content["model"]["mel"] == NEW  # written under the names of today
    path.write_text(json.dumps(content | {"model": content["model"] | {"mel": OLD}}))
    assert load_model(tmp_path).config == model.config
    both = content["model"] | {"mel": NEW | {"hop": 16}}
    path.write_text(json.dumps(content | {"model": both}))
    with pytest.raises(UserError, match="hop is unknown"):
        load_model(tmp_path)


@dataclasses.dataclass
class _Config:
    mel: MelSettings = small.MEL
    task: str = "vocoder"


def test_a_run_of_an_earlier_version_goes_on(tmp_path):
    """Its config is the same one; another value is refused under the name of today."""
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    old = {f"mel.{name}": value for name, value in OLD.items()} | {"task": "vocoder"}
    (tmp_path / "config.json").write_text(json.dumps(old))
    check_same_run(tmp_path, _Config())
    assert read_run(tmp_path).config["mel.hop_length"] == 16
    (tmp_path / "config.json").write_text(json.dumps(old | {"mel.hop": 32}))
    with pytest.raises(UserError, match=r"started with --config\.mel\.hop_length=32, not 16"):
        check_same_run(tmp_path, _Config())


def test_a_release_of_an_earlier_version(tmp_path):
    facts = VocoderFacts(8000, 16, 4, 16, None, 1, NEW)
    functions = {n: Signature(f"{n}.bin", {}, {}) for n in ("mel", "synthesize", "log_prob")}
    values = dict.fromkeys((field.name for field in dataclasses.fields(Manifest)), "")
    tables = {key: {} for key in ("params", "metrics", "error", "files")}
    values |= {"format": FORMAT, "expires": "2030-01-01", "platforms": ("cpu",)} | tables
    manifest = Manifest(**values | {"vocoder": facts, "amp": None, "functions": functions})
    content = json.loads(manifest.dumps())
    content["vocoder"]["mel"] = OLD
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    assert read_manifest(tmp_path) == manifest
