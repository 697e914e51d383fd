"""Hostile releases with correct digests: one line, and nothing large is allocated."""

import json
import os

import pytest

from tests import hostile_files as hostile
from tests.export import small_releases as releases
from tests.export.test_files import fault
from wf_jax.export import release
from wf_jax.export.manifest import LARGEST_RELEASE, MANIFEST, read_manifest
from wf_jax.export.write import write_manifest

LOADING = """
from wf_jax.errors import UserError
from wf_jax.export import load
# measured
try:
    load(sys.argv[1])
except UserError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return releases.vocoder_release(tmp_path_factory.mktemp("original") / "voice")


@pytest.fixture
def folder(original, tmp_path, monkeypatch):
    """Makes a copy to damage; nothing in it is run."""
    monkeypatch.setattr(release, "read", lambda *_: pytest.fail("an artifact was read"))
    monkeypatch.setattr(release, "_rebuilt", lambda *_: pytest.fail("a model was built"))
    copy = tmp_path / "voice"
    copy.mkdir()
    for path in original.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def sign(folder):
    """Lists the files as they are now."""
    write_manifest(folder, read_manifest(folder))
    return folder


def change(folder, *names, value):
    """Replaces a value of the manifest."""
    content = json.loads((folder / MANIFEST).read_text())
    inner = content
    for name in names[:-1]:
        inner = inner[name]
    inner[names[-1]] = value
    (folder / MANIFEST).write_text(json.dumps(content))


@pytest.mark.slow
def test_archives_that_are_none(folder):
    params = folder / "params.npz"
    hostile.mark_encrypted(params)
    assert f"{params}: damaged (" in fault(sign(folder))
    hostile.bomb(params)
    assert "is compressed" in fault(sign(folder))
    hostile.zip_of(params, {"a.npy": hostile.npy_header((1 << 40,)) + b"1234"})
    assert "announces 4398046511104 bytes, 4 are there" in fault(sign(folder))
    hostile.zip_of(params, {"a.npy": hostile.npy_header((1,)) + b"1234"})
    assert "a is ('1', 'float32'), but manifest.json says nothing of it" in fault(sign(folder))


@pytest.mark.parametrize(
    "name", ["hop", "bands", "cut_frames", "smallest_frames", "context_frames"]
)
def test_huge_facts(folder, name):
    change(folder, "vocoder", name, value=2**31)
    assert f"{folder / MANIFEST}: " in fault(folder)
    change(folder, "vocoder", name, value=10**4000)
    assert len(fault(folder)) < 5000


def test_huge_facts_of_an_amp(tmp_path):
    amp = releases.amp_release(tmp_path / "amp", "lstm")
    change(amp, "amp", "chunk", value=2**31)
    assert "chunk 2147483648 is above" in fault(amp)


def test_huge_files(folder):
    with (folder / "config.json").open("wb") as file:
        file.truncate(8 << 30)  # takes no room
    assert "config.json: larger than" in fault(folder)
    change(folder, "files", "config.json", "bytes", value=LARGEST_RELEASE)
    assert "are the most" in fault(folder)
    with (folder / MANIFEST).open("wb") as file:
        file.truncate(8 << 30)
    assert "manifest.json: larger than" in fault(folder)


def test_a_pipe_is_not_waited_for(folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert "config.json: cannot be read: not a regular file" in fault(folder)


@pytest.mark.slow
def test_time_and_memory(folder):
    hostile.bomb(folder / "params.npz")
    hostile.patch(folder / "params.npz", 8, b"\0\0")  # as if it were stored
    assert "params.npz: damaged" in hostile.limited(LOADING, sign(folder))
    hostile.many_names(folder / "params.npz", 300_000)
    assert "params.npz: damaged" in hostile.limited(LOADING, sign(folder))
    (folder / MANIFEST).write_bytes(b"[" + b"[]," * 1_390_000 + b"[]]")
    assert "format None is not" in hostile.limited(LOADING, folder)
