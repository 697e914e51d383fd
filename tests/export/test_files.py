"""Faults in the files of a release give one line, and nothing of them is run."""

import datetime
import json
import shutil
import subprocess
import sys
import time
import warnings

import jax
import numpy as np
import pytest

from experiments.releases.writing import remake_release
from tests.export import small_releases as releases
from wf_jax.errors import UserError
from wf_jax.export import artifacts, load, release
from wf_jax.export.manifest import LIFETIME, MANIFEST, digest, read_manifest, read_release
from wf_jax.export.write import write_manifest

FILES = ("config.json", "params.npz", "mel.jaxexp", "synthesize.jaxexp", "log_prob.jaxexp")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return releases.vocoder_release(tmp_path_factory.mktemp("original") / "voice")


@pytest.fixture
def folder(original, tmp_path):
    """Makes a copy to damage."""
    return shutil.copytree(original, tmp_path / "voice")


@pytest.fixture
def nothing_is_run(monkeypatch):
    """Fails if an artifact is read."""
    monkeypatch.setattr(release, "read", lambda *_: pytest.fail("an artifact was read"))
    monkeypatch.setattr(release, "_rebuilt", lambda *_: pytest.fail("a model was built"))


def fault(folder, **options):
    with pytest.raises(UserError) as caught:
        load(folder, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def change(folder, **fields):
    """Replaces values of fields of the manifest."""
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(content | fields))


# Files


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_changed_file(folder, nothing_is_run, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    assert fault(folder).startswith(f"{folder / name}: not the file that manifest.json lists")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_off(folder, nothing_is_run, name):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-1])
    found = fault(folder)
    assert found.startswith(f"{folder / name}: {len(data) - 1:,} bytes, but manifest.json says")
    assert found.endswith("copy the release again")


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file(folder, nothing_is_run, name):
    (folder / name).unlink()
    assert fault(folder).startswith(f"{folder / name}: missing; ")


@pytest.mark.parametrize("name", ["model.nam", "render.jaxexp"])
def test_a_changed_file_of_an_amp(tmp_path, nothing_is_run, name):
    amp = releases.amp_release(tmp_path / "amp", "lstm")
    data = (amp / name).read_bytes()
    (amp / name).write_bytes(data[:-2] + b" " + data[-1:])
    assert fault(amp).startswith(f"{amp / name}: ")


def test_a_readme_may_be_edited(folder):
    (folder / "README.md").write_text("first")
    write_manifest(folder, read_manifest(folder))
    (folder / "README.md").write_text("second")
    assert load(folder).manifest.files["README.md"].sha256 == digest(b"first")


def test_no_folder(tmp_path, nothing_is_run):
    assert fault(tmp_path / "none").startswith(f"{tmp_path / 'none'}: no such folder")
    assert fault(str(tmp_path)).startswith(f"{tmp_path / MANIFEST}: missing; name a folder")


# The manifest


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"format": "wf_jax.release/2"}, "format 'wf_jax.release/2' is not wf_jax.release/1"),
        ({"expires": "soon"}, "Invalid isoformat string: 'soon'"),
        ({"expires": 5}, "expires 5 is not of type str"),
        ({"platforms": "cpu"}, "platforms 'cpu' is not a list"),
        ({"vocoder": None}, "vocoder or amp must be set"),
        ({"more": 1}, "more is unknown"),
        ({"files": {}}, "config.json is not listed"),
        ({"files": {"../config.json": {"bytes": 1, "sha256": ""}}}, "is no plain file name"),
        ({"files": {"a": {"bytes": 1}}}, "files.a.sha256 is missing"),
        ({"functions": {}}, "functions: mel is missing"),
        ({"a\nb": 1}, r"'a\nb' is unknown"),
    ],
)
def test_a_manifest_that_is_none(folder, nothing_is_run, fields, expected):
    change(folder, **fields)
    found = fault(folder)
    assert found.startswith(f"{folder / MANIFEST}: ")
    assert expected in found


def test_a_manifest_that_asks_the_compiler_for_files(tmp_path, nothing_is_run):
    """Rejects XLA options that write files to a chosen path."""
    amp = releases.amp_release(tmp_path / "amp", "lstm")
    content = json.loads((amp / MANIFEST).read_text())
    content["amp"]["compiler_options"] = {"xla_dump_to": 1}
    (amp / MANIFEST).write_text(json.dumps(content))
    assert "compiler_options: 'xla_dump_to' is not allowed" in fault(amp)


def test_a_manifest_that_is_no_json(folder, nothing_is_run):
    data = (folder / MANIFEST).read_bytes()
    for damaged in (data[:-5], b"[" * 100_000, b"[]", b"\xff"):
        (folder / MANIFEST).write_bytes(damaged)
        assert fault(folder).startswith(f"{folder / MANIFEST}: ")


def test_the_manifest_that_was_meant(folder, monkeypatch):
    """Whoever can change a release can change its manifest, but not its digest."""
    meant = digest((folder / MANIFEST).read_bytes())
    assert load(folder, sha256=meant.upper()).sample_rate == 8000
    change(folder, name="other")
    monkeypatch.setattr(release, "read", lambda *_: pytest.fail("an artifact was read"))
    assert f"not {meant}" in fault(folder, sha256=meant)


def test_arrays_of_another_shape(folder, nothing_is_run):
    """Covers files that match the list but not each other."""
    with np.load(folder / "params.npz") as file:
        params = dict(file)
    params["flows/start/bias"] = params["flows/start/bias"][:1]
    np.savez(folder / "params.npz", **params)
    write_manifest(folder, read_manifest(folder))
    assert "flows/start/bias is ('1, 3', 'float32'), but manifest.json says ('2, 3'" in fault(
        folder
    )
    np.savez(folder / "params.npz", a=np.array([object()]))
    write_manifest(folder, read_manifest(folder))
    assert f"{folder / 'params.npz'}: damaged" in fault(folder)


def test_an_artifact_that_jax_does_not_read(folder, monkeypatch):
    """Covers unreadable artifacts that have not expired: rebuilt, or one line."""
    (folder / "mel.jaxexp").write_bytes(b"\0" * 100)
    write_manifest(folder, read_manifest(folder))
    expected = f"jax {jax.__version__} cannot read {folder / 'mel.jaxexp'}"
    with pytest.warns(UserWarning, match="they were rebuilt from the model") as warned:
        load(folder)
    assert str(warned[0].message).startswith(f"{folder}: {expected}")
    monkeypatch.setitem(sys.modules, "wf_jax.export.rebuild", None)
    assert expected in fault(folder)


# Age, and where it runs


def test_artifacts_live_for_six_months(folder):
    manifest = read_manifest(folder)
    created = datetime.date.fromisoformat(manifest.created)
    assert datetime.date.fromisoformat(manifest.expires) - created == LIFETIME
    assert 178 <= LIFETIME.days <= 184
    assert manifest.jax_version == jax.__version__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"expires": "2026-01-31"}, "its functions expired on 2026-01-31"),
        ({"jax_version": "0.99.1"}, f"made by jax 0.99.1, newer than {jax.__version__}"),
    ],
)
def test_outdated_artifacts_are_rebuilt(folder, original, monkeypatch, fields, expected):
    """Reports the rebuild, and reads none of the old artifacts."""
    change(folder, **fields)
    with monkeypatch.context() as patch:
        patch.setattr(release, "read", lambda *_: pytest.fail("an artifact was read"))
        with pytest.warns(UserWarning, match=expected) as warned:
            rebuilt = load(folder)
    text = str(warned[0].message)
    assert text.startswith(f"{folder}: ")
    assert text.endswith(f"python -m experiments.export --rebuild --output={folder}")
    audio = releases.clip(1, 300)
    mel = rebuilt.mel(audio)
    np.testing.assert_allclose(mel, load(original).mel(audio), atol=1e-5)
    if "expires" in fields:
        nats = rebuilt.log_prob(audio, mel)
        np.testing.assert_allclose(nats, load(original).log_prob(audio, mel), rtol=1e-5)


def test_outdated_artifacts_without_the_model_s_code(folder, monkeypatch):
    change(folder, expires="2026-01-31")
    monkeypatch.setitem(sys.modules, "wf_jax.export.rebuild", None)
    found = fault(folder)
    assert found.startswith(f"{folder}: its functions expired on 2026-01-31, and cannot be rebuilt")
    assert "--rebuild" in found
    assert "allow_expired" in found
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(folder, allow_expired=True).mel(releases.clip(1, 300)).shape == (1, 4, 19)


def test_another_platform(folder, monkeypatch):
    monkeypatch.setattr(release, "platform_of", lambda devices: "rocm")
    found = fault(folder)
    assert "its functions are for cpu, cuda, tpu, not for rocm" in found
    assert "--platforms=rocm" in found


def test_a_release_says_nothing_of_where_it_was_made(original):
    """Contains no paths of source files; so it is the same wherever it is made."""
    for path in original.glob("*.jaxexp"):
        assert b"wf_jax/" not in path.read_bytes()
        assert artifacts.read(path.read_bytes(), path.name)


def test_a_model_that_cannot_be_rebuilt(tmp_path):
    """Names the file of the release, not its working copy."""
    amp = releases.amp_release(tmp_path / "amp", "lstm", ("cpu",))
    (amp / "model.nam").write_text("{}")
    write_manifest(amp, read_manifest(amp))
    with pytest.raises(UserError) as caught:
        remake_release(amp)
    assert str(caught.value).startswith(f"{amp}: cannot be rebuilt: {amp / 'model.nam'}: ")


# A release that takes the place of another

WRITER = """
import shutil, sys
from pathlib import Path
from wf_jax.whole_files import atomic_folder
target, *sources = map(Path, sys.argv[1:])
for number in range(10**6):
    with atomic_folder(target, replace=True) as folder:
        shutil.copytree(sources[number % 2], folder, dirs_exist_ok=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="renames two folders in one step on Linux")
def test_a_release_that_is_replaced_meanwhile(folder, tmp_path):
    """Reads the old one or the new one; never files of both."""
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "config.json").write_text((folder / "config.json").read_text() + " ")
    change(other, name="other")
    write_manifest(other, read_manifest(other))
    target, found = shutil.copytree(folder, tmp_path / "target"), set()
    whole = {read_manifest(path).name: read_release(path) for path in (folder, other)}
    command = [sys.executable, "-c", WRITER, *map(str, (target, folder, other))]
    with subprocess.Popen(command) as process:
        try:
            begun, reads = time.monotonic(), 0
            while (reads < 200 or len(found) < 2) and time.monotonic() < begun + 60:
                read, reads = read_release(target), reads + 1
                assert read == whole[read[0].name]
                found.add(read[0].name)
        finally:
            process.kill()
    assert found == {"voice", "other"}
