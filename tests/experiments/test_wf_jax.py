"""The program `wf-jax`: how it starts mains, and as a process."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.terminal import dispatch
from experiments.terminal.options_help import print_options
from experiments.terminal.word_arguments import as_typed
from wf_jax import command_lines
from wf_jax.command_lines import Start, command, same_command, started_as
from wf_jax.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start(monkeypatch):
    """Returns `started_as`, undone at the end."""
    monkeypatch.setattr(command_lines, "_start", None)
    return started_as


def test_a_word_runs_its_main_under_its_own_name(monkeypatch, start, capsys):
    ran = []
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setattr(runpy, "run_module", lambda *a, **k: ran.append((a, k, sys.argv[1:])))
    assert dispatch.run("/bin/wf-jax", ["speak", "runs/lj", "a.wav", "said"]) == 0
    ((name,), options, arguments) = ran[0]
    assert name == "experiments.synthesize"
    assert options == {"run_name": "__main__", "alter_sys": True}
    assert arguments == ["--model=runs/lj", "--input=a.wav", "--output=said"]
    assert same_command() == "/bin/wf-jax speak runs/lj a.wav said"
    assert command("evaluate", "--workdir=a b") == "/bin/wf-jax evaluate 'a b'"
    assert command("check_capture").endswith("wf-jax check")


def test_commands_are_written_as_the_process_was_started(monkeypatch, start, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert command("synthesize", "--input=a b.wav") == (
        ".venv/bin/python -m experiments.synthesize '--input=a b.wav'"
    )
    start(Start("", ["speak", "x y"], as_typed))
    assert command("synthesize") == ".venv/bin/python -m wf_jax speak"
    assert same_command() == ".venv/bin/python -m wf_jax speak 'x y'"
    program = tmp_path / "bin" / "wf-jax"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    start(Start(str(program), ["runs"], as_typed))
    assert same_command() == "bin/wf-jax runs"
    monkeypatch.setenv("PATH", str(program.parent))
    assert same_command() == "wf-jax runs"
    assert command("examples.tpu_batch").endswith("-m experiments.examples.tpu_batch")


def start_python(folder, *arguments):
    """Runs Python in a folder with this code; returns the finished process and its seconds."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    out, error = process.stdout.read(), process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    for pipe in (process.stdout, process.stderr):
        pipe.close()
    return process.returncode, out, error, used.ru_utime + used.ru_stime


@pytest.mark.parametrize("typed", [["--help"], ["capture", "--help"], ["captrue"]])
def test_help_and_mistakes_answer_at_once(typed, tmp_path):
    tried = [start_python(tmp_path, "-m", "wf_jax", *typed) for _ in range(3)]
    assert {code for code, *_ in tried} == {2 if typed == ["captrue"] else 0}
    assert min(seconds for *_, seconds in tried) < 0.4


LOADED = """
import sys
from experiments.terminal.dispatch import run
from experiments.terminal.words import WORDS
codes = [run("", [*name, "--help"]) for name in [[], *([name] for name in WORDS)]]
sys.exit(any(codes) or str({"absl", "numpy", "jax", "scipy", "ml_collections"} & {*sys.modules}))
"""


def test_help_imports_nothing_heavy(tmp_path):
    code, _, error, _ = start_python(tmp_path, "-c", LOADED)
    assert (code, error.strip()) == (1, "set()")


def test_another_package_of_the_same_name_is_not_in_the_way(tmp_path):
    for name in ("experiments", "data_pipeline"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')")
    code, out, error, _ = start_python(tmp_path, "-m", "wf_jax", "inspect", "none.nam")
    assert (code, out) == (1, "")
    assert error.startswith("none.nam: ")


def test_a_wrong_flag_of_a_main_ends_with_2_and_names_the_option(tmp_path):
    line = ["train", "a2_capture:demo", "new", "--config.train.stesp=1"]
    code, out, error, _ = start_python(tmp_path, "-m", "wf_jax", *line)
    meant = "--config.train.stesp: no such option; did you mean --config.train.steps?\n"
    assert (code, out, error) == (2, "", meant)
    assert [*tmp_path.iterdir()] == []


def test_options_are_listed_by_name(tmp_path):
    code, out, error, _ = start_python(tmp_path, "-m", "wf_jax", "options", "a2_capture")
    assert (code, error) == (0, "")
    assert "--config.train.minutes=0.0  (float)" in out


def test_a_hint_can_be_pasted(tmp_path):
    code, _, error, _ = start_python(tmp_path, "-m", "wf_jax", "train", "waveflow", "new")
    assert code == 1
    hint = re.search(r"make one with (.*), or try", error)[1]
    done = subprocess.run(
        f"{hint} --help",
        shell=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.startswith("wf-jax prepare FOLDER OUT\n")


@pytest.mark.parametrize("names", [[], ["none"], ["./none.py"]])
def test_a_wrong_config_is_one_line(names):
    with pytest.raises((UserError, OSError)):
        print_options(names)
