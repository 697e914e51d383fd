"""Compiled shapes: kept, found, made anew where damaged; and code for other processors."""

import dataclasses
import re
import time
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from tests.amps.native_models import a1, example, noise
from wf_jax.amps import a2
from wf_jax.amps.native import objects
from wf_jax.amps.native.engine import NativeModel
from wf_jax.amps.native.shapes import shape_of
from wf_jax.amps.player import Player
from wf_jax.native.machine_code import path_of, source_of
from wf_jax.native.target import arm, x86
from wf_jax.programs_folder import SWITCH

AVX2 = "+avx,+avx2,+fma"
AVX512 = "+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw"
TARGETS = {
    "AVX-512": (x86("x86_64-unknown-linux-gnu", "skylake-avx512", AVX512), r"zmm\d+"),
    "AVX2": (x86("x86_64-pc-windows-msvc", "haswell", AVX2), r"vfmadd231ps.*ymm\d+"),
    "SSE2": (x86("x86_64-unknown-linux-gnu", "x86-64", ""), r"mulps.*xmm\d+"),
    "NEON": (arm("aarch64-unknown-linux-gnu", "cortex-a72", "+neon"), r"fmla\s+v\d+\.4s"),
    "M1": (arm("arm64-apple-darwin", "apple-m1", ""), r"fmla.*v\d+"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of programs, and no program in memory."""
    monkeypatch.setenv(SWITCH, str(tmp_path / "programs"))
    objects._program.cache_clear()
    yield tmp_path / "programs"
    objects._program.cache_clear()


@pytest.fixture
def compilations(monkeypatch):
    """Counts compilations."""
    counted, compile_one = [], objects._module

    def count(*arguments):
        counted.append(arguments[0])
        return compile_one(*arguments)

    monkeypatch.setattr(objects, "_module", count)
    return counted


@pytest.fixture(scope="module")
def model():
    return a1((2, 1), (1, 2))


def play(model):
    objects._program.cache_clear()  # as in a new process
    return Player(model, 64, "native")(noise(model, 64))


def test_the_next_process_finds_it(folder, compilations, model):
    first = play(model)
    (path,) = folder.iterdir()
    assert path.name.startswith("native-")
    np.testing.assert_array_equal(play(model), first)
    other = a1((2, 1), (1, 2)).scaled(2.0)  # another model of the shape
    np.testing.assert_allclose(play(other), 2 * first, rtol=1e-5)
    assert len(compilations) == 1
    play(a1((2, 1), (1, 3)))  # another shape
    assert len(compilations) == 2
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "other"])
def test_a_damaged_one_is_made_anew(folder, compilations, model, damage):
    first = play(model)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    path.write_bytes(
        {"empty": b"", "short": whole[:-1], "flipped": bytes(flipped), "other": b"x" * 500}[damage]
    )
    np.testing.assert_array_equal(play(model), first)
    assert path.read_bytes() == whole
    assert len(compilations) == 2


def test_where_nothing_can_be_kept_it_plays(folder, compilations, model, monkeypatch):
    folder.write_text("a file where the folder should be")
    first = play(model)
    monkeypatch.setenv(SWITCH, "off")
    np.testing.assert_array_equal(play(model), first)
    assert len(compilations) == 2


def test_another_processor_or_source_has_another_object(folder, model):
    shape, target = shape_of(model), objects.host()
    source = source_of(Path(objects.__file__).parent)
    ways = [(target, source), (TARGETS["SSE2"][0], source), (target, "changed")]
    assert len({path_of(shape, *way) for way in ways}) == 3


def test_a_shape_seen_before_plays_at_once(folder):
    model = a2.create("standard", np.random.default_rng(0))
    NativeModel(model)
    taken = []
    for _ in range(3):
        objects._program.cache_clear()
        start = time.perf_counter()
        Player(model, 64, "native")(noise(model, 64))
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.3  # 0.02 s on an idle machine


@pytest.mark.slow
@pytest.mark.parametrize(
    "tiles",
    [
        {"lanes": 16, "registers": 32, "vectors": 2},  # as with AVX-512
        {"lanes": 4, "registers": 32, "vectors": 4},  # as with NEON
        {"lanes": 4, "registers": 16, "vectors": 4},  # as with SSE2
    ],
)
def test_tiles_of_other_processors_play_alike(folder, monkeypatch, tiles):
    """LLVM makes vectors of what this processor has, so they can be played here."""
    models = [a1((16, 8), (1, 2, 512)), example("gating_mixed"), example("post_stack_head")]
    expected = [play(model) for model in models]
    target = dataclasses.replace(objects.host(), **tiles)
    monkeypatch.setattr(objects, "host", lambda: target)
    for model, y in zip(models, expected, strict=True):
        objects._program.cache_clear()
        player = Player(model, 64, "native")
        assert player._stream._stream.model.program.target == target
        x = noise(model, 64)
        halves = [player(x[..., :33]), player(x[..., 33:])]
        np.testing.assert_allclose(np.concatenate(halves, axis=-1), y, atol=1e-6)


@pytest.mark.parametrize("name", TARGETS)
def test_code_for_other_processors(name):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target, pattern = TARGETS[name]
    for model in (a1((5, 3), (1, 2)), example("gating_mixed")):
        text = objects.assembly_of(shape_of(model), target)
        assert len(re.findall(pattern, text)) > 50
        called = set(re.findall(r"^\s+(?:callq|bl|jmp|b)\s+_?([a-zA-Z]\w*)", text, re.MULTILINE))
        known = {"memcpy", "mirror", "play"} | ({"rintf"} if name == "SSE2" else set())
        assert {c for c in called if not c.startswith(("layer_", "conv_", "LBB"))} <= known
