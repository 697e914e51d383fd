"""The export command as a user types it, its folder, and the examples that use it."""

import dataclasses
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from experiments.examples import tpu_batch
from experiments.releases.card import card
from experiments.releases.export import Export, export
from experiments.releases.sources import find_source
from experiments.releases.writing import ReleaseOptions, make_release, remake_release
from tests.export import small_releases as releases
from tests.flows import small
from wf_jax.errors import UserError
from wf_jax.export import load
from wf_jax.export.artifacts import lower
from wf_jax.export.manifest import MANIFEST, digest, read_manifest
from wf_jax.export.rebuild import functions_of
from wf_jax.flows.model_folder import save_model
from wf_jax.modules import split

ROOT = Path(__file__).parents[2]
CPU = ReleaseOptions(platforms=("cpu",))


def run(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},  # to compile fast
        timeout=300,
    )


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Makes the folder of a trained vocoder."""
    folder = tmp_path_factory.mktemp("runs") / "lj"
    model = releases.flow("WaveFlow")
    save_model(folder / "model", model.config, split(model)[1])
    (folder / "config.json").write_text('{"task": "vocoder", "data.corpus": "nowhere"}')
    metrics = {"log_likelihood": 4.5, "judged": {"mel_cepstral_distortion": 6.25}, "steps": 1200}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


@pytest.fixture(scope="module")
def exported(workdir, tmp_path_factory):
    """Makes its release by the command; returns it and the printed lines."""
    output = tmp_path_factory.mktemp("out") / "release"
    result = run("experiments.export", f"--model={workdir}", f"--output={output}", "--license=mit")
    assert result.returncode == 0, result.stderr
    return output, result


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Makes a release of an amp."""
    folder = tmp_path_factory.mktemp("amp")
    source = find_source(str(releases.nam(folder, "legacy")), None, None)
    make_release(source, CPU, folder / "release")
    return folder / "release"


@pytest.mark.slow
def test_the_release_of_a_run(exported):
    output, result = exported
    names = {path.name for path in output.iterdir()}
    functions = {"mel.jaxexp", "synthesize.jaxexp", "log_prob.jaxexp"}
    assert names == functions | {"config.json", "params.npz", MANIFEST, "README.md", "example.wav"}
    assert set(read_manifest(output).files) == names - {MANIFEST}
    assert digest((output / MANIFEST).read_bytes()) in result.stdout
    manifest = load(output).manifest
    assert manifest.name == "lj"
    assert manifest.platforms == ("cpu", "cuda", "tpu")
    assert manifest.metrics["log_likelihood"] == 4.5
    assert set(manifest.error) == {"mel", "synthesize", "log_prob"}
    assert max(manifest.error.values()) < 1e-5
    assert not list(output.parent.glob(".*"))


@pytest.mark.slow
def test_its_readme(exported):
    """Checks the form of a model card, with everything that a user must know."""
    text = (exported[0] / "README.md").read_text()
    assert text.startswith('---\nlibrary_name: wf_jax\nlicense: "mit"\n')
    for wanted in (
        "8,000 Hz",
        "nats per sample | 4.5 |",
        "mel-cepstral distortion, dB | 6.25 |",
        "vocoder.synthesize(mel, jax.random.key(0)",
        "| synthesize | in | mel | [b, 4, f] | float32 | natural log of mel magnitudes |",
        "for cpu, cuda, tpu",
        read_manifest(exported[0]).expires,
    ):
        assert wanted in text
    assert all(len(line) < 160 for line in text.splitlines())


def test_names_in_its_readme_are_text(exported):
    manifest = read_manifest(exported[0])
    text = card(dataclasses.replace(manifest, name="a\x1b[2J\nb", example="the clip \x1b[31m\nc"))
    assert all(line.isprintable() for line in text.splitlines())
    assert r"# a\x1b[2J b" in text
    assert r"is the clip \x1b[31m\nc." in text


def test_its_example_is_audio(exported):
    audio, rate = soundfile.read(exported[0] / "example.wav")
    assert rate == small.MEL.sample_rate
    assert len(audio) == 6 * rate
    assert 0.01 < np.abs(audio).max() <= 1
    assert read_manifest(exported[0]).example.startswith("the built-in voice")


@pytest.mark.slow
def test_the_readme_s_code_without_our_package(played):
    """Runs the lines under "JAX alone" as they stand there."""
    text = (played / "README.md").read_text()
    code = text.split("```python\n")[2].split("```")[0].replace("RELEASE", str(played))
    facts = read_manifest(played).amp
    x = releases.clip(1, facts.chunk)
    state = load(played).init_state(1)
    names = {"x": x, "state": state, "chunks": np.int32(1)}
    exec(code, names)
    np.testing.assert_allclose(names["y"], load(played).render(x), atol=1e-6)


@pytest.mark.slow
def test_the_release_of_an_amp(played):
    amp = load(played)
    assert amp.manifest.name == "legacy"
    assert amp.manifest.amp.blocks == (64,)
    assert set(amp.manifest.error) == {"render", "step_64"}
    audio, rate = soundfile.read(played / "example.wav")
    assert (len(audio), rate) == (6 * 48000, 48000)
    assert "the built-in plucked strings, through the amp" in (played / "README.md").read_text()


def test_a_run_of_an_amp_and_a_recording_of_one_s_own(tmp_path):
    """Finds the model in the run's folder; plays the example at its rate."""
    releases.nam(tmp_path, "legacy").rename(tmp_path / "model.nam")
    (tmp_path / "metrics.json").write_text('{"esr": {"standard": 0.025}}')
    soundfile.write(tmp_path / "di.wav", releases.clip(1, 44100)[0], 44100)
    source = find_source(str(tmp_path), "my amp", str(tmp_path / "di.wav"))
    assert (source.name, source.metrics) == ("my amp", {"esr": {"standard": 0.025}})
    assert len(source.example) == source.example_rate == 48000
    assert source.example_description == "di.wav"


# Existing files


def test_a_release_is_replaced_and_nothing_else_is(played, tmp_path):
    source = find_source(str(played / "model.nam"), "other", None)
    (tmp_path / "release").mkdir()
    make_release(source, CPU, tmp_path / "release")
    assert load(tmp_path / "release").manifest.name == "other"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for output in (tmp_path / "mine", tmp_path / "mine" / "letter.txt"):
        with pytest.raises(UserError, match="is there and is no release"):
            make_release(source, CPU, output)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_what_somebody_added_to_a_release_stays(played, tmp_path):
    """Keeps a license and the .git of a hub, but not as part of the release."""
    output = shutil.copytree(played, tmp_path / "release")
    (output / "LICENSE").write_text("free")
    (output / ".git").mkdir()
    (output / ".git" / "HEAD").write_text("main")
    remake_release(output)
    assert (output / "LICENSE").read_text() == "free"
    assert (output / ".git" / "HEAD").read_text() == "main"
    assert "LICENSE" not in load(output).manifest.files


def test_nothing_is_left_of_a_release_that_fails(played, tmp_path, monkeypatch):
    """Makes a release fail by a difference from its model."""
    source = find_source(str(played / "model.nam"), "other", None)
    monkeypatch.setattr("experiments.releases.writing.TOLERANCE", {"float32": 0.0})
    with pytest.raises(UserError, match=r"render differs from the model by"):
        make_release(source, CPU, tmp_path / "release")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_rebuilding(played, tmp_path):
    """Makes new artifacts and dates; keeps model, arrays, example and an edited README."""
    source = find_source(str(played / "model.nam"), "other", None)
    output = tmp_path / "release"
    make_release(source, CPU, output)
    content = json.loads((output / MANIFEST).read_text()) | {"expires": "2026-01-31"}
    (output / MANIFEST).write_text(json.dumps(content))
    (output / "render.jaxexp").write_bytes(b"not any more")
    with pytest.raises(UserError, match=r"render\.jaxexp: 12 bytes"):
        remake_release(output)
    entry = content["files"]["render.jaxexp"]
    entry |= {"bytes": 12, "sha256": digest(b"not any more")}
    (output / MANIFEST).write_text(json.dumps(content))
    (output / "README.md").write_text("Mine.")
    kept = {name: (output / name).read_bytes() for name in ("params.npz", "example.wav")}
    remake_release(output)
    amp = load(output)
    assert amp.manifest.expires > "2026-12"
    assert amp.manifest.name == "other"
    assert (output / "README.md").read_text() == "Mine."
    for name, data in kept.items():
        assert (output / name).read_bytes() == data
    x = releases.clip(1, 300)
    np.testing.assert_allclose(amp.render(x), load(played).render(x), atol=1e-6)


def test_for_a_machine_that_is_not_this_one(played, tmp_path, capsys):
    """Lowers here without a trial; its example is the model's."""
    source = find_source(str(played / "model.nam"), None, None)
    make_release(source, ReleaseOptions(platforms=("tpu",)), tmp_path / "release")
    assert "not tried: this machine computes on cpu" in capsys.readouterr().out
    assert read_manifest(tmp_path / "release").error == {}
    assert "Greatest difference" not in card(read_manifest(tmp_path / "release"))
    assert soundfile.info(tmp_path / "release" / "example.wav").frames == 6 * 48000
    with pytest.raises(UserError, match="are for tpu, not for cpu"):
        load(tmp_path / "release")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"model": "no.nam"}, "no.nam: no such file or folder; name a run, a model or a .nam"),
        (
            {"model": ".", "platforms": ["abacus"]},
            "--platforms=abacus: give one or more of cpu, cud",
        ),
        ({"model": ".", "blocks": ["64", "0"]}, "--blocks: '0' is no number of samples from 1 to"),
        ({"model": ".", "output": "gs://a/release"}, "give a local folder, and copy it there"),
        ({}, "name a model and the folder of its release, or add --rebuild"),
        ({"rebuild": True}, "no such folder; name one that `wf-jax export` wrote"),
        (
            {"rebuild": True, "blocks": ["32"]},
            "--blocks: --rebuild makes what was asked for before",
        ),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, options, expected):
    with pytest.raises(UserError) as error:
        export(Export(**{"output": str(tmp_path / "out"), **options}))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_amps_are_exported_in_float32_only(played, tmp_path):
    source = find_source(str(played / "model.nam"), None, None)
    with pytest.raises(UserError, match="--dtype=bfloat16: an amp's audio would have 8 bits"):
        make_release(source, ReleaseOptions(("cpu",), dtype="bfloat16"), tmp_path / "release")


@pytest.mark.parametrize("task", ["vocoder", "capture"])
def test_a_run_that_has_no_model_yet(tmp_path, task):
    (tmp_path / "config.json").write_text(json.dumps({"task": task}))
    with pytest.raises(UserError, match="yet; wait for"):
        find_source(str(tmp_path), None, None)


# Examples


@pytest.mark.slow
def test_the_speech_service(exported, tmp_path):
    np.save(tmp_path / "mel.npy", releases.mels(1, 20)[0])
    wav = tmp_path / "speech.wav"
    module = "experiments.examples.speech_service"
    result = run(module, exported[0], tmp_path / "mel.npy", wav)
    assert result.returncode == 0, result.stderr
    audio, rate = soundfile.read(wav)
    vocoder = load(exported[0])
    expected = vocoder.synthesize(releases.mels(1, 20), jax.random.key(0), 0.8)[0]
    assert rate == 8000
    np.testing.assert_allclose(audio, np.clip(expected, -1, 1), atol=1e-4)


def example(name, *arguments):
    """Runs an example as it is started, in this process."""
    arguments = [name, *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        patch.delitem(sys.modules, f"experiments.examples.{name}", raising=False)
        runpy.run_module(f"experiments.examples.{name}", run_name="__main__")


def test_the_amp_service(played, exported, tmp_path):
    x = releases.clip(1, 650)[0]
    np.save(tmp_path / "di.npy", x)
    example("amp_service", played, tmp_path / "di.npy", tmp_path / "wet.npy")
    wet = np.load(tmp_path / "wet.npy")
    np.testing.assert_allclose(wet, load(played).render(x[None])[0], atol=1e-6)
    with pytest.raises(SystemExit, match="a vocoder, which takes mels; name an amp's release"):
        example("amp_service", exported[0], "a", "b")


@pytest.mark.slow
def test_the_batch_job(exported, tmp_path, monkeypatch, capsys):
    """Synthesizes every mel, of any length, and remakes missing files identically."""
    (tmp_path / "mels").mkdir()
    for name, frames in (("a", 5), ("b", 31), ("c", 12)):
        np.save(tmp_path / "mels" / f"{name}.npy", releases.mels(1, frames)[0])
    monkeypatch.setattr(tpu_batch, "CLIPS", 1)
    folders = str(exported[0]), str(tmp_path / "mels"), str(tmp_path / "wavs")
    assert tpu_batch.run(*folders) == 3
    frames = {path.name: soundfile.info(path).frames for path in (tmp_path / "wavs").iterdir()}
    assert frames == {"a.wav": 5 * 16, "b.wav": 31 * 16, "c.wav": 12 * 16}
    before = (tmp_path / "wavs" / "b.wav").read_bytes()
    (tmp_path / "wavs" / "b.wav").unlink()
    assert tpu_batch.run(*folders) == 1
    assert (tmp_path / "wavs" / "b.wav").read_bytes() == before
    example("tpu_batch", *folders)
    assert capsys.readouterr().out.endswith("0 clips\n")
    np.save(tmp_path / "mels" / "d.npy", np.zeros((1, 7), np.float32))
    with pytest.raises(UserError, match=r"d\.npy: \[1, 7\] is not the mel of this release"):
        tpu_batch.run(*folders)


def test_a_module_for_a_host_without_python(played, tmp_path):
    """The listed arguments are those of the module's `main`, and the data fills all but x."""
    example("stablehlo_module", played, "step_64", tmp_path / "amp", "cpu", "b=1")
    lines = [line.split() for line in (tmp_path / "amp.txt").read_text().splitlines()]
    sizes = [int(np.prod([int(n) for n in line[2:-1]])) for line in lines]
    assert (tmp_path / "amp.data").stat().st_size == 4 * sum(sizes[:-1])
    assert [line[-1] for line in lines[-2:]] == ["state", "x"]
    assert lines[-1][2:4] == ["1", "64"]
    model = read_manifest(played)
    assert [line[-1] for line in lines[:-2]] == sorted(model.params)
    data = (tmp_path / "amp.mlirbc").read_bytes()
    assert data.startswith(b"ML\xefR")
    (step,) = (f for f in functions_of(played, model) if f.name == "step_64")
    with np.load(played / "params.npz") as params:
        text = str(lower(step, dict(params), ["cpu"], {"b": 1}).mlir_module())
    main = text[text.index("func.func public @main(") :].split("->")[0]
    assert main.count("%arg") == len(lines)
    assert "?x" not in text
    for arguments, expected in (
        (("step_5", "x", "cpu", "b=1"), "step_5 is none of init_state, render, step_64"),
        (("step_64", "x", "gpu", "b=1"), "platform gpu is none of cpu, cuda, tpu, rocm"),
        (("render", "x", "cpu", "b=1"), "render needs sizes for n: n=1"),
    ):
        with pytest.raises(SystemExit, match=expected):
            example("stablehlo_module", played, *arguments)
