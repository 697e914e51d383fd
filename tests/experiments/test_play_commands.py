"""`render` and `benchmark` as a user types them, with a small model."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.amps import foreign_documents
from tests.amps.nam_examples import EXAMPLES
from tests.amps.slow_nam import play


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("play")
    (folder / "amp.nam").write_text(json.dumps(EXAMPLES["gated"]()))
    (folder / "plain.nam").write_text(json.dumps(EXAMPLES["legacy"]()))
    (folder / "stereo.nam").write_text(json.dumps(EXAMPLES["channels_2_in_3_out"]()))
    x = 0.3 * np.random.default_rng(0).normal(size=2000)
    (folder / "pair").mkdir()
    for name in ("di.wav", "pair/a.wav", "pair/a.flac"):
        soundfile.write(folder / name, x, 48000)
    return folder


def run(module, **options):
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", f"experiments.{module}", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_render_plays_the_model(folder):
    files = {"model": folder / "amp.nam", "input": folder / "di.wav", "output": folder / "wet.wav"}
    done = run("render", **files)
    assert done.returncode == 0, done.stderr
    x, y = (soundfile.read(folder / name)[0] for name in ("di.wav", "wet.wav"))
    np.testing.assert_allclose(y, play(EXAMPLES["gated"](), x), atol=2e-6)


@pytest.mark.slow
def test_render_plays_the_models_of_other_programs(folder):
    document = foreign_documents.EXAMPLES["aida_x_gru_all"]()
    (folder / "gru.json").write_text(json.dumps(document))
    paths = {"model": folder / "gru.json", "input": folder / "di.wav", "output": folder / "g.wav"}
    done = run("render", **paths)
    assert done.returncode == 0, done.stderr
    x, y = (soundfile.read(folder / name)[0] for name in ("di.wav", "g.wav"))
    expected = foreign_documents.play(document, x, silence=24000)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "wet.mp3"}, "let its name end in .wav"),
        ({"output": "pair"}, "the output is a folder; name the WAV file"),
        ({"model": "stereo.nam"}, "2 inputs and 3 outputs; only mono models are rendered"),
        ({"slim": "nan"}, "--slim=nan is not a number; give a finite one"),
        ({"input": "pair", "output": "out"}, "a.flac and a.wav would both become a.wav"),
    ],
)
def test_render_says_what_is_wrong(folder, options, message):
    files = {"model": "amp.nam", "input": "di.wav", "output": "x.wav"} | options
    paths = {k: v if k == "slim" else folder / v for k, v in files.items()}
    done = run("render", **paths)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "x.wav").exists()


# A program that says how long it took, as --core wants it.
CORE = """
import json, sys
assert json.load(open(sys.argv[1]))["architecture"] == "WaveNet"
blocks = len(sys.stdin.buffer.read()) // 4 // int(sys.argv[2])
for i in range(blocks):
    print(10_000 if i < blocks // 2 else 5_000)
"""


def program(path, code):
    path.write_text(f"#!{sys.executable}\n{code}")
    path.chmod(0o755)
    return path


@pytest.mark.slow
def test_benchmark_says_what_is_wrong_with_the_core(folder):
    core = program(folder / "bad", "import sys; print('x'); sys.exit('no such model')")
    options = {"case": "stream", "seconds": 0.1, "rounds": 1, "model": folder / "amp.nam"}
    done = run("benchmark", core=core, **options)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "bad: exit code 1, 1 words for 150 blocks, where one number each is due" in line
    assert line.endswith("no such model")
    done = run("benchmark", core=folder / "none", **options)
    assert "a program, for --case=stream; name its file" in done.stderr


@pytest.mark.slow
def test_benchmark_times_every_block(folder):
    options = {"case": "stream", "seconds": 0.2, "rounds": 2, "output": folder / "bench.json"}
    core = program(folder / "core", CORE)
    done = run("benchmark", model=folder / "amp.nam", core=core, **options)
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "bench.json").read_text())
    assert result["blocks"] == 2 * 150
    assert result["deadline_us"] == pytest.approx(64 / 48000 * 1e6)
    assert set(result["players"]) == {"native", "jax", "core"}
    for times in result["players"].values():
        ordered = [times[key] for key in ("min", "p50", "p99", "p99.9", "max")]
        assert 0 < ordered[0] <= times["mean"] <= ordered[-1]
        assert ordered == sorted(ordered)
        assert times["real_time"] == pytest.approx(result["deadline_us"] / times["p50"])
    # The first half, which does not count, takes the stand-in twice as long.
    assert result["players"]["core"]["max"] == 5.0
    assert "of the time of the core at p50" in done.stdout
    assert result["environment"]["cores"] == 1
    assert (folder / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "none.nam"}, "none.nam: cannot be read"),
        ({"seconds": 0.1, "block": 9000}, "hold no block of 9000 samples"),
        ({"output": "x.png"}, "let the name end in .json"),
        ({"output": "nowhere/x.json"}, "does not exist; make it first"),
        ({"case": "passes"}, "the native engine does not train this model: it trains no gated"),
        ({"case": "passes", "output": "x.json"}, "--case=passes writes no file"),
    ],
)
def test_benchmark_says_what_is_wrong(folder, options, message):
    given = {"case": "stream", "model": "amp.nam"} | options
    paths = {k: folder / v if k in ("model", "output") else v for k, v in given.items()}
    done = run("benchmark", **paths)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_benchmark_times_both_engines_passes(folder):
    done = run("benchmark", case="passes", model=folder / "plain.nam", rounds=1)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    engines = ("native", "jax")
    assert [row[:2] for row in rows] == [[of, e] for of in ("model", "loss") for e in engines]
    assert all(float(value) > 0 for row in rows for value in row[2:5])
