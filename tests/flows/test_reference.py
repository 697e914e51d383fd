"""Parity with Parakeet's and L0SG's own forward passes: ../shared/reference/waveflow.

The vectors are float32 results of nets with random weights, so no bound can be tighter than
their rounding: about 1e-6 of scale, in float64 too.
"""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.quick_jit import quick_jit
from wf_jax.flows.squeeze import squeeze, unsqueeze
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.interop import from_l0sg, from_parakeet
from wf_jax.modules import split

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "waveflow"
NAMES = [
    pytest.param("parakeet_h8_c32", marks=pytest.mark.slow),
    "parakeet_h32_c16_small",
    "l0sg_h16_c32_bipartize",
    pytest.param("l0sg_h32_c16_reverse", marks=pytest.mark.slow),
]
BOUND = 1e-6  # of scale; measured: 3e-7 in float32 and 2e-7 in float64


def of_scale(actual, expected):
    expected = np.asarray(expected, np.float64)
    return np.abs(np.asarray(actual, np.float64) - expected).max() / np.abs(expected).max()


@pytest.fixture(scope="module", params=NAMES)
def source(request):
    path = REFERENCE / f"{request.param}.npz"
    if not path.is_file():
        pytest.skip("the reference vectors are not here (../shared/reference/waveflow)")
    build = from_parakeet if request.param.startswith("parakeet") else from_l0sg
    with np.load(path) as file:
        vectors = {name: file[name] for name in file.files}
    params = {n.removeprefix("param."): v for n, v in vectors.items() if n.startswith("param.")}
    return vectors, build(params, json.loads(path.with_suffix(".json").read_text()))


@quick_jit
def results(model, audio, mel, z_sample, condition):
    """Returns all compared values; condition None means our upsampler's, cut to the latent."""
    upsampled, height = model.upsampler(mel), model.config.height
    z = squeeze(z_sample, height)
    c = upsampled if condition is None else condition.swapaxes(1, 2)
    c = c[:, : z_sample.shape[1]].reshape(c.shape[0], -1, height, c.shape[2]).swapaxes(1, 2)
    found = {"upsampled": upsampled.swapaxes(1, 2), "x": unsqueeze(model.decode(z, c))}
    return found | dict(zip(("z", "log_det"), model.forward(audio, mel), strict=True))


def compared(vectors, model, dtype):
    """Cuts as the sources do: 272 or 768 samples off the condition before synthesis."""
    samples = vectors["x_sample"].shape[1]
    z = vectors["z_sample"]
    z = z[:, :samples] if z.ndim == 2 else z[:, 0].swapaxes(1, 2).reshape(len(z), -1)
    condition = vectors.get("cond_trim")
    arrays = (vectors["audio"], vectors["mel"], z, condition)
    return results(model, *(None if a is None else a.astype(dtype) for a in arrays))


def check(vectors, found):
    z = vectors["z"]  # Parakeet: [B, T]; L0SG: [B, 1, h, W]
    z = z if z.ndim == 2 else z[:, 0].swapaxes(1, 2).reshape(len(z), -1)
    # Against what the flows change, so that the copied part of x cannot hide a difference.
    changed = np.abs(z - vectors["audio"]).max() / np.abs(z).max()
    assert changed > 0.02
    assert of_scale(found["z"], z) < BOUND
    assert of_scale(found["x"], vectors["x_sample"]) < BOUND
    # `logdet` is the sum over the batch of the log scales.
    assert np.sum(found["log_det"]) == pytest.approx(float(vectors["logdet"]), rel=1e-6)
    if "cond" in vectors:
        assert of_scale(found["upsampled"], vectors["cond"]) < BOUND


@pytest.mark.slow
def test_parity(source):
    """Catches a transposed kernel, swapped halves, other permutations or cuts."""
    vectors, model = source
    check(vectors, compared(vectors, model, np.float32))


@pytest.mark.slow
def test_parity_in_float64(source):
    """The remaining difference is the sources' own rounding: it does not shrink."""
    vectors, model = source
    with jax.enable_x64(True):
        config = dataclasses.replace(model.config, compute_dtype="float64")
        shapes = jax.eval_shape(lambda: WaveFlow(config, np.random.default_rng(0)))
        params = {n: jnp.asarray(np.float64(v)) for n, v in split(model)[1].items()}
        found = compared(vectors, split(shapes)[0](params), np.float64)
        assert found["z"].dtype == jnp.float64
        check(vectors, found)
