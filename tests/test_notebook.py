"""The notebook: no outputs are stored, its commands are right, and it makes a model."""

import ast
import importlib.util
import json
import re
import sys
import types
import zipfile
from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.test_docs import check_command
from wf_jax.amps import load_nam

NOTEBOOK = ROOT / "docs" / "capture.ipynb"
CELLS = json.loads(NOTEBOOK.read_text())["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]
SHELL = re.compile(r"^ *[!%](.*)$", re.M)


def python_of(cell):
    """Returns a cell without its shell commands."""
    return SHELL.sub(lambda line: f"{line[0].partition(line[0].lstrip())[0]}pass", _text(cell))


def _text(cell):
    return "".join(cell["source"])


def cell_with(text):
    (found,) = (cell for cell in CODE if text in _text(cell))
    return python_of(found)


def test_nothing_that_ran_is_stored():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CODE)


def test_cells_are_python_and_commands():
    commands = [line for cell in CODE for line in SHELL.findall(_text(cell))]
    assert len(commands) == 4
    for line in commands:
        line = line.replace('"{python}" -m wf_jax', "wf-jax")
        check_command(re.sub(r"\{\w+\}", "1", line))
    for cell in CODE:
        ast.parse(python_of(cell))


def test_without_a_wheel_or_a_checkout_it_says_what_to_do(tmp_path, monkeypatch):
    install = cell_with("%pip install")
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    exec(install, {})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip wheel --no-deps"):
        exec(install, {})
    (tmp_path / "pyproject.toml").touch()
    exec(install, names := {})
    assert names["source"] == Path("..")
    Path("wf_jax-1.0-py3-none-any.whl").touch()
    exec(install, names := {})
    assert names["source"] == Path("wf_jax-1.0-py3-none-any.whl")


@pytest.mark.parametrize("given", [["di.wav", "amp.wav"], ["di.wav"], []])
def test_what_is_uploaded_is_captured_or_else_the_built_in_pair(given, monkeypatch):
    made = [Path("built-in/di.wav"), Path("built-in/amp.wav")]
    uploads = iter([{name: b""} for name in given] + [{}])
    files = types.ModuleType("google.colab.files")
    files.upload = lambda: next(uploads)
    package = types.ModuleType("google.colab")
    package.files = files
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    monkeypatch.setattr("data_pipeline.synthetic_pair.write_demo_pair", lambda folder: made)
    names = {"Path": Path}
    exec(cell_with("files.upload"), names)
    expected = given if len(given) == 2 else list(map(str, made))
    assert [names["DI"], names["AMP"]] == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_makes_a_model_of_the_built_in_amp(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("MINUTES", "0.05")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources=place
    ).execute()
    with zipfile.ZipFile(tmp_path / "capture.zip") as archive:
        assert archive.namelist() == ["model.nam", "report.html", "metrics.json"]
        archive.extract("model.nam", tmp_path)
        assert json.loads(archive.read("metrics.json"))["steps"] >= 20
    assert load_nam(tmp_path / "model.nam").at_size(1.0).sample_rate == 48000
    shown = [
        output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())
    ]
    pages = [data["text/html"] for data in shown if "text/html" in data]
    assert sum("<audio" in page and "<iframe" not in page for page in pages) == 3
    assert sum("<iframe srcdoc=" in page and "ESR" in page for page in pages) == 1
    assert sum("image/png" in data for data in shown) == 1
