import json

import numpy as np
import pytest

from experiments.capture.models import read_models
from experiments.configs.a2_capture import get_config
from tests.amps.nam_examples import EXAMPLES
from wf_jax.amps import a2, load_nam
from wf_jax.amps.container import SlimmableContainer
from wf_jax.amps.nam_models import to_document
from wf_jax.errors import UserError


def family(path, flag="init_from", rate=48000.0):
    config = get_config()
    if flag == "init_from":
        config.init_from = str(path)
    else:
        config.model.nam = str(path)
    return read_models(config, rate)


def write(path, document):
    path.write_text(json.dumps(document))
    return path


def test_without_a_file_it_is_a2():
    assert read_models(get_config(), 48000.0).models is None


@pytest.mark.parametrize(
    "name", ["everything", "lstm", "convnet_batchnorm", "linear", "sequential"]
)
def test_any_architecture_goes_in_and_out(tmp_path, name):
    path = write(tmp_path / "x.nam", EXAMPLES[name]())
    found = family(path)
    assert to_document(found.assemble(found.models)) == to_document(load_nam(path))


def test_a_container_keeps_its_sizes_and_gets_names(tmp_path, rng):
    models = [a2.create("nano", rng), a2.create("standard", rng)]
    document = to_document(SlimmableContainer(models, (0.3, 1.0)))
    found = family(write(tmp_path / "a2.nam", document))
    assert list(found.models) == ["nano", "standard"]
    assert found.assemble(found.models).max_values == (0.3, 1.0)
    same = write(tmp_path / "c.nam", EXAMPLES["container"]())
    names = list(family(same).models)
    assert len(names) == len(set(names)) == len(EXAMPLES["container"]()["config"]["submodels"])


@pytest.mark.parametrize("name", ["everything", "lstm", "container", "sequential"])
def test_an_architecture_alone_gets_fresh_weights(tmp_path, name):
    document = EXAMPLES[name]()
    config = {"architecture": document["architecture"], "config": document["config"]}
    found = family(write(tmp_path / "x.json", config), "model.nam")
    again = family(write(tmp_path / "y.nam", document), "model.nam")
    ours, loaded = (to_document(model.assemble(model.models)) for model in (found, again))
    assert ours["architecture"] == loaded["architecture"]
    weights = to_document(load_nam(tmp_path / "y.nam"))["weights"]
    assert len(ours["weights"]) == len(weights)
    if weights:
        assert not np.array_equal(ours["weights"], weights)


def test_what_cannot_be_trained_says_so(tmp_path):
    stereo = write(tmp_path / "stereo.nam", EXAMPLES["channels_2_in_3_out"]())
    with pytest.raises(ValueError, match=r"init_from=.*stereo\.nam: 2 inputs and 3 outputs"):
        family(stereo)
    mono = write(tmp_path / "mono.nam", EXAMPLES["gated"]() | {"sample_rate": 44100})
    with pytest.raises(ValueError, match=r"for 44100 Hz; the recording has 48000 Hz"):
        family(mono)
    with pytest.raises(UserError, match=r"none\.nam.*cannot be read"):
        family(tmp_path / "none.nam")
    config = get_config("demo")
    config.init_from = config.model.nam = str(mono)
    with pytest.raises(UserError, match="exclude each other"):
        config.check()


def test_the_gear_is_read_before_the_training(tmp_path):
    """Reads the initial file at the start: it may be gone at the end."""
    metadata = {"name": "Bassman", "gear_type": "amp", "input_level_dbu": 12, "tone_type": None}
    path = write(tmp_path / "x.nam", EXAMPLES["lstm"]() | {"metadata": metadata})
    config = get_config()
    config.init_from, config.metadata.output_level_dbu = str(path), "-1.5"
    found = read_models(config, 48000.0)
    path.unlink()
    assert found.gear["name"] == "Bassman"
    assert found.gear["gear_type"] == "amp"
    assert (found.gear["input_level_dbu"], found.gear["output_level_dbu"]) == (12.0, -1.5)
    assert found.gear["tone_type"] is found.gear["modeled_by"] is None


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("name", 5, "5 is not a string"),
        ("name", ["a"], "a list is not a string"),
        ("gear_type", "guitar", "'guitar' is none of amp, pedal, "),
        ("tone_type", "loud", "'loud' is none of clean, "),
        ("input_level_dbu", "12", "'12' is not a number"),
        ("input_level_dbu", True, "True is not a number"),
        ("output_level_dbu", 10**400, "digits is not 100 or less"),
    ],
)
def test_metadata_of_another_file_are_checked_unless_they_are_replaced(tmp_path, key, value, says):
    path = write(tmp_path / "x.nam", EXAMPLES["lstm"]() | {"metadata": {key: value}})
    config = get_config("demo")
    config.init_from = str(path)
    with pytest.raises(UserError, match=rf"x\.nam: metadata\.{key} .*{says}") as error:
        config.check()
    assert str(error.value).endswith(f"give --config.metadata.{key}, or mend the file")
    setattr(config.metadata, key, {"gear_type": "amp", "tone_type": "fuzz"}.get(key, "3"))
    config.check()
