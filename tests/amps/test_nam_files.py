import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from wf_jax.amps import SlimmableContainer, a2, load_nam, save_nam
from wf_jax.amps.container import uniform_max_values
from wf_jax.amps.nam_file import check_version, read_nam
from wf_jax.amps.nam_models import to_document
from wf_jax.errors import UserError
from wf_jax.modules import split


@pytest.fixture(scope="module")
def container():
    rng = np.random.default_rng(1)
    models = [a2.create(size, rng) for size in ("nano", "standard")]
    return SlimmableContainer(models, uniform_max_values(2))


@pytest.fixture(scope="module")
def document(container, tmp_path_factory):
    path = tmp_path_factory.mktemp("nam") / "model.nam"
    save_nam(container, path, {"name": "clean"})
    return json.loads(path.read_text())


def write(path, document):
    path.write_text(json.dumps(document))
    return path


def only_wavenet(document):
    return json.loads(json.dumps(document["config"]["submodels"][0]["model"]))


# Metadata


@pytest.mark.slow
def test_loudness_and_gain_equal_those_stored(nam_reference, tmp_path):
    probe, _ = soundfile.read(nam_reference / "loudness_input.wav", dtype="float32")
    save_nam(load_nam(nam_reference / "A2.nam"), tmp_path / "a2.nam", loudness_probe=probe)
    ours, theirs = read_nam(tmp_path / "a2.nam"), read_nam(nam_reference / "A2.nam")
    pairs = [(ours.metadata, theirs.metadata)]
    for a, b in zip(ours.config["submodels"], theirs.config["submodels"], strict=True):
        pairs.append((a["model"]["metadata"], b["model"]["metadata"]))
        assert a["model"]["weights"] == b["model"]["weights"]
        assert a["model"]["config"] == b["model"]["config"]
        assert a["max_value"] == b["max_value"]
    for a, b in pairs:
        assert a["loudness"] == pytest.approx(b["loudness"], abs=1e-4)
        assert a["gain"] == pytest.approx(b["gain"], abs=1e-5)


# Writing and reading back


@pytest.mark.slow
def test_saved_and_loaded_again_is_bit_identical(container, tmp_path):
    save_nam(container, tmp_path / "m.nam")
    again = load_nam(tmp_path / "m.nam")
    assert again.max_values == (0.5, 1.0)
    before, after = split(container)[1], split(again)[1]
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    for one, other in zip(container.models, again.models, strict=True):
        assert to_document(one) == to_document(other)
        assert one.config == other.config
    assert list(tmp_path.iterdir()) == [tmp_path / "m.nam"]


def test_boundary_belongs_to_the_larger_model(container):
    channels = [container.at_size(v).config.arrays[0].channels for v in (0, 0.499, 0.5, 1.0)]
    assert channels == [3, 3, 8, 8]


@pytest.mark.slow
def test_container_plays_its_largest_model(container, rng):
    x = jnp.asarray(rng.normal(size=(1, 100)), jnp.float32)
    np.testing.assert_array_equal(jax.jit(container)(x), jax.jit(container.models[1])(x))


@pytest.mark.slow
def test_metadata_merge(container, document, tmp_path):
    largest = document["config"]["submodels"][1]["model"]["metadata"]
    assert document["metadata"]["loudness"] == largest["loudness"]
    assert document["metadata"]["name"] == "clean"
    assert set(document["metadata"]["date"]) == {
        *("year", "month", "day"),
        *("hour", "minute", "second"),
    }
    with pytest.warns(UserWarning, match="replaces the measured gain"):
        save_nam(container, tmp_path / "m.nam", {"gain": 0.25})
    assert read_nam(tmp_path / "m.nam").metadata["gain"] == 0.25


def test_loudness_of_a_known_model(tmp_path):
    """A model that halves its input is 6.02 dB below the probe, with no gain at all."""
    from wf_jax.amps.loudness import loudness_and_gain

    probe = np.sin(np.arange(48000) * 0.05).astype(np.float32)
    halves = jax.tree_util.Partial(lambda x: 0.5 * x)
    loudness, gain = loudness_and_gain(halves, probe)
    rms = 20 * np.log10(np.sqrt(np.mean(probe.astype(np.float64) ** 2)))
    assert loudness == pytest.approx(rms - 20 * np.log10(2), abs=1e-4)
    assert gain == pytest.approx(0.0, abs=1e-6)
    squashes = jax.tree_util.Partial(lambda x: jnp.sign(x))
    assert loudness_and_gain(squashes, probe)[1] > 0.8


def test_a_diverged_model_is_not_written(rng, tmp_path):
    model = a2.create("nano", rng)
    model.head_scale = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        save_nam(model, tmp_path / "m.nam")
    assert not list(tmp_path.iterdir())


# Versions


@pytest.mark.parametrize("version", ["0.5.0", "0.5.4", "0.6.0", "0.7.0"])
def test_supported_versions(version):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_version(version, "x.nam")


def test_a_newer_patch_warns():
    with pytest.warns(UserWarning, match=r"x\.nam: version 0\.7\.1"):
        check_version("0.7.1", "x.nam")


@pytest.mark.parametrize("version", ["0.4.9", "0.8.0", "1.0.0", "0.7", "a.b.c", 7, None, "0.7.0\n"])
def test_unsupported_versions(version):
    with pytest.raises(UserError, match=r"^x\.nam: version"):
        check_version(version, "x.nam")


# Broken files: one line that names file and key

CHANGES = {
    "no version": (lambda d: d.pop("version"), '"version" is missing'),
    "weights short": (lambda d: d["weights"].pop(), "1870 weights; .* has 1871"),
    "weight text": (lambda d: d["weights"].insert(0, "x"), "not a number"),
    "weight huge": (lambda d: d["weights"].__setitem__(3, 1e300), r"weights\[3\] is 1e\+300"),
    "config list": (lambda d: d.__setitem__("config", []), '"config" is a list'),
    "rate null": (lambda d: d.__setitem__("sample_rate", None), '"sample_rate" is null'),
    "architecture": (
        lambda d: d.__setitem__("architecture", "GRU"),
        "'GRU' is not one of ConvNet, LSTM",
    ),
    "layers": (
        lambda d: d["config"].__setitem__("layers", []),
        "config.layers: empty; it should be a list of layer arrays",
    ),
    "channels": (
        lambda d: d["config"]["layers"][0].__setitem__("channels", -3),
        r"layers\[0\].channels: -3 is not a positive integer",
    ),
    "dilation": (
        lambda d: d["config"]["layers"][0]["dilations"].__setitem__(2, 0),
        r"dilations\[2\]: 0",
    ),
    "kernel sizes": (
        lambda d: d["config"]["layers"][0]["kernel_sizes"].pop(),
        "22 values for 23 layers",
    ),
    "both kernels": (
        lambda d: d["config"]["layers"][0].__setitem__("kernel_size", 3),
        "either kernel_size or kernel_sizes",
    ),
    "activation": (
        lambda d: d["config"]["layers"][0].__setitem__("activation", "Mish"),
        "'Mish' is not one of Tanh",
    ),
    "gating": (
        lambda d: d["config"]["layers"][0].__setitem__("gating_mode", "both"),
        "gating_mode: 'both' is not one of none, gated, blended",
    ),
    "film": (
        lambda d: d["config"]["layers"][0].__setitem__("conv_pre_film", {"shift": True}),
        "1871 weights; a WaveNet of this config has 2147",
    ),
    "film text": (
        lambda d: d["config"]["layers"][0].__setitem__("conv_pre_film", {"active": "yes"}),
        "conv_pre_film.active: 'yes' is not true or false",
    ),
    "groups": (
        lambda d: d["config"]["layers"][0].__setitem__("groups_input", 2),
        "groups_input: 2 does not divide 3 inputs",
    ),
    "layer1x1": (
        lambda d: d["config"]["layers"][0].__setitem__("layer1x1", {"active": False, "groups": 1}),
        "1871 weights; a WaveNet of this config has 1595",
    ),
    "head": (
        lambda d: d["config"]["layers"][0]["head"].__setitem__("out_channels", 2),
        "weights|2 output channels",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_broken_files_say_what_is_wrong(document, tmp_path, case):
    change, message = CHANGES[case]
    broken = only_wavenet(document)
    change(broken)
    path = write(tmp_path / "broken.nam", broken)
    with pytest.raises(UserError, match=message) as caught:
        load_nam(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": "0.7.0"', "not a complete JSON file"),
        ("[1]", "holds one JSON object, not a list"),
        ("[" * 100_000, "not a complete JSON file"),
        ("", "not a complete JSON file"),
    ],
)
def test_not_even_an_object(tmp_path, text, message):
    path = tmp_path / "broken.nam"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_nam(path)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.nam: cannot be read"):
        load_nam(tmp_path / "none.nam")


@pytest.mark.parametrize("values", [[0.5, 0.5], [0.9, 0.4], [0.5, 0.9]])
def test_container_rejects_bad_breakpoints(document, tmp_path, values):
    broken = json.loads(json.dumps(document))
    for entry, value in zip(broken["config"]["submodels"], values, strict=True):
        entry["max_value"] = value
    with pytest.raises(UserError, match="do not ascend to 1"):
        load_nam(write(tmp_path / "c.nam", broken))


def test_container_rejects_another_rate(document, tmp_path):
    broken = json.loads(json.dumps(document))
    broken["config"]["submodels"][0]["model"]["sample_rate"] = 44100
    with pytest.raises(UserError, match=r"submodels\[0\].*44100 Hz in a container of 48000"):
        load_nam(write(tmp_path / "c.nam", broken))


def test_legacy_head_keys(document, tmp_path):
    model = only_wavenet(document)
    layer = model["config"]["layers"][0]
    layer |= {"head": None, "head_size": 1, "head_bias": True}
    del model["weights"][-2 - 3 * 16 : -2 - 3]  # a head of one tap
    assert load_nam(write(tmp_path / "old.nam", model)).receptive_field == 6347 - 15
