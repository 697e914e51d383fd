"""GuitarML and AIDA-X files with a fault, damaged at random, or large: one line each."""

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.amps.foreign_documents import EXAMPLES, aida_x, guitarml
from tests.amps.mutations import all_places, damaged, damaged_text
from tests.amps.test_fuzz import DRAW, FEW, VALUES, check, loaded, text_of
from tests.hostile_files import within_limits
from wf_jax.amps import load_amp
from wf_jax.amps.amp_files import read_amp
from wf_jax.amps.nam_file import LARGEST_FILE
from wf_jax.errors import UserError


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("foreign") / "x.json"


def at(*keys, value):
    """Returns a change of the value under some keys of a document; "absent" removes it."""

    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value
        if value == "absent":
            del document[keys[-1]]

    return change


def layers(*keys, value):
    return at("layers", *keys, value=value)


def sizes(key, value):
    return at("model_data", key, value=value)


def arrays(*keys, value):
    return at("state_dict", *keys, value=value)


FAULTY_GUITARML = {
    "knobs": (
        sizes("input_size", 2),
        r"model_data\.input_size: 2, a model with knobs; only those without are played",
    ),
    "kind": (sizes("model", "GatedConvNet"), "'GatedConvNet' is not one of Simp"),
    "unit": (sizes("unit_type", "RNN"), "unit_type: 'RNN' is not one of LSTM, G"),
    "no unit": (sizes("unit_type", "absent"), r"unit_type: missing; it should be"),
    "outputs": (sizes("output_size", 2), "output_size: 2 is not 1, which is the"),
    "layers": (sizes("num_layers", 65), "num_layers: 65 layers; 64 are the most"),
    "more layers": (sizes("num_layers", 2), "rec.weight_ih_l1: missing; it"),
    "width": (sizes("hidden_size", 9), r"weight_ih_l0: a list of 20; 36 lists ar"),
    "wide": (sizes("hidden_size", 10**9), "not a positive integer up to 2,048"),
    "skip": (sizes("skip", 2), "model_data.skip: 2 is not 0 or 1"),
    "bias": (sizes("bias_fl", 3), "bias_fl: 3 is not true or false"),
    "nothing": (at("model_data", value="absent"), "model_data: null is not an object"),
    "no arrays": (at("state_dict", value=[]), "state_dict: a list is not an object"),
    "no array": (arrays("lin.weight", value="absent"), r"lin\.weight: missing; it shou"),
    "row": (arrays("rec.weight_hh_l0", 3, value=[1.0]), r"_l0\[3\]: a list of 1; 5 num"),
    "text": (arrays("lin.bias", value=["1"]), r"lin\.bias\[0\] is a string, not a numb"),
    "deep": (arrays("rec.weight_hh_l0", 3, value=[[1]] * 5), r"\[3\]\[0\] is a list, n"),
    "object": (arrays("lin.weight", value={}), "weight: an object is not a list of 1 l"),
    "infinite": (arrays("lin.bias", value=[1e39]), "1e\\+39, not a finite float32; the"),
    "metadata": (at("metadata", value=5), '"metadata" is a number, not an object'),
    "rate": (at("samplerate", value=1e9), '"samplerate" is 1000000000.0; give a rate in Hz'),
}
FAULTY_AIDA_X = {
    "knobs": (at("in_shape", 2, value=3), r": in_shape: 3 inputs, a model with knobs; only those"),
    "shape": (at("in_shape", value=1), r": in_shape: 1 is not a shape like \[null, null, 1\]"),
    "no shape": (at("in_shape", value=[]), r": in_shape: empty; it should be a shape like"),
    "unknown": (
        layers(0, "type", value="conv1d"),
        r": layers\[0\]\.type: 'conv1d'; models of",
    ),
    "last": (
        layers(1, "type", value="prelu"),
        r"layers\[1\]\.type: 'prelu'; models of an LS",
    ),
    "no type": (
        layers(0, "type", value="absent"),
        r"layers\[0\]\.type: null; models of an L",
    ),
    "a layer": (layers(0, value=3), r"layers\[0\]: 3 is not an object"),
    "no layers": (at("layers", value={}), ": layers: an object is not a list of an LSTM or GRU an"),
    "one layer": (at("layers", value=[{}]), ": layers: a list is not a list of an LSTM or GRU an"),
    "many": (at("layers", value=[{}] * 66), ": layers: 65 layers; 64 are the most"),
    "cell": (
        layers(0, "activation", value="relu"),
        r"layers\[0\]\.activation: 'relu' is not",
    ),
    "dense": (layers(1, "activation", value="tanh"), r"'tanh'; AIDA-X plays a last layer w"),
    "outputs": (
        layers(1, "shape", 2, value=4),
        r"layers\[1\]\.shape: 4 outputs; models of 1",
    ),
    "width": (layers(0, "shape", 2, value=7), r"weights\[0\]\[0\]: a list of 15; 21 numbers"),
    "arrays": (
        layers(0, "weights", 2, value="absent"),
        r"weights: a list is not a list of 3",
    ),
    "one bias": (
        layers(0, "weights", 2, value=[0.0] * 15),
        r"GRU with reset_after, that has",
    ),
    "skip": (at("in_skip", value=True), ": in_skip: True is not 0 or 1"),
    "gain": (at("out_gain", value="3"), ": out_gain: '3' is not a number"),
    "loud": (at("in_gain", value=121), ": in_gain: 121 is not a gain of up to 120 dB"),
    "metadata": (at("metadata", value=[]), '"metadata" is a list, not an object'),
    "rate": (at("metadata", value={"samplerate": "fast"}), "\"samplerate\" is 'fast'; give a rate"),
}


@pytest.mark.parametrize("name", FAULTY_GUITARML)
def test_faulty_guitarml(path, name):
    refused(path, guitarml(), *FAULTY_GUITARML[name])


@pytest.mark.parametrize("name", FAULTY_AIDA_X)
def test_faulty_aida_x(path, name):
    refused(path, aida_x("gru"), *FAULTY_AIDA_X[name])


def refused(path, document, change, message):
    change(document)
    path.write_bytes(text_of(document))
    with pytest.raises(UserError, match=message) as caught:
        read_amp(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_gains_that_no_float32_holds(path):
    change = layers(1, "weights", 1, value=[3e38])
    refused(path, aida_x(out_gain=120), change, "its weights, with its gains, exceed float32")


def stuffed(document, unit):
    """Fills the place "@" of a document until the text is as large as is read."""
    start, end = json.dumps(document).split('"@"')
    return start + ",".join([unit] * ((LARGEST_FILE - len(start + end)) // (len(unit) + 1))) + end


HOSTILE = {
    "a long row": (layers(0, "weights", 0, 0, value=["@"]), "1", "15 numbers are due"),
    "many rows": (layers(0, "weights", 1, value=["@"]), "[]", "more than 200,000 lists"),
    "many layers": (at("layers", value=["@"]), "0", "layers; 64 are the most"),
    "a long shape": (at("in_shape", value=["@"]), "1", "a list is not a shape like"),
    "long integers": (layers(0, "weights", 0, 0, value=["@"]), "7" * 4300, "15 numbers are"),
    "metadata": (at("metadata", value={"a": ["@"]}), "1e1", None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_large_files_take_little(path, name):
    change, unit, message = HOSTILE[name]
    document = aida_x("gru")
    change(document)
    path.write_text(stuffed(document, unit))
    with within_limits():
        try:
            assert read_amp(path).architecture == "GRU"
            said = None
        except UserError as error:
            said = str(error)
    assert (said is None) == (message is None)
    assert message is None or message in said


def test_a_model_is_counted_before_it_is_built(path):
    document = guitarml(hidden=8, layers=64) | {"samplerate": 10_000_000}
    path.write_bytes(text_of(document))
    with pytest.raises(UserError, match="more than 50,000,000,000 multiplications before the fir"):
        load_amp(path)


# At random


def attempt(path, data, compiled=False):
    """Loads damaged data, and checks the model if it is one."""
    path.write_bytes(data)
    model = loaded(path, load_amp)
    if model is not None:
        check(model, compiled)
    return model


@pytest.mark.slow
def test_damaged_examples(path):
    draw, counts = random.Random(4), Counter()
    for i in range(150):
        document = EXAMPLES[draw.choice(list(EXAMPLES))]()
        changed = damaged(document, draw) if i % 3 else document
        data = text_of(changed) if i % 3 else damaged_text(text_of(document), draw)
        model = attempt(path, data, compiled=i % 50 == 0)
        counts["refused" if model is None else "models"] += 1
    assert min(counts.values()) > 10, counts


@FEW
@given(st.sampled_from(list(EXAMPLES)), VALUES, DRAW)
def test_any_value(path, name, value, draw):
    document = EXAMPLES[name]()
    holder, key = draw.choice(all_places(document))
    holder[key] = value
    attempt(path, text_of(document))
