"""The words of `wf-jax`: the table, translation, help, and completion."""

import importlib
import os
import pty
import re
import runpy
import select
import shlex
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import absl
import ml_collections.config_flags
import pytest
from absl import flags

from experiments.terminal import dispatch
from experiments.terminal.completion import bash, main, zsh
from experiments.terminal.config_names import config_names, load_config
from experiments.terminal.main_flags import ABSL, FOLDER, flags_of, notes_of, source_of
from experiments.terminal.word_arguments import hidden, translate, usage
from experiments.terminal.word_help import WIDTH, help_of, overview
from experiments.terminal.words import BY_MAIN, WORDS
from tests.imports import imported
from wf_jax import command_lines
from wf_jax.command_lines import Start, command, same_command, started_as
from wf_jax.errors import UserError
from wf_jax.options import describe_options

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"wf-jax [^#)]*")


def config_options(name):
    """Returns the options that a word's config may have, or of all configs."""
    usual = dict(text.split("=", 1) for text in WORDS[name].usual)
    own = {"compare": ["likelihood"]}.get(name, config_names())
    known = [usual["config"]] if "config" in usual else own
    return {f"config.{o.name}" for config in known for o in describe_options(load_config(config))}


@pytest.fixture
def defined(monkeypatch):
    """Returns a function that runs a main and lists the flags it defines, in absl's place."""

    def run(main):
        made = {}

        def recorder(function):
            def define(name, default, *others, **_):
                made[name] = function, default, others[function.endswith("enum")]

            return define

        path = source_of(main)
        for module in imported(path):  # those that define flags do it as ever
            importlib.import_module(module)

        class Recording(types.ModuleType):
            def __getattr__(self, function):
                return recorder(function)

        with monkeypatch.context() as patch:
            patch.setattr(absl, "flags", Recording("flags"))
            patch.setattr(ml_collections, "config_flags", Recording("config_flags"))
            runpy.run_path(str(path), run_name="read")
        return made

    return run


@pytest.mark.parametrize("main", sorted({word.main for word in WORDS.values()}))
def test_flags_are_read_as_the_main_defines_them(main, defined):
    read = flags_of(main)
    common = set() if main == "terminal.completion" else {"programs"}  # it needs no absl
    made = defined(main)
    assert set(read) == set(made) | common
    for name, (function, default, meaning) in made.items():
        assert read[name].is_switch == (function == "DEFINE_bool"), name
        pieces = read[name].meaning.split("...")
        at = [meaning.find(piece) for piece in pieces]
        assert -1 not in at, name
        assert at == sorted(at), name
        listed = ",".join(map(str, default)) if isinstance(default, list) else str(default)
        assert read[name].default in ("", listed), name


def test_flags_of_absl_are_all_known():
    modules = flags.FLAGS.flags_by_module_dict()
    own = {f.name for module, found in modules.items() if module.startswith("absl") for f in found}
    assert own <= ABSL
    assert "verbosity" in own


def test_every_main_has_a_word():
    mains = {path.stem for path in FOLDER.glob("[!_]*.py")}
    mains |= {path.parent.name for path in FOLDER.glob("*/__main__.py")}
    assert mains <= {word.main for word in WORDS.values()}
    assert set(BY_MAIN) == {word.main for word in WORDS.values()}
    assert BY_MAIN["train"] == "train"


@pytest.mark.parametrize("name", WORDS)
def test_short_options_stand_for_real_ones(name):
    word, own = WORDS[name], flags_of(WORDS[name].main)
    for option in (*word.arguments, *word.options):
        known = config_options(name) if option.flag.startswith("config.") else own
        assert option.flag in known, option
        assert option.name.lower() == option.flag or option.name.lower() not in own, option
    assert {text.partition("=")[0] for text in word.usual} <= set(own)
    assert importlib.util.find_spec(f"experiments.{word.main}")


EXAMPLES = [
    pytest.param(name, COMMAND.search(example)[0], id=example)
    for name, word in WORDS.items()
    for example in word.examples
]


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_every_example_is_taken(name, example):
    program, first, *typed = shlex.split(example)
    assert (program, first) == ("wf-jax", name)
    known = {*flags_of(WORDS[name].main), *config_options(name)}
    given = [text[2:].partition("=") for text in translate(name, typed) if text.startswith("--")]
    assert {flag for flag, _, _ in given} <= known
    for flag, _, value in given:
        if flag == "config":
            load_config(value)


def test_every_word_has_an_example():
    assert all(word.examples for word in WORDS.values())


TYPED = {
    "capture di.wav a/amp.wav --minutes=10": "--config=a2_capture --workdir=runs/amp "
    "--config.train.minutes=10 --config.data.input=di.wav --config.data.output=a/amp.wav",
    "capture --minutes 10 di.wav amp.wav --out runs/x": "--config=a2_capture "
    "--config.train.minutes=10 --workdir=runs/x --config.data.input=di.wav "
    "--config.data.output=amp.wav",
    "capture --config.data.input=a.wav b.wav --config=mine.py": "--config=mine.py "
    "--workdir=runs/b --config.data.input=a.wav --config.data.output=b.wav",
    "convert old.nam --di=x.wav": "--config=a2_capture --workdir=runs/old_a2 "
    "--config.data.input=x.wav --config.data.teacher=old.nam",
    "render amp.nam in.wav out.wav --slim 0 --resample": "--slim=0 --resample --model=amp.nam "
    "--input=in.wav --output=out.wav",
    "render --in=-.wav amp.nam -- -out.wav": "--input=-.wav --model=amp.nam --output=-out.wav",
    "export --rebuild --out=r": "--rebuild --output=r",
    "export --output=r amp.nam": "--output=r --model=amp.nam",
    "check --nocorrect_drift a b": "--nocorrect_drift --input=a --output=b",
    "inspect a.nam b.nam": "a.nam b.nam",
    "report --out=p.html a b": "--output=p.html a b",
    "live --devices": "--devices",
    "train waveflow:64 runs/lj --corpus=c --distributed=none": "--config=waveflow:64 "
    "--config.data.corpus=c --distributed=none --workdir=runs/lj",
    "render --helpfull": "--helpfull",
    "render a b c --verbosity=1 --programs=": "--verbosity=1 --programs= --model=a --input=b "
    "--output=c",
}


@pytest.mark.parametrize("line", TYPED)
def test_what_is_typed_becomes_flags(line):
    name, *typed = line.split(" ")
    assert translate(name, typed) == TYPED[line].split(" ")


MISTAKES = {
    "captrue di.wav amp.wav": "captrue is no word of wf-jax; did you mean capture?",
    "synthesize": "synthesize is no word of wf-jax; did you mean speak?",
    "check_capture": "check_capture is no word of wf-jax; did you mean check?",
    "xyz": "xyz is no word of wf-jax; wf-jax --help lists all",
    "--hlep": "--hlep is no word of wf-jax; wf-jax --help lists all",
    "capture a b --minuts=3": "--minuts is no option of capture; did you mean --minutes?",
    "capture a b --workdri=3": "--workdri is no option of capture; did you mean --workdir?",
    "render a b c --config.x=3": "--config.x is no option of render; wf-jax render --help lists",
    "render a b c -s": "--s is no option of render; wf-jax render --help lists all",
    "capture a": "AMP is missing: what came out of it; type wf-jax capture DI AMP",
    "capture": "DI is missing: the file that was played into the amp; type wf-jax capture DI AMP",
    "capture a b c": "'c' is one argument too many; type wf-jax capture DI AMP",
    "capture a b --minutes": "--minutes has no value; write --minutes=VALUE",
    "inspect": "MODEL is missing; type wf-jax inspect MODEL...",
    "export a": "OUT is missing: folder of the release; one that is there is replaced; type wf-jax",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_was_meant(line, capsys):
    assert dispatch.run("", line.split(" ")) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(MISTAKES[line])
    assert error.count("\n") == 1


@pytest.mark.parametrize("typed", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_lists_every_word(typed, capsys):
    assert dispatch.run("", typed) == 0
    said = capsys.readouterr().out
    for name, word in WORDS.items():
        assert re.search(rf"^  {name} +{re.escape(word.does)}$", said, re.M)


@pytest.mark.parametrize("name", WORDS)
def test_help_lists_arguments_options_flags_and_examples(name, capsys):
    assert dispatch.run("", [name, "--help"]) == 0
    said = capsys.readouterr().out
    word = WORDS[name]
    assert said.startswith(usage(name) + "\n")
    assert max(map(len, said.splitlines())) <= WIDTH
    for option in word.options:
        assert f"  --{option.name}=..." in said
    for flag in set(flags_of(word.main)) - hidden(word):
        assert re.search(rf"^  --{flag}(=|\s|$)", said, re.M), flag
    for text in (*word.examples, *(argument.meaning for argument in word.arguments)):
        assert text in " ".join(said.split()) or text in said
    assert "python -m" not in said


def test_notes_of_a_main_are_in_its_help():
    assert "code 75" in notes_of("train")
    assert notes_of("train") in help_of("train")
    assert "arrays.pt" in help_of("import")


def test_the_version(capsys):
    assert dispatch.run("", ["--version"]) == 0
    assert re.fullmatch(r"wf-jax \d+\.\d+\.\d+\n", capsys.readouterr().out)


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
    assert command("evaluate", "--workdir=a b") == "/bin/wf-jax evaluate '--workdir=a b'"
    assert command("check_capture").endswith("wf-jax check")


def test_commands_are_written_as_the_process_was_started(monkeypatch, start, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert command("synthesize", "--input=a b.wav") == (
        ".venv/bin/python -m experiments.synthesize '--input=a b.wav'"
    )
    start(Start("", ["speak", "x y"], BY_MAIN))
    assert command("synthesize") == ".venv/bin/python -m wf_jax speak"
    assert same_command() == ".venv/bin/python -m wf_jax speak 'x y'"
    program = tmp_path / "bin" / "wf-jax"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    start(Start(str(program), ["runs"], BY_MAIN))
    assert same_command() == "bin/wf-jax runs"
    monkeypatch.setenv("PATH", str(program.parent))
    assert same_command() == "wf-jax runs"
    assert command("examples.tpu_batch").endswith("-m experiments.examples.tpu_batch")


def test_a_command_by_flags_can_be_pasted_behind_a_word():
    """Hints carry the main's long flags; a word takes them in place of its arguments."""
    given = ["--config=waveflow:64", "--workdir=runs/a b", "--config.train.steps=3"]
    assert translate("train", given) == given
    for name, word in WORDS.items():
        if not word.many:
            given = [f"--{argument.flag}=x" for argument in word.arguments]
            assert set(translate(name, given)) >= set(given), name


def test_completion_offers_what_the_table_has(capsys):
    assert main(["bash"]) == 0
    assert capsys.readouterr().out == bash()
    for script in (bash(), zsh()):
        assert "--minutes=" in script
        assert all(name in script for name in (*WORDS, *config_names()))
    for wrong in ([], ["fish"], ["bash", "zsh"]):
        assert main(wrong) == 2
        assert capsys.readouterr().err == "name a shell: bash or zsh\n"


class Terminal:
    """An interactive shell in a folder that has a file and a folder."""

    def __init__(self, arguments, folder, lines):
        """Starts it and types the lines."""
        self._pid, self._file = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            os.execve(shutil.which(arguments[0]), arguments, {**os.environ, "TERM": "dumb"})
        for line in lines:
            self._type(f"{line}\n")
        self.read_until("ready")

    def _type(self, text):
        os.write(self._file, text.encode())

    def read_until(self, wanted, seconds=20.0):
        """Returns what is printed up to some text, or at all."""
        said, end = "", time.monotonic() + seconds
        while wanted not in said and time.monotonic() < end:
            if select.select([self._file], [], [], 0.1)[0]:
                said += os.read(self._file, 65536).decode(errors="replace").replace("\a", "")
        return said

    def complete(self, typed, wanted):
        """Types a line and a tab, and says whether what is wanted is printed; forgets the line."""
        self._type(f"\x15{typed}\t")
        return wanted in self.read_until(wanted)

    def close(self):
        """Ends the shell."""
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)
        os.close(self._file)


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], []),
    "zsh": (["zsh", "-f", "-i"], ["autoload -U compinit; compinit -u -d ./.zdump"]),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete(shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not here")
    (tmp_path / "runs").mkdir()
    (tmp_path / "di.wav").touch()
    (tmp_path / ".script").write_text({"bash": bash, "zsh": zsh}[shell]())
    arguments, lines = SHELLS[shell]
    terminal = Terminal(arguments, tmp_path, [*lines, "source ./.script; echo rea''dy"])
    try:
        assert terminal.complete("wf-jax capt", "wf-jax capture ")
        assert terminal.complete("wf-jax capture d", "di.wav")
        assert terminal.complete("wf-jax capture --minu", "--minutes=")
        assert terminal.complete("wf-jax capture --out=r", "--out=runs/")
        assert terminal.complete("wf-jax train wavef", "waveflow")
        assert terminal.complete("wf-jax export --reb", "--rebuild")
        assert terminal.complete("wf-jax completion z", "zsh")
    finally:
        terminal.close()


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
    from experiments.terminal.options_help import print_options

    with pytest.raises((UserError, OSError)):
        print_options(names)


def test_overview_is_narrow():
    assert max(map(len, overview().splitlines())) <= WIDTH
