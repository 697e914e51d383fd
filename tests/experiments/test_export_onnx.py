"""The command line that writes ONNX files: its refusals, and the output of onnxruntime.

Nothing is converted where jax2onnx is not installed: see experiments/onnx_export/requirements.txt.
"""

import dataclasses
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.onnx_export import programs as onnx_programs
from experiments.onnx_export.writing import target
from tests.flows import small
from wf_jax.amps import a2, load_nam, save_nam
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import load_model, save_model
from wf_jax.modules import split

ROOT = Path(__file__).parents[2]
INSTALLED = all(importlib.util.find_spec(name) for name in ("jax2onnx", "onnxruntime"))
converts = pytest.mark.skipif(
    not INSTALLED, reason="jax2onnx is not installed: experiments/onnx_export/requirements.txt"
)
FRAMES, BLOCK, BLOCKS = 5, 48, 4


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.export_onnx", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )


def refused(*arguments):
    """Returns the one line that the command ends with."""
    result = run(*arguments)
    lines = result.stderr.strip().splitlines()
    assert (result.returncode, len(lines)) == (1, 1), result.stderr
    return lines[0]


@pytest.fixture
def amp(tmp_path, rng):
    save_nam(a2.create("nano", rng), tmp_path / "amp.nam", {})
    return tmp_path / "amp.nam"


def saved_flow(folder, settings):
    save_model(folder, settings, split(small.random_model(settings))[1])
    return folder


@pytest.mark.slow
@pytest.mark.skipif(INSTALLED, reason="jax2onnx is installed here")
def test_without_jax2onnx_it_says_how_to_make_an_environment(amp, tmp_path):
    line = refused(f"--model={amp}", f"--output={tmp_path}/out")
    assert "jax2onnx and onnxruntime not installed" in line
    assert "pip install -r experiments/onnx_export/requirements.txt" in line
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_exported_is_one_line(tmp_path):
    wavenet = saved_flow(tmp_path / "wavenet", small.wavenet_config())
    line = refused(f"--model={wavenet}", f"--output={tmp_path}/out")
    assert line.startswith(f"{wavenet}: a WaveNet computes one sample after another")
    (tmp_path / "bad.nam").write_text("{")
    line = refused(f"--model={tmp_path}/bad.nam", f"--output={tmp_path}/out")
    assert line.startswith(f"{tmp_path}/bad.nam: ")
    assert not (tmp_path / "out").exists()


def test_the_output_is_a_file_or_goes_into_a_folder(tmp_path):
    assert target(tmp_path / "a.onnx", "step_64") == tmp_path / "a.onnx"
    assert target(tmp_path, "step_64") == tmp_path / "step_64.onnx"
    (tmp_path / "b.onnx").mkdir()
    (tmp_path / "c").write_text("")
    with pytest.raises(UserError, match=r"c: is a file; give a folder for"):
        target(tmp_path / "c" / "d", "step_64")
    with pytest.raises(UserError, match=r"b\.onnx: is a folder"):
        target(tmp_path / "b.onnx", "step_64")


@converts
@pytest.mark.slow
def test_onnxruntime_plays_an_amp_block_by_block(amp, tmp_path, rng):
    import onnxruntime

    result = run(f"--model={amp}", f"--output={tmp_path}/out", f"--block={BLOCK}")
    assert result.returncode == 0, result.stderr
    assert "greatest difference of onnxruntime from JAX" in result.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"step_{BLOCK}.onnx",
        f"step_{BLOCK}.state.npy",
    ]
    session = onnxruntime.InferenceSession(tmp_path / "out" / f"step_{BLOCK}.onnx")
    state = np.load(tmp_path / "out" / f"step_{BLOCK}.state.npy")
    x = rng.normal(0.0, 0.3, (1, BLOCK * BLOCKS)).astype(np.float32)
    played = []
    for block in np.split(x, BLOCKS, axis=1):
        state, y = session.run(["new_state", "y"], {"state": state, "x": block})
        played.append(y)
    whole = np.asarray(load_nam(amp)(x))  # not streamed
    assert np.abs(np.concatenate(played, axis=1) - whole).max() < 1e-5 * np.abs(whole).max()
    assert session.get_modelmeta().custom_metadata_map["sample_rate"] == "48000.0"


@converts
@pytest.mark.slow
@pytest.mark.parametrize("settings", [small.config(), small.waveglow_config()], ids=type)
def test_onnxruntime_synthesizes(settings, tmp_path, rng):
    import onnxruntime

    folder = saved_flow(tmp_path / "model", settings)
    result = run(f"--model={folder}", f"--output={tmp_path}/a.onnx", f"--frames={FRAMES}")
    assert result.returncode == 0, result.stderr
    mel = rng.standard_normal((1, settings.mel.n_mels, FRAMES)).astype(np.float32)
    noise = rng.standard_normal((1, FRAMES * settings.mel.hop_length)).astype(np.float32)
    feed = {"mel": mel, "noise": noise, "temperature": np.asarray(0.7, np.float32)}
    (audio,) = onnxruntime.InferenceSession(tmp_path / "a.onnx").run(["audio"], feed)
    wanted = np.asarray(load_model(folder).inverse(0.7 * noise, mel))
    assert audio.shape == wanted.shape == noise.shape
    assert np.abs(audio - wanted).max() < 1e-5 * np.abs(wanted).max()


@converts
@pytest.mark.slow
def test_a_result_that_differs_is_refused(rng):
    program = onnx_programs.amp(a2.create("nano", rng), BLOCK)

    def louder(state, x):
        state, y = program.call(state, x)
        return state, y * jnp.float32(1 + 1e-4)

    with pytest.raises(UserError, match=r"differ by 1\.0e-04"):
        onnx_programs.checked(dataclasses.replace(program, expected=louder))
