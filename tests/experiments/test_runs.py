"""Comparison of made-up runs: contents of the table and picture, and refusals."""

import json
import math
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.run.curves import curves
from experiments.run.reading import find_runs, read_run
from experiments.run.table import compare, json_lines, short_names, text
from wf_jax.errors import UserError

ROOT = Path(__file__).parents[2]
CAPTURE = {
    "task": "capture",
    "data.input": "di.wav",
    "model.sizes": ["nano", "standard"],
    "train.epochs": 10,
    "train.minutes": 0.0,
    "train.learning_rate": 0.004,
    "train.seed": 0,
}
VOCODER = {"task": "vocoder", "data.corpus": "lj", "train.steps": 400, "train.minutes": 0.0}


def write(folder, config, records=(), result=None):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    if result is not None:
        (folder / "metrics.json").write_text(json.dumps(result))
    return folder


def capture(folder, standard, *, finished=True, **options):
    """Makes a run of 20 steps an epoch whose ESRs are `standard` and twice that."""
    records = [
        {"epoch": i, "step": 20 * i, "minutes": 0.5 * i + 1, "esr/standard": e, "esr/nano": 2 * e}
        for i, e in enumerate(standard, 1)
    ]
    steps = {"steps": 20 * len(standard), "minutes": 9.0}
    best = {"esr": {"standard": min(standard), "nano": 2 * min(standard)}}
    result = {**steps, **best, "finished": True} if finished else None
    return write(folder, CAPTURE | options, records, result)


def vocoder(folder, likelihoods, **options):
    records = [
        {"step": 100 * i, "minutes": i, "ll/validation": x, "bits/validation": 15 - x / math.log(2)}
        for i, x in enumerate(likelihoods, 1)
    ]
    return write(folder, VOCODER | options, records)


def tables(*folders):
    return compare([read_run(folder) for folder in folders])


def cells(table):
    """Returns the printed table as a list of rows, each a list of cells."""
    lines = [line for line in text(table) if line.startswith("  ")]
    return [re.split(" {2,}", line.strip()) for line in lines]


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "experiments.runs", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        **options,
    )


def refused(result, *expected):
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for word in expected:
        assert word in result.stderr


# Reading a run's folder


def test_best_value_step_and_speed(tmp_path):
    one = read_run(capture(tmp_path / "a", [0.5, 0.1, 0.2], finished=False))
    best = one.best("esr/standard", higher=False)
    assert (best.value, best.step) == (0.1, 40)
    assert (one.step, one.minutes, one.total_steps) == (60, 2.5, 200)
    assert one.speed == pytest.approx(40 / 60)  # 40 steps in the minute after the first


def test_the_speed_that_evaluations_say_goes_first(tmp_path):
    records = [
        {"step": 10 * i, "minutes": i, "speed/steps": s} for i, s in ((1, 2), (2, 9), (3, 4))
    ]
    assert read_run(write(tmp_path / "a", CAPTURE, records)).speed == 4


def test_one_evaluation_gives_no_speed(tmp_path):
    """The minutes of the first evaluation hold the compilation."""
    assert read_run(capture(tmp_path / "a", [0.5])).speed is None


def test_what_was_kept_counts_not_the_last_evaluation(tmp_path):
    """A run's last evaluation after a signal is no candidate, though it may be best."""
    folder = capture(tmp_path / "a", [0.5, 0.2, 0.1], finished=False)
    kept = {"esr": {"standard": 0.2}, "steps": 60, "stopped": "stopped by SIGINT"}
    (folder / "metrics.json").write_text(json.dumps(kept))
    best = read_run(folder).best("esr/standard", higher=False)
    assert (best.value, best.step) == (0.2, 40)


def test_a_result_from_before_the_run_went_on_is_old(tmp_path):
    folder = capture(tmp_path / "a", [0.5, 0.2, 0.1], finished=False)
    old = {"esr": {"standard": 0.5}, "steps": 20, "finished": True}
    (folder / "metrics.json").write_text(json.dumps(old))
    one = read_run(folder)
    assert not one.finished
    assert one.best("esr/standard", higher=False).value == 0.1


def test_damaged_lines_and_missing_keys_are_left_out(tmp_path):
    lines = [
        {"epoch": 1, "step": 20, "esr/standard": 0.5},
        "[1, 2]",
        {"step": "forty", "esr/standard": 0.001},
        '{"step": 60, "esr/standard": NaN, "esr/nano": Infinity}',
        {"step": 80, "minutes": None, "esr/standard": True},
        '{"step": 100, "esr/stan',
    ]
    folder = write(tmp_path / "a", CAPTURE, lines)
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b"\xff\xfe\x00")
    one = read_run(folder)
    assert one.curve("esr/standard", "step") == ([20], [0.5])
    assert one.curve("esr/standard", "minutes") == ([], [])
    assert (one.step, one.minutes, one.speed) == (80, 0.0, None)
    assert curves(compare([one]), "step", "png")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"task": 3}', "\udcff"])
def test_a_damaged_config_is_one_line(tmp_path, content):
    folder = capture(tmp_path / "a", [0.5])
    (folder / "config.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"config.json: damaged .*leave this folder out") as error:
        read_run(folder)
    assert "\n" not in str(error.value)


def test_numbers_that_mean_nothing_are_none(tmp_path):
    folder = capture(tmp_path / "a", [0.5])
    content = json.loads((folder / "config.json").read_text())
    content |= {"train.epochs": 1e308, "train.steps": 10**400}
    (folder / "config.json").write_text(json.dumps(content))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1e400, "minutes": 1e308}\n' + "[" * 100_000 + "\n")
        file.write(json.dumps({"step": 10**400}) + "\n")
    one = read_run(folder)
    assert len(one.records) == 1
    assert one.total_steps is None
    records = [{"step": 1, "minutes": 1e-320, "epoch": 1e-320}] * 2 + [{"step": 9, "minutes": 1}]
    one = read_run(write(tmp_path / "b", CAPTURE, records))
    assert one.total_steps is None


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "metrics.json"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    folder = capture(tmp_path / "a", [0.5])
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    assert find_runs(tmp_path) == [folder]
    if name == "config.json":
        with pytest.raises(UserError, match="cannot be read: not a regular file"):
            read_run(folder)
    else:
        read_run(folder)


def test_runs_are_found_two_folders_deep(tmp_path):
    deep = capture(tmp_path / "x" / "amp", [0.5])
    near = capture(tmp_path / "voice", [0.5])
    model = tmp_path / "voice" / "model"  # inside a run nothing else is looked for
    write(model, CAPTURE)
    capture(tmp_path / "a" / "b" / "c", [0.5])
    capture(tmp_path / ".trash", [0.5])
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted" / "config.json").write_text('{"channels": 64}')
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "config.json").write_text(json.dumps(CAPTURE))
    assert find_runs(tmp_path) == [begun, near, deep]
    assert find_runs(near) == [near]


# The table


def test_sorted_by_the_main_metric_and_only_what_differs(tmp_path):
    folders = [
        capture(tmp_path / "a", [0.5, 0.3], **{"train.seed": 1}),
        capture(tmp_path / "b", [0.5, 0.1], **{"train.learning_rate": 0.01}),
        write(tmp_path / "c", CAPTURE),
    ]
    (table,) = tables(*folders)
    head, *rows = cells(table)
    assert head == [
        *("run", "state", "steps", "minutes", "ESR standard", "ESR nano", "at step"),
        *("steps/s", "learning_rate", "seed"),
    ]
    assert [row[0] for row in rows] == ["b", "a", "c"]
    assert rows[0] == ["b", "finished", "40", "9.0", "0.100", "0.200", "40", "0.667", "0.01", "0"]
    assert rows[2][1:4] == ["no evaluation yet", "0", "0.0"]


def test_columns_are_aligned(tmp_path):
    """Words are left-aligned, numbers right-aligned."""
    (table,) = tables(capture(tmp_path / "64", [0.5]), capture(tmp_path / "long_name", [0.03]))
    head, first, second = list(text(table))[1:]
    assert head.index("state") == first.index("finished") == second.index("finished")
    end = head.index("ESR nano") + len("ESR nano")
    assert (first[:end].split()[-1], second[:end].split()[-1]) == ("0.0600", "1.00")
    assert len({len(line) for line in (head, first, second)}) == 1


@pytest.mark.parametrize(
    ("options", "result", "expected"),
    [
        ({}, None, "at step 40 of 200"),
        ({"train.minutes": 2.5}, None, "at 2.0 of 2.5 min"),
        ({"train.steps": 1000}, None, "at step 40 of 1,000"),
        ({"train.epochs": None}, None, "at step 40"),
        ({}, {"steps": 40, "stopped": "the budget is used up"}, "finished"),
        ({}, {"steps": 40, "finished": True}, "finished"),
        ({}, {"steps": 40, "finished": False, "stopped": "stopped by SIGINT"}, "at step 40 of 200"),
        ({}, {"steps": 45, "stopped": "the training diverged at step 44"}, "diverged"),
        ({}, ["not", "a", "dict"], "at step 40 of 200"),
    ],
)
def test_states(tmp_path, options, result, expected):
    folder = capture(tmp_path / "a", [0.5, 0.2], finished=False, **options)
    (folder / "metrics.json").write_text(json.dumps(result))
    (table,) = tables(folder)
    assert cells(table)[1][1] == expected


def test_likelihood_is_better_when_higher(tmp_path):
    (table,) = tables(vocoder(tmp_path / "a", [3.0, 4.0]), vocoder(tmp_path / "b", [3.0, 4.5, 4.4]))
    assert [row[0] for row in cells(table)] == ["run", "b", "a"]
    best = table.rows[0].best
    assert (best["ll/validation"].value, best["ll/validation"].step) == (4.5, 200)
    assert best["bits/validation"].value == pytest.approx(15 - 4.5 / math.log(2))


def test_tasks_have_their_own_tables(tmp_path):
    both = tables(vocoder(tmp_path / "v", [3.0]), capture(tmp_path / "c", [0.5]))
    assert [table.task for table in both] == ["capture", "vocoder"]
    assert [len(table.rows) for table in both] == [1, 1]


def test_a_run_of_one_size_is_ranked_by_it_after_the_others(tmp_path):
    nano = [{"step": 20, "minutes": 1, "esr/nano": 0.001}]
    small = write(tmp_path / "small", CAPTURE, nano)
    (table,) = tables(small, capture(tmp_path / "both", [0.5]))
    assert [row.name for row in table.rows] == ["both", "small"]


def test_different_held_out_audio_is_said(tmp_path):
    first = capture(tmp_path / "a", [0.5])
    second = capture(tmp_path / "b", [0.4], **{"data.input": "other.wav"})
    (table,) = tables(first, second)
    assert "data.input differ: these runs may be judged by different audio" in "".join(text(table))
    (table,) = tables(first, capture(tmp_path / "c", [0.4]))
    assert "audio" not in "".join(text(table))


def test_what_differs_still_differs_when_shortened(tmp_path):
    values = ("/takes/loud/amp.wav", "/takes/soft/amp.wav", f"/x/{'long' * 20}.wav")
    folders = [
        capture(
            tmp_path / str(i), [0.5], **{"data.input": v, "train.learning_rate": 0.1 + i * 1e-9}
        )
        for i, v in enumerate(values)
    ]
    (table,) = tables(*folders)
    shown = [row.shown["data.input"] for row in table.rows]
    assert shown[:2] == ["loud/amp.wav", "soft/amp.wav"]
    assert len(shown[2]) == 28
    assert len({row.shown["train.learning_rate"] for row in table.rows}) == 3


def test_an_option_called_like_a_column_keeps_its_full_name(tmp_path):
    (table,) = tables(
        capture(tmp_path / "a", [0.5]), capture(tmp_path / "b", [0.4], **{"train.minutes": 3.0})
    )
    assert cells(table)[0].count("minutes") == 1
    assert cells(table)[0][-1] == "train.minutes"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["r/amp", "r/voice"], ["amp", "voice"]),
        (["r/a/amp", "r/b/amp", "r/c"], ["a/amp", "b/amp", "c"]),
        (["a/x/amp", "b/x/amp"], ["a/x/amp", "b/x/amp"]),
        (["/amp", "/x/amp"], ["/amp", "x/amp"]),
        (["r/amp\n\x1b[31m"], ["amp??[31m"]),
    ],
)
def test_shortest_names(paths, names):
    assert short_names([Path(path) for path in paths]) == names


def test_json_has_the_full_values(tmp_path):
    (table,) = tables(
        capture(tmp_path / "a", [0.5, 0.123456]), capture(tmp_path / "b", [1], **{"train.seed": 7})
    )
    first, second = map(json.loads, json_lines(table))
    assert first["best"]["esr/standard"] == {"value": 0.123456, "step": 40}
    assert first["state"] == "finished"
    assert second["options"] == {"train.seed": 7}
    assert second["steps_per_second"] is None


# The picture


def size(png):
    assert png.startswith(b"\x89PNG\r\n")
    return struct.unpack(">II", png[16:24])


def test_the_picture_grows_with_the_runs_and_tasks(tmp_path):
    two = [capture(tmp_path / f"a{i}", [0.5, 0.1 * (i + 1)]) for i in range(2)]
    many = [capture(tmp_path / f"b{i}", [0.5, 0.01 * (i + 1)]) for i in range(18)]
    voice = vocoder(tmp_path / "v", [0.1, 4.0, 4.1, 4.1])
    small, large, both = (
        size(curves(tables(*f), "step", "png")) for f in (two, many, [*two, voice])
    )
    assert small[0] == large[0] == both[0]
    assert small[1] < large[1]
    assert both[1] == 2 * small[1]


def test_names_that_a_plot_would_misread(tmp_path):
    """Dollars begin formulas, a leading underscore hides a legend entry, some lack a font."""
    names = ("_hidden", "a$_{$c", "\N{WATER BUFFALO}", "x" * 60)
    folders = [capture(tmp_path / name, [0.5, 0.1]) for name in names]
    assert size(curves(tables(*folders), "minutes", "png"))


def test_the_same_runs_give_the_same_svg(tmp_path):
    folders = [capture(tmp_path / "a", [0.5, 0.1])]
    first = curves(tables(*folders), "step", "svg")
    assert b"<svg" in first
    assert first == curves(tables(*folders), "step", "svg")


@pytest.mark.parametrize("value", [0.0, 1e30])
def test_errors_that_a_log_axis_cannot_show(tmp_path, value):
    assert size(curves(tables(capture(tmp_path / "a", [0.5, value, 0.1])), "step", "png"))


# The command line


def test_the_table_and_the_picture(tmp_path):
    capture(tmp_path / "a", [0.5, 0.1])
    vocoder(tmp_path / "v", [3.0, 4.0])
    result = run(tmp_path, "--x=minutes")
    assert result.returncode == 0, result.stderr
    assert "capture: 1 run\n" in result.stdout
    assert "vocoder: 1 run\n" in result.stdout
    assert size((tmp_path / "runs.png").read_bytes())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "runs.png", "v"]


def test_the_picture_of_the_last_time_among_the_names(tmp_path):
    """Accepts runs/* as a shell expands it; a run named twice counts once."""
    capture(tmp_path / "a", [0.5, 0.1])
    capture(tmp_path / "b", [0.5, 0.2])
    (tmp_path / "runs.png").write_bytes(b"old")
    result = run(*tmp_path.iterdir(), tmp_path / "a", "--json", f"--output={tmp_path}/x.svg")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["run"] for row in rows] == ["a", "b"]
    assert b"<svg" in (tmp_path / "x.svg").read_bytes()


def test_jax_is_not_imported(tmp_path):
    """Loading JAX would take longer than all else."""
    capture(tmp_path / "a", [0.5, 0.1])
    code = (
        "import sys; import experiments.runs, experiments.run.curves;"
        "print([m for m in ('jax', 'flax', 'matplotlib.pyplot') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.strip() == "[]", result.stderr


def test_a_damaged_run_is_listed_and_the_others_compared(tmp_path):
    capture(tmp_path / "a", [0.5, 0.1])
    capture(tmp_path / "bad", [0.5])
    (tmp_path / "bad" / "config.json").write_text('{"task": "capt')
    result = run(tmp_path)
    refused(result, f"{tmp_path}/bad/config.json: damaged", "leave this folder out")
    assert "finished" in result.stdout
    assert f"{tmp_path}/bad: damaged" in result.stdout
    assert (tmp_path / "runs.png").exists()


def test_nothing_evaluated_gives_no_picture(tmp_path):
    write(tmp_path / "a", CAPTURE)
    result = run(tmp_path)
    assert result.returncode == 0
    assert "no evaluation yet" in result.stdout
    assert "no picture: none of these runs has been evaluated yet" in result.stderr
    assert not (tmp_path / "runs.png").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["nothing to compare", "name the folders of runs"]),
        (["{}/none"], ["none: no such folder", "--workdir"]),
        (["{}/empty"], ["empty: no training run in it", "--workdir"]),
        (["{}/a/config.json"], ["config.json: not a folder", "--workdir"]),
        (["{}/a", "--output={}/x.pdf"], ["x.pdf: not a .png or .svg"]),
        (["{}/a", "--output={}/none/x.png"], ["x.png: cannot be written: No such file"]),
        (["{}/a", "--x=epochs"], ["--x=epochs", "<step|minutes>"]),
        (["{}/a", "--color=red"], ["--color is no option"]),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, expected):
    capture(tmp_path / "a", [0.5, 0.1])
    (tmp_path / "empty").mkdir()
    refused(run(*(argument.format(tmp_path) for argument in arguments)), *expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "empty"]
