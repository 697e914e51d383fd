"""Releases where JAX and NumPy alone can be imported, beside what their models say."""

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

# Batch and mel frames, or batch and samples: three array lengths, short of them, at them.
CLIPS = [(1, 5), (1, 33), (1, 64), (2, 70), (3, 100)]
SIGNALS = [(1, 1), (1, 300), (1, 8192), (2, 8193), (3, 9000)]
SCRIPT = """
import importlib.abc, json, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        root, parts = name.split(".")[0], name.split(".")
        own = root != "wf_jax" or parts[1:2] in ([], ["export"], ["audio"], ["json_values"])
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


def inputs_of(name, batch, size):
    if name in releases.NAMS:
        return {"audio": releases.clip(batch, size)}
    # The last frame of a clip need not be full.
    return {"audio": releases.clip(batch, 16 * size - 3), "mel": releases.mels(batch, size)}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the releases say in a process without model code, and that process's modules."""
    folder = tmp_path_factory.mktemp("releases")
    made = {name: releases.vocoder_release(folder / name, name) for name in releases.FLOWS}
    made |= {name: releases.amp_release(folder / name, name) for name in releases.NAMS}
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


def test_nothing_else_was_imported(answers):
    """Beside what JAX itself comes with (SciPy is one of them): our own readers."""
    _, _, modules = answers
    packages = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert packages - {"jax", "jaxlib", "numpy", "scipy", "_cyutility"} == {"wf_jax"}
    ours = {name for name in modules if name.startswith("wf_jax.")}
    assert "wf_jax.export.release" in ours
    assert not [
        name for name in ours if name.split(".")[1] not in ("export", "audio", "json_values")
    ]


@pytest.mark.parametrize("family", releases.FLOWS)
@pytest.mark.parametrize(("batch", "frames"), CLIPS)
def test_a_vocoder_says_what_its_model_says(answers, family, batch, frames):
    _, found, _ = answers
    model, label = releases.flow(family), f"{family}/{batch}/{frames}"
    given = inputs_of(family, batch, frames)
    audio = releases.sampled(model, given["mel"], seed=batch, temperature=0.7)
    assert np.std(audio) > 0.1
    np.testing.assert_allclose(found[f"synthesize/{label}"], audio, atol=1e-5)
    nats = releases.likelihood(model, given["audio"], given["mel"])
    np.testing.assert_allclose(found[f"log_prob/{label}"], nats, rtol=1e-5, atol=1e-5)
    mel = np.asarray(releases.mel_of(given["audio"]))
    np.testing.assert_allclose(np.exp(found[f"mel/{label}"]), np.exp(mel), atol=1e-5)


@pytest.mark.parametrize("name", releases.NAMS)
@pytest.mark.parametrize(("batch", "samples"), SIGNALS)
def test_an_amp_plays_what_its_model_plays(answers, name, batch, samples):
    made, found, _ = answers
    model, x = load_nam(Path(made[name], "model.nam")), releases.clip(batch, samples)
    expected = played(model, x)
    scale = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(
        found[f"render/{name}/{batch}/{samples}"], expected, atol=1e-5 * scale
    )
    block = played(model, np.resize(x, (batch, 64)))
    scale = max(np.abs(block).max(), 1e-3)
    np.testing.assert_allclose(found[f"step/{name}/{batch}/{samples}"], block, atol=1e-5 * scale)
