"""Files and folders that appear complete or not at all, under every name."""

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from wf_jax import whole_files
from wf_jax.whole_files import HIDDEN, atomic_folder, atomic_path, exchange, write_whole

WRITER = """
import sys
from pathlib import Path
from wf_jax.whole_files import atomic_folder
for number in range(10**6):
    with atomic_folder(Path(sys.argv[1]), replace=True) as folder:
        for name in "abc":
            (folder / name).write_text(str(number))
"""


def contents(folder):
    return [(folder / name).read_text() for name in "abc"]


@pytest.mark.parametrize("length", [1, 200, 255])
@pytest.mark.parametrize("suffix", [".wav", ".x" + "y" * 100, ""])
def test_names_as_long_as_the_file_system_takes(tmp_path, length, suffix):
    path = tmp_path / ("n" * max(length - len(suffix), 1) + suffix)
    write_whole(path, lambda file: file.write(b"1"))
    with atomic_path(path) as temporary:
        assert temporary.suffix == (suffix if len(suffix) < 16 else "")
        temporary.write_bytes(b"2")
    assert path.read_bytes() == b"2"
    with atomic_folder(tmp_path / ("f" * length)) as folder:
        (folder / "a").touch()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(HIDDEN)]


def test_a_name_that_is_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff\xe4.txt")
    write_whole(path, lambda file: file.write(b"1"))
    assert path.read_bytes() == b"1"


def test_a_failure_leaves_what_was_there(tmp_path):
    path, folder = tmp_path / "a", tmp_path / "folder"
    path.write_text("old")
    folder.mkdir()
    (folder / "a").write_text("old")
    with contextlib.suppress(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    with contextlib.suppress(RuntimeError), atomic_folder(folder, replace=True) as temporary:
        (temporary / "a").write_text("new")
        raise RuntimeError
    assert (path.read_text(), (folder / "a").read_text()) == ("old", "old")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "folder"]


@pytest.mark.skipif(sys.platform != "linux", reason="renames two folders in one step on Linux")
def test_a_folder_that_is_replaced_is_there_at_every_instant(tmp_path):
    folder, missing = tmp_path / "folder", []
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)]) as process:
        try:
            while not folder.exists():
                assert process.poll() is None
            for _ in range(20_000):
                if not folder.is_dir():
                    missing.append(1)
        finally:
            process.kill()
    assert not missing
    assert len(set(contents(folder))) == 1


def test_two_folders_change_places(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "a").touch()
    if exchange(one, other):
        assert [p.name for p in other.iterdir()] == ["a"]
        assert not list(one.iterdir())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_has_its_name_is_on_the_disk(tmp_path, monkeypatch, kind):
    """Contents are flushed before they get their name, and the name after it."""
    done, path = [], tmp_path / "a"
    flush, replace = whole_files.flush, os.replace
    monkeypatch.setattr(whole_files, "flush", lambda p: (done.append(p.name), flush(p)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("->"), replace(a, b)))
    if kind == "file":
        write_whole(path, lambda file: file.write(b"1"))
        (temporary, arrow, folder) = done
    else:
        with atomic_folder(path) as made:
            (made / "b").touch()
        (inside, temporary, arrow, folder) = done
        assert inside == "b"
    assert temporary.startswith(HIDDEN)
    assert (arrow, folder) == ("->", tmp_path.name)


def test_writers_beside_each_other_do_not_mix(tmp_path):
    path = tmp_path / "a"

    def write(letter):
        for _ in range(50):
            write_whole(path, lambda file: file.write(letter * 10_000))

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"x", b"y")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            assert len(set(path.read_bytes())) == 1
    assert [p.name for p in Path(tmp_path).iterdir()] == ["a"]
