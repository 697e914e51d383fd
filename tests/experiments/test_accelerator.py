"""The examination of accelerators: its rehearsal on a CPU, and its results after failures."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.accelerator import run
from experiments.accelerator.parts import PARTS, Part
from experiments.accelerator.report import NOT_BEGUN, Report, read_rows
from experiments.accelerator.results import collect, markdown

ROOT = Path(__file__).parents[2]


def run_named(folder: Path, *names: str, seconds: float = 60.0) -> tuple[int, dict]:
    parts = {name: Part("tests.experiments.troubled_part", 1.0) for name in names}
    code = run.run_parts(parts, folder, seconds)
    return code, json.loads((folder / "results.json").read_text())["parts"]


def examine(output: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "experiments.accelerator", f"--output={output}", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_part_that_raises_or_is_killed_costs_no_other_its_results(tmp_path):
    code, parts = run_named(tmp_path, "raises", "memory", "killed", "fine", seconds=200)
    assert code == 1
    for name, ended in {
        "raises": "ValueError: something",
        "memory": "out of memory",
        "killed": "killed by SIGKILL",
        "fine": "ok",
    }.items():
        assert parts[name]["ended"] == ended
        assert parts[name]["tables"]["Before"] == [{"what": "found"}]
        assert ("After" in parts[name]["tables"]) == (name == "fine")
    text = (tmp_path / "results.md").read_text()
    assert text.count("| found |") == 5
    assert "killed by SIGKILL" in text


@pytest.mark.slow
def test_a_late_part_is_ended_and_the_next_one_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PATIENCE", 0.0)
    _, parts = run_named(tmp_path, "late", "fine", seconds=30)
    assert parts["late"]["ended"] == "ended: its time was over"
    assert parts["late"]["tables"] == {"Before": [{"what": "found"}]}
    assert parts["fine"]["ended"] == "ok"


def test_a_case_without_memory_is_a_row_and_the_next_case_runs(tmp_path):
    code, parts = run_named(tmp_path, "case")
    assert code == 0
    assert parts["case"]["tables"]["Cases"] == [
        {"number": 1, "error": "out of memory"},
        {"number": 2, "value": 2},
    ]


def test_what_a_part_leaves_of_its_time_goes_to_the_next(tmp_path):
    parts = {
        "fine": Part("tests.experiments.troubled_part", 3.0),
        "times": Part("tests.experiments.troubled_part", 1.0),
    }
    run.run_parts(parts, tmp_path, 100.0)
    (row,) = collect(tmp_path / "times" / "rows.jsonl")["tables"]["Times"]
    assert 50 < row["seconds"] < 100


def test_one_part_alone_keeps_what_the_others_found(tmp_path):
    run_named(tmp_path, "fine", "case")
    _, parts = run_named(tmp_path, "fine")
    assert "Cases" in parts["case"]["tables"]


def test_a_folder_that_is_something_else_is_left_alone(tmp_path):
    (tmp_path / "fine").mkdir()
    (tmp_path / "fine" / "model.nam").write_text("precious")
    with pytest.raises(FileExistsError):
        run_named(tmp_path, "fine")
    assert (tmp_path / "fine" / "model.nam").read_text() == "precious"


@pytest.mark.slow
def test_a_run_that_is_cut_off_leaves_tables_and_no_process(tmp_path):
    command = [sys.executable, "-m", "experiments.accelerator", f"--output={tmp_path}", "--small"]
    with subprocess.Popen([*command, "--parts=parity"], cwd=ROOT) as process:
        rows = tmp_path / "parity" / "rows.jsonl"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not read_rows(rows):
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    part = json.loads((tmp_path / "results.json").read_text())["parts"]["parity"]
    assert part["ended"] == "cut off"
    assert part["tables"]
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(tmp_path / "parity") not in listed.stdout


def test_cases_without_time_are_rows_that_say_so(tmp_path):
    report = Report(tmp_path / "rows.jsonl", 0.0)
    assert list(report.in_time("T", [{"size": 1}])) == []
    (entry,) = read_rows(tmp_path / "rows.jsonl")
    assert entry["cells"] == {"size": 1, "error": NOT_BEGUN}


def test_a_torn_line_is_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    Report(path, 1.0).row("T", size=1)
    with path.open("a") as file:
        file.write('{"table": "T", "cel')
    assert collect(path)["tables"] == {"T": [{"size": 1}]}
    assert collect(path)["ended"] == "cut off"


def test_tables_have_every_column_and_readable_numbers():
    rows = [{"a": 1234567, "error": "x|y"}, {"b": 0.000123456, "a": True}, {"b": 43210.9}]
    part = {"ended": "ok", "seconds": 1.0, "tables": {"T": rows}, "notes": ["A note."]}
    lines = markdown({"device": part}).splitlines()
    assert "| a | b | error |" in lines
    assert "| 1,234,567 |  | x/y |" in lines
    assert "| True | 0.000123 |  |" in lines
    assert "|  | 43,211 |  |" in lines
    assert "A note." in lines


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--parts=device,speed"], "--parts=speed: no such part; choose of device, parity"),
        (["--corpus=nowhere"], "nowhere"),
        (["--small", "extra"], "unexpected argument 'extra'"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path, options, said):
    done = examine(tmp_path / "out", *options)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_rehearsal_runs_every_part(tmp_path):
    done = examine(tmp_path, "--small", "--minutes=30")
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((tmp_path / "results.json").read_text())["parts"]
    assert list(parts) == list(PARTS)
    for name, part in parts.items():
        assert part["ended"] == "ok", name
        rows = [row for table in part["tables"].values() for row in table]
        assert rows, name
        assert not any("error" in row for row in rows), name
        assert all(row.get("ok", True) in (True, "yes") for row in rows), name
    assert os.stat(tmp_path / "results.md").st_size > 2000
