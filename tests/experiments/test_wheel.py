"""The wheel, installed into a folder of its own and used from an empty one."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from experiments.terminal.words import WORDS

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Returns the wheel of a copy of the sources, so that nothing is left among them."""
    folder = tmp_path_factory.mktemp("wheel")
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if files.returncode:
        pytest.skip("this is no working copy of git")
    for name in files.stdout.splitlines():
        if name.split("/")[0] != "tests" and (ROOT / name).is_file():
            copy = folder / "source" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
    made = subprocess.run(
        [*PIP, "wheel", "--no-deps", f"--wheel-dir={folder}", folder / "source"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No matching distribution found for setuptools" in made.stderr:
        pytest.skip("setuptools cannot be downloaded here")
    assert made.returncode == 0, made.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def program(wheel, tmp_path_factory):
    """Returns the installed `wf-jax`; what it depends on is this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([*PIP, "install", "--no-deps", f"--target={folder}", wheel], check=True)
    return folder / "bin" / "wf-jax"


def use(program, folder, *typed):
    """Runs the installed program in a folder; returns the finished process."""
    environment = {**os.environ, "PYTHONPATH": str(program.parents[1])}
    return subprocess.run(
        [program, *typed], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_it_holds_all_that_a_user_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entries,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "wf-jax = wf_jax.__main__:main" in archive.read(entries).decode()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for package in ("wf_jax", "data_pipeline", "experiments"):
        for path in (ROOT / package).rglob("*"):
            inside = path.relative_to(ROOT)
            if path.is_file() and "__pycache__" not in inside.parts:
                assert inside.as_posix() in names, inside
    assert not [name for name in names if name.startswith("tests/")]


@pytest.mark.slow
def test_its_words_work_in_an_empty_folder(program, tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    done = use(program, tmp_path, "options", "waveflow:tiny")
    assert done.returncode == 0, done.stderr
    assert "--config.train.steps=" in done.stdout
    for name in WORDS:
        assert use(program, tmp_path, name, "--help").returncode == 0
    done = use(program, tmp_path, "train", "waveflow", "run")
    assert f"make one with {program} prepare" in done.stderr
    assert done.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["experiments"]
