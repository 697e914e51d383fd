"""Files and folders that appear complete or not at all, under every name."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from wf_jax import whole_files
from wf_jax.folders import HIDDEN
from wf_jax.whole_files import (
    atomic_folder,
    atomic_path,
    exchange,
    restore,
    sweep,
    temporary_folder,
    write_whole,
)

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


# Leftovers of a killed writer


def dead(folder):
    """Returns temporary names that nobody holds, and one of somebody else."""
    (folder / f"{HIDDEN}file.wav").write_text("half")
    (folder / f"{HIDDEN}folder" / "below").mkdir(parents=True)
    (folder / f"{HIDDEN}folder" / "a").touch()
    (folder / ".hidden").touch()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def unswept(monkeypatch):
    monkeypatch.setattr(whole_files, "_swept", set())


@pytest.mark.usefixtures("unswept")
@pytest.mark.parametrize("write", [atomic_path, atomic_folder])
def test_the_next_writer_removes_it_and_spares_the_living(tmp_path, write):
    with atomic_path(tmp_path / "one") as one, atomic_folder(tmp_path / "other") as other:
        dead(tmp_path)
        whole_files._swept.clear()
        with write(tmp_path / "new"):
            assert len(names(tmp_path)) == 4  # .hidden and those three
        assert one.exists()
        assert other.exists()
    assert names(tmp_path) == [".hidden", "new", "one", "other"]


@pytest.mark.usefixtures("unswept")
def test_a_folder_is_searched_once(tmp_path):
    write_whole(tmp_path / "a", lambda file: None)
    dead(tmp_path)
    write_whole(tmp_path / "a", lambda file: None)
    assert len(names(tmp_path)) == 4
    sweep(tmp_path)
    assert names(tmp_path) == [".hidden", "a"]
    sweep(tmp_path / "a")
    sweep(tmp_path / "none")


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a").touch()
    (tmp_path / f"{HIDDEN}link").symlink_to(tmp_path / "there")
    sweep(tmp_path)
    assert names(tmp_path / "there") == ["a"]


@pytest.mark.usefixtures("unswept")
def test_a_folder_of_the_system_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead(tmp_path)
    with temporary_folder() as folder:
        (folder / "a").touch()
        assert names(tmp_path) == [".hidden", folder.name]
    assert names(tmp_path) == [".hidden"]


@pytest.mark.parametrize("killed", [True, False])
def test_a_folder_that_was_moved_aside_comes_back(tmp_path, monkeypatch, killed):
    """Covers file systems without an exchange of two folders in one step."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    monkeypatch.setattr(whole_files, "exchange", lambda *_: False)
    with atomic_folder(folder, replace=True) as temporary:
        (temporary / "new").touch()
    assert names(folder) == ["new"]
    assert names(tmp_path) == ["folder"]

    os.replace(folder, whole_files._aside(folder))
    if not killed:
        folder.mkdir()
    restore(folder)
    assert names(folder) == (["new"] if killed else [])
    assert names(tmp_path) == ["folder"]
