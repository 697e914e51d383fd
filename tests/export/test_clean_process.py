"""Releases where only JAX and NumPy can be imported, beside their models' results."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.export import small_releases as releases
from wf_jax.amps import load_nam
from wf_jax.export.check import played

# Batch and mel frames, or batch and samples: at the lengths of arrays and short of them.
CLIPS = [(1, 5), (1, 33), (1, 64), (2, 70), (2, 80)]
SIGNALS = [(1, 1), (1, 300), (1, 8192), (2, 8191), (2, 700)]
# Modules of wf_jax; none of them needs more than JAX and NumPy.
OWN = (
    *("export", "audio", "json_values", "bounded_files", "array_files", "command_lines", "errors"),
    *("folders", "hub", "lazy_names", "levels", "old_names", "options", "whole_files"),
)
SCRIPT = (
    f"TAKEN = {OWN}"
    + """
import importlib.abc, json, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        root, parts = name.split(".")[0], name.split(".")
        own = root != "wf_jax" or not parts[1:] or parts[1] in TAKEN
        model_code = name in ("wf_jax.export.functions", "wf_jax.export.rebuild")
        if root in REFUSED or not own or model_code:
            raise ImportError(f"{name} is not here", name=name)

REFUSED = set("flax optax orbax etils fsspec absl ml_collections soundfile soxr yaml tensorstore "
              "matplotlib data_pipeline experiments tests".split())
sys.meta_path.insert(0, Refuse())
sys.path = [path for path in sys.path if path]
import jax
import jax.export
import flatbuffers
import numpy as np
jax.export.export(jax.jit(jax.numpy.sin))(1.0).serialize()
before = set(sys.modules)
from wf_jax.export import Amp, load

found = {}
cases = json.loads(sys.argv[1])
for name, folder in cases["releases"].items():
    release = load(folder)
    amp = isinstance(release, Amp)
    for batch, size in cases["signals" if amp else "clips"]:
        with np.load(cases["inputs"]) as inputs:
            audio, mel = (inputs.get(f"{kind}/{name}/{batch}/{size}") for kind in ("audio", "mel"))
        label = f"{name}/{batch}/{size}"
        if amp:
            found[f"render/{label}"] = release.render(audio)
            state, y = release.step(release.init_state(batch), np.resize(audio, (batch, 64)))
            found[f"step/{label}"] = y
        else:
            found[f"mel/{label}"] = release.mel(audio)
            key = jax.random.key(batch)
            found[f"synthesize/{label}"] = release.synthesize(mel, key, 0.7)
            found[f"log_prob/{label}"] = release.log_prob(audio, mel)
np.savez(cases["outputs"], **found)
print(json.dumps(sorted(set(sys.modules) - before)))
"""
)


def inputs_of(name, batch, size):
    if name in releases.NAMS:
        return {"audio": releases.clip(batch, size)}
    # The last frame of a clip need not be full.
    return {"audio": releases.clip(batch, 16 * size - 3), "mel": releases.mels(batch, size)}


@pytest.fixture(scope="module")
def amps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("amps")
    return answers(folder, {n: releases.amp_release(folder / n, n) for n in releases.NAMS})


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    return answers(folder, {n: releases.vocoder_release(folder / n, n) for n in releases.FLOWS})


def answers(folder, made):
    """Returns releases, their results in a process without model code, and its modules."""
    inputs = {
        f"{kind}/{name}/{batch}/{size}": value
        for name in made
        for batch, size in (SIGNALS if name in releases.NAMS else CLIPS)
        for kind, value in inputs_of(name, batch, size).items()
    }
    np.savez(folder / "inputs.npz", **inputs)
    cases = {"clips": CLIPS, "signals": SIGNALS, "inputs": str(folder / "inputs.npz")}
    cases |= {
        "outputs": str(folder / "outputs.npz"),
        "releases": {k: str(v) for k, v in made.items()},
    }
    result = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, json.dumps(cases)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},  # to compile fast
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    with np.load(folder / "outputs.npz") as outputs:
        return made, dict(outputs), set(json.loads(result.stdout))


@pytest.mark.slow
def test_nothing_else_was_imported(amps, voices):
    """Allows JAX's own modules (SciPy is one of them) and our own readers."""
    modules = amps[2] | voices[2]
    packages = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names)
    own = {name for name in packages if not name.startswith("_cy")}  # Cython's, of SciPy
    assert own - {"jax", "jaxlib", "numpy", "scipy"} == {"wf_jax"}
    ours = {name for name in modules if name.startswith("wf_jax.")}
    assert "wf_jax.export.release" in ours
    assert not [name for name in ours if name.split(".")[1] not in OWN]


def close(found, expected):
    """Compares audio to its scale, which of random models may be hundreds."""
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family", releases.FLOWS)
def test_a_vocoder_says_what_its_model_says(voices, family):
    """Compiles the model for one array that all clips fit into, and once as it is called."""
    _, found, _ = voices
    model = releases.flow(family)
    for batch, frames in CLIPS:
        label, given = f"{family}/{batch}/{frames}", inputs_of(family, batch, frames)
        audio, nats = releases.model_says(model, given["audio"], given["mel"], batch, 0.7)
        if (batch, frames) == CLIPS[1]:
            direct = releases.sampled(model, given["mel"], batch, 0.7)
            close(found[f"synthesize/{label}"], direct)
        assert np.std(audio) > 0.1
        close(found[f"synthesize/{label}"], audio)
        np.testing.assert_allclose(found[f"log_prob/{label}"], nats, rtol=1e-5, atol=1e-5)
        mel = releases.mel_of(given["audio"])
        np.testing.assert_allclose(np.exp(found[f"mel/{label}"]), np.exp(mel), atol=1e-5)


@pytest.mark.parametrize("name", releases.NAMS)
def test_an_amp_plays_what_its_model_plays(amps, name):
    made, found, _ = amps
    model = load_nam(Path(made[name], "model.nam"))
    for batch, samples in SIGNALS:
        x = releases.clip(batch, samples)
        filled = np.zeros((2, 8192), np.float32)  # what follows a signal is not heard in it
        filled[:batch, :samples] = x
        expected = played(model, filled)[:batch, :samples]
        near(found[f"render/{name}/{batch}/{samples}"], expected)
        filled[:batch, :64] = np.resize(x, (batch, 64))
        near(found[f"step/{name}/{batch}/{samples}"], played(model, filled)[:batch, :64])


def near(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(np.abs(expected).max(), 1e-3))
