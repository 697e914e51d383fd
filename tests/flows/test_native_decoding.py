"""Compiled decoding beside JAX's: the same audio of any shape, mask and number of threads."""

import ctypes
import dataclasses
import re
import threading

import jax
import jax.numpy as jnp
import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from tests.flows import small
from tests.quick_jit import quick_jit
from wf_jax.errors import UserError
from wf_jax.flows.decoding import halves
from wf_jax.flows.native import decoder as decoders
from wf_jax.flows.native.decoder import Decoder
from wf_jax.flows.native.gate import FILTER, GATE, gated
from wf_jax.flows.native.kernel import TRANSFORM, kernel_of
from wf_jax.flows.native.program import module_of
from wf_jax.flows.native.shapes import why_not
from wf_jax.flows.synthesis import synthesize
from wf_jax.native.emit import Emitter
from wf_jax.native.machine_code import host, load, machine_of, optimized
from wf_jax.native.memory import address
from wf_jax.native.target import arm, x86

# Of the largest value; the passes differ by rounding, by 3e-7 here and 1e-6 in a trained voice.
CLOSE = 1e-5
SHAPES = {
    "small": ({"channels": 8}, 40),
    "odd width": ({"channels": 16, "layers": 3, "permutation": "reverse"}, 37),
    "wider than the picture": ({"channels": 8, "height": 4, "layers": 6}, 5),
    "one column": ({"channels": 8, "height": 4}, 1),
    "rows far apart": ({"channels": 8, "height": 16, "layers": 4}, 33),
    "rows beyond the height": ({"channels": 8, "height": 4, "height_dilations": (3, 7)}, 20),
    "three vectors": ({"channels": 24, "height": 2, "flows": 3}, 70),
    "many columns": ({"channels": 16, "height": 2}, 700),
}


def decoded(model, z, c, mask):
    return np.asarray(quick_jit(lambda *given: given[0].decode(*given[1:]))(model, z, c, mask))


def drawn(config, width, batch=1, seed=0):
    """Returns a latent [B, h, W] and a condition [B, h, W, D]."""
    rng = np.random.default_rng(seed)
    shape = (batch, config.height, width)
    numbers = (rng.standard_normal(size) for size in (shape, (*shape, config.conditions)))
    return [array.astype(np.float32) for array in numbers]


def agree(ours, theirs):
    assert np.abs(theirs).max() > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=CLOSE * np.abs(theirs).max())


@pytest.fixture(scope="module")
def model():
    return small.random_model(small.config(channels=16, layers=3))


@pytest.mark.parametrize("shape", SHAPES)
def test_it_inverts_the_density_pass(shape):
    """That pass sums plainly over all rows at once."""
    changes, width = SHAPES[shape]
    model = small.random_model(small.config(**changes))
    assert not why_not(model)
    z, c = drawn(model.config, width)
    x = Decoder(model).decode(z, c)
    assert np.abs(x - z).max() > 0.1  # it does something
    again, _ = quick_jit(lambda model, x, c: model.encode(x, c))(model, x, c)
    agree(np.asarray(again), z)


def test_clips_of_a_batch_end_where_they_end(model):
    """Inside a column, at one, everywhere and nowhere; what follows is zero."""
    z, c = drawn(model.config, 21, batch=4)
    lengths = np.array([100, 88, 168, 0])
    samples = np.arange(168).reshape(21, 8).T  # [h, W]
    mask = (samples < lengths[:, None, None]).astype(np.float32)
    given = (z * mask, c * mask[..., None], mask)
    ours = Decoder(model).decode(*given)
    agree(ours, decoded(model, *given))
    assert not ours[mask == 0].any()


@pytest.mark.parametrize("cores", [1, 3, 8])
def test_any_number_of_threads_gives_the_same_bits(model, monkeypatch, cores):
    z, c = drawn(model.config, 500)
    expected = Decoder(model).decode(z, c)
    monkeypatch.setattr(decoders, "available_cores", lambda: cores)
    np.testing.assert_array_equal(Decoder(model).decode(z, c), expected)


def test_a_thread_that_cannot_start_leaves_none_waiting(model, monkeypatch):
    z, c = drawn(model.config, 500)
    monkeypatch.setattr(decoders, "available_cores", lambda: 3)
    start, before = threading.Thread.start, threading.active_count()

    def failing(thread):
        if threading.active_count() > before + 1:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", failing)
    with pytest.raises(RuntimeError, match="new thread"):
        Decoder(model).decode(z, c)
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        if thread.name.startswith("Thread-") and "one" in thread.name:
            thread.join(10)
            assert not thread.is_alive()


# Other processors

AVX512 = "+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw"
TARGETS = {
    "AVX-512": (x86("x86_64-unknown-linux-gnu", "skylake-avx512", AVX512), r"vfmadd231ps.*zmm"),
    "AVX2": (x86("x86_64-pc-windows-msvc", "haswell", "+avx,+avx2,+fma"), r"vfmadd231ps.*ymm"),
    "NEON": (arm("arm64-apple-darwin", "apple-m1", ""), r"fmla.*v\d+"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_code_for_other_processors(name):
    """It needs nothing but the function that lets others run."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target, pattern = TARGETS[name]
    kernel = kernel_of(target, 64, 5)
    machine = machine_of(target)
    text = machine.emit_assembly(optimized(str(module_of(kernel)), machine))
    assert len(re.findall(pattern, text)) > 500
    called = set(re.findall(r"^\s+(?:callq|bl)\s+_?([a-zA-Z]\w*)", text, re.MULTILINE))
    assert called <= {"first", "second", "begin", "finish", "wf_jax_yield"}


@pytest.mark.parametrize("tiles", [(16, 32), (4, 32)], ids=["as AVX-512", "as NEON"])
def test_tiles_of_other_processors_decode_alike(model, monkeypatch, tiles):
    """LLVM makes vectors of what this processor has, so they can be run here."""
    z, c = drawn(model.config, 90)
    expected = Decoder(model).decode(z, c)
    target = dataclasses.replace(host(), lanes=tiles[0], registers=tiles[1])
    monkeypatch.setattr(decoders, "host", lambda: target)
    ours = Decoder(model)
    assert (ours._plan.kernel.lanes, ours._plan.kernel.rows) == (tiles[0], 12)
    agree(ours.decode(z, c), expected)


# Parts


def test_the_gate_is_exact():
    """To 4 units in the last place, and finite everywhere; what is no number stays none."""
    target = host()
    module = ir.Module("gate")
    module.triple = target.triple
    emit = Emitter(module, target, "gate", ("a*", "b*", "out*", "count"))
    a = emit.arguments

    def some(i, _):
        y = gated(emit, emit.load(a["a"], i), emit.load(a["b"], i))
        emit.store(y, a["out"], i)
        return []

    emit.loop(a["count"], emit.lanes, [], some)
    emit.builder.ret_void()
    machine = machine_of(target)
    engine = load(machine.emit_object(optimized(str(module), machine)), machine)
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)
    gate = kind(engine.get_function_address("gate"))

    def of(x, b):
        x, b = np.float32(x), np.float32(b)
        out = np.empty_like(x)
        gate(address(x), address(b), address(out), len(x))
        return out

    rng = np.random.default_rng(0)
    size = 1 << 18
    x = rng.standard_normal(size) * 10 ** rng.uniform(-6, 1.5, size)
    b = rng.standard_normal(size) * 10 ** rng.uniform(-3, 1.2, size)
    # The arguments as they are in float32 and in base 2.
    x2, b2 = np.float32(FILTER * x), np.float32(GATE * b)
    exact_x, exact_b = np.float64(x2) / FILTER, np.float64(b2) / GATE
    expected = np.tanh(exact_x) / (1 + np.exp(-np.clip(exact_b, -40, 40)))
    wanted = np.abs(exact_b) < 40
    error = np.abs(of(x2, b2) - expected)[wanted] / np.spacing(np.abs(np.float32(expected[wanted])))
    assert error.max() < 5
    edges = np.float32([np.inf, -np.inf, 0, 1e30, -1e30, np.nan, 1, 1] * 4)
    others = np.float32([0, 0, np.inf, 1e30, -np.inf, 0, np.nan, -1e30] * 4)
    found = of(edges, others)[:8]
    assert np.isfinite(found[:5]).all()
    assert np.isnan(found[5:7]).all()


def test_the_transform_is_a_convolution(rng):
    """F(6, 3): eight products for six outputs of three taps."""
    taps, x = rng.standard_normal(3), rng.standard_normal(8)
    y = TRANSFORM.inverse @ ((TRANSFORM.kernel @ taps) * (TRANSFORM.forward @ x))
    np.testing.assert_allclose(y, np.convolve(x, taps[::-1], "valid"), atol=1e-12)


def test_halves_of_a_program(model):
    z, c = drawn(model.config, 12)
    before, after = halves(lambda model, scale, z, mel: model.inverse(scale * z, mel))
    given = (model, 2.0, z.reshape(1, -1), np.zeros((1, 4, 6), np.float32))
    z, c, mask = before(*given)
    assert mask is None
    assert c.shape == (*z.shape, 4)
    np.testing.assert_allclose(z, 2 * given[2].reshape(1, 12, 8).swapaxes(1, 2), rtol=1e-6)
    x = jnp.arange(96, dtype=jnp.float32).reshape(z.shape)
    np.testing.assert_array_equal(after(x, *given)[0], x[0].T.reshape(-1))


# The choice


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"channels": 12}, "multiple of 8"),
        ({"channels": 8, "kernel": 5}, "kernel is 5"),
        ({"channels": 8, "compute_dtype": "bfloat16"}, "bfloat16"),
        ({"channels": 8, "layers": 12, "flows": 1}, "dilation"),
    ],
)
def test_others_are_left_to_jax(changes, reason):
    other = small.random_model(small.config(**changes))
    assert reason in why_not(other)
    with pytest.raises(UserError, match=f"decode this model: .*{reason}.*engine auto"):
        next(synthesize(other, [np.zeros((4, 3), np.float32)], engine="native"))


def test_other_numbers_and_families_are_left_to_jax(model):
    halved = jax.tree.map(lambda v: v.astype(jnp.float16), model)
    assert "float32" in why_not(halved)
    assert "WaveFlow" in why_not(small.random_model(small.waveglow_config(upsample_hops=3)))


@pytest.mark.slow
def test_both_engines_synthesize_the_same(model, monkeypatch):
    """Clips of different lengths, several at once."""
    rng = np.random.default_rng(3)
    mels = [rng.standard_normal((4, n)).astype(np.float32) for n in (61, 20, 7)]
    used, decode = [], Decoder.decode

    def counted(self, *given):
        used.append(len(given[0]))
        return decode(self, *given)

    monkeypatch.setattr(Decoder, "decode", counted)
    options = {"seed": 3, "batch_size": 2, "temperature": 0.7}
    theirs = dict(synthesize(model, mels, engine="jax", **options))
    assert not used
    ours = dict(synthesize(model, mels, **options))
    assert used == [2, 2]
    for i, expected in theirs.items():
        agree(ours[i], expected)
