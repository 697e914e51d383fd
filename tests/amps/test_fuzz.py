"""Damaged .nam files either load to a model that plays, or give one line."""

import json
import os
import random
import re
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.amps.mutations import EXTREMES, all_places, damaged, damaged_text
from tests.amps.nam_examples import EXAMPLES
from tests.amps.worst_files import LARGE, LIMITS, SMALL
from wf_jax.amps import load_nam
from wf_jax.amps.jax_form import jax_form
from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_limits import MEMORY, MOST
from wf_jax.amps.nam_models import new_model
from wf_jax.amps.native.plan import plan_of
from wf_jax.amps.native.shapes import played, shape_of, why_not
from wf_jax.amps.native.weights import fill
from wf_jax.amps.player import Player
from wf_jax.errors import UserError
from wf_jax.native.machine_code import host

SECONDS = 10.0  # for one file; without load on the machine all take less than 1.5


def loaded(path: Path, load=load_nam) -> AmpModel | None:
    """Returns the model, or None after the line that refuses it."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*it is read as 0.7.0", UserWarning)
            return load(path)
    except UserError as error:
        line = str(error)
        assert line.startswith(f"{path}: ")
        assert line.isprintable()
        assert len(line) - len(str(path)) < 350
        return None
    finally:
        assert time.perf_counter() - start < SECONDS


def check(model: AmpModel, compiled: bool = False) -> None:
    """Checks that a model can be prepared and played; `compiled`: by doing it."""
    if (
        len(jax.tree.leaves(model)) > 300
    ):  # it traces in seconds; test_models_at_the_limit_play has it
        return
    state = jax.tree.leaves(jax.eval_shape(model.state_before_prewarm))
    assert sum(leaf.size for leaf in state) <= MOST[MEMORY]
    for form in {id(each): each for each in (model, model.at_size(0.0), jax_form(model))}.values():
        shape = (2, 40) if form.input_channels == 1 else (2, form.input_channels, 40)
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        expected = (2, 40) if form.output_channels == 1 else (2, form.output_channels, 40)
        # The model is an argument: it holds arrays, and here no numbers need be computed.
        assert jax.eval_shape(lambda form, x: form(x), form, x).shape == expected
        assert jax.eval_shape(lambda form: form.silence(), form) is not None
        if compiled:
            y = jax.jit(lambda form, x: form(x))(form, x)
            assert y.shape == expected
            assert y.dtype == jnp.float32
        if isinstance(form, AmpModel) and not why_not(form):
            check_natively(form, x[0], np.asarray(y[0]) if compiled else None)


def check_natively(model: AmpModel, x: np.ndarray, expected: np.ndarray | None) -> None:
    """That the native engine has room for a model, and makes `expected` of x where it is given."""
    model = played(model)
    plan = plan_of(shape_of(model), host())
    assert 4 * plan.size < 1 << 28
    arena = np.zeros(plan.size, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # weights may be as large as they like
        assert fill(arena, plan, host(), model) <= plan.header
    if expected is None or not np.isfinite(arena).all():
        return
    y = Player(model, x.shape[-1], "native")(x)
    if (scale := np.abs(expected).max()) < 1e6:
        np.testing.assert_allclose(y, expected, atol=2e-5 * max(1.0, scale))


def attempt(data: bytes, path: Path, compiled: bool = False) -> AmpModel | None:
    """Loads `data` from a file, and its config with fresh weights; checks the resulting models."""
    path.write_bytes(data)
    model = loaded(path)
    fresh = loaded(path, lambda path: new_model(path, np.random.default_rng(0)))
    if model is not None:
        check(model, compiled)
        assert fresh is not None
    elif fresh is not None:
        check(fresh, compiled)
    return model


def text_of(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "a.nam"


def battery(path: Path, texts: list[bytes], number: int, seed: int) -> Counter:
    """Tries `number` damaged documents and texts; counts models and refusals."""
    draw, counts = random.Random(seed), Counter()
    for i in range(number):
        data = draw.choice(texts)
        if i % 2 or len(data) > 100_000:
            data = damaged_text(data, draw)
        else:
            data = text_of(damaged(json.loads(data), draw))
        model = attempt(data, path, compiled=i % 60 == 0)
        counts["refused" if model is None else "models"] += 1
    print(dict(counts))
    return counts


TEXTS = {name: text_of(build()) for name, build in EXAMPLES.items()}


@pytest.mark.slow
def test_damaged_examples(path):
    counts = battery(path, [*TEXTS.values()], 80, seed=1)
    assert min(counts.values()) > 10


@pytest.mark.slow
def test_damaged_published_files(nam_reference, path):
    texts = [file.read_bytes() for file in sorted(nam_reference.glob("*.nam"))]
    assert battery(path, texts, 5, seed=2)["refused"] > 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(3, 12))
def test_more_damaged_examples(path, seed):
    counts = battery(path, [*TEXTS.values()], 200, seed)
    assert min(counts.values()) > 10


@pytest.mark.exhaustive
def test_more_damaged_published_files(nam_reference, path):
    texts = [file.read_bytes() for file in sorted(nam_reference.glob("*.nam"))]
    assert battery(path, texts, 200, seed=12)["refused"] > 50


# By Hypothesis, which finds the smallest of what fails

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 9),
    st.sampled_from([value for value in EXTREMES if not isinstance(value, list | dict)]),
    st.floats(),
    st.text(max_size=5),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
ANY, DRAW = st.sampled_from(list(EXAMPLES)), st.randoms(use_true_random=False)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=250)


def try_value(path: Path, name: str, value: object, draw: random.Random) -> None:
    """Puts an arbitrary value in an arbitrary place."""
    changed = json.loads(TEXTS[name])
    holder, key = draw.choice(all_places(changed))
    holder[key] = value
    attempt(text_of(changed), path)


@FEW
@given(ANY, VALUES, DRAW)
def test_any_value(path, name, value, draw):
    try_value(path, name, value, draw)


@pytest.mark.exhaustive
@MANY
@given(ANY, VALUES, DRAW)
def test_any_value_often(path, name, value, draw):
    try_value(path, name, value, draw)


@FEW
@given(ANY, DRAW)
def test_any_damages(path, name, draw):
    attempt(text_of(damaged(json.loads(TEXTS[name]), draw)), path)


@pytest.mark.exhaustive
@MANY
@given(ANY, DRAW)
def test_any_damages_often(path, name, draw):
    attempt(text_of(damaged(json.loads(TEXTS[name]), draw)), path)


# Files made to take long, or much memory

MEASURE = r"""
import pathlib, re, sys, time
import jax, numpy as np
from wf_jax.amps import load_nam
from wf_jax.amps.nam_models import new_model
from wf_jax.native.machine_code import host
from wf_jax.amps.native.plan import plan_of
from wf_jax.amps.native.shapes import played, shape_of, why_not
from wf_jax.amps.native.weights import fill
from wf_jax.amps.player import Player
from wf_jax.errors import UserError

def most():  # not ru_maxrss, which begins with that of the parent process
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) // 1024

def play(path):
    model = new_model(path, np.random.default_rng(0))
    channels = (model.input_channels,) if model.input_channels > 1 else ()
    x = np.ones((1, *channels, model.chunk), np.float32)
    return jax.jit(lambda model, x: model(x))(model, x).shape

use = {"load": lambda path: type(load_nam(path)).__name__, "play": play}[sys.argv[1]]
before = most()
for path in sys.argv[2:]:
    start = time.perf_counter()
    try:
        said = use(path)
    except UserError as error:
        said = str(error).removeprefix(path)
    print(f"{time.perf_counter() - start:.2f} {most() - before} {said}")
"""


def measured(use: str, *paths: Path) -> list[tuple[float, int, str]]:
    """Prints seconds per file, memory so far in MiB, and the result."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, use, *map(str, paths)],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split(" ", 2) for line in done.stdout.splitlines()]
    for path, line in zip(paths, lines, strict=True):
        print(f"{path.name:18} {line[0]:>5} s {line[1]:>5} MiB {line[2]}")
    return [(float(seconds), int(memory), said) for seconds, memory, said in lines]


ACCOUNTS = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads Linux's account of the memory"
)


@pytest.mark.slow
@ACCOUNTS
def test_large_files_take_little(tmp_path):
    for name, (build, _) in LARGE.items():
        (tmp_path / name).write_text(build())
    lines = measured("load", *(tmp_path / name for name in LARGE))
    for (name, (_, message)), (seconds, memory, said) in zip(LARGE.items(), lines, strict=True):
        assert seconds < SECONDS, name
        assert memory < 1024, name
        assert re.search(message or "^Linear$", said), (name, said)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", LIMITS)
@ACCOUNTS
def test_models_at_the_limit_play(path, name):
    path.write_bytes(text_of(LIMITS[name]))
    ((seconds, memory, said),) = measured("play", path)
    assert said.startswith("(1, ")
    assert seconds < 10 * SECONDS
    assert memory < 2048


@pytest.mark.parametrize("name", SMALL)
def test_small_files_that_ask_for_much(path, name):
    document, message = SMALL[name]
    path.write_bytes(text_of(document))
    for load in (load_nam, lambda path: new_model(path, np.random.default_rng(0))):
        with pytest.raises(UserError, match=message):
            load(path)
