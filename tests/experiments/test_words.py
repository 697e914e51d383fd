"""The words of `wf-jax`: the table, what is typed, and the help."""

import importlib.util
import re
import shlex

import pytest

from experiments.terminal import dispatch
from experiments.terminal.config_names import config_names, load_config
from experiments.terminal.main_flags import FOLDER, flags_of, notes_of
from experiments.terminal.word_arguments import as_typed, hidden, translate, usage
from experiments.terminal.word_help import WIDTH, help_of, overview
from experiments.terminal.words import BY_MAIN, WORDS
from wf_jax.options import describe_options

COMMAND = re.compile(r"wf-jax [^#)]*")


def config_options(name):
    """Returns the options that a word's config may have, or of all configs."""
    usual = dict(text.split("=", 1) for text in WORDS[name].usual)
    own = {"compare": ["likelihood"]}.get(name, config_names())
    known = [usual["config"]] if "config" in usual else own
    return {f"config.{o.name}" for config in known for o in describe_options(load_config(config))}


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
    "speak a.wav spoken": "--input=a.wav --output=spoken",
    "speak runs/lj a.wav spoken": "--model=runs/lj --input=a.wav --output=spoken",
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
    "capture a": "AMP is missing: what came out of it, or a folder of such files; type",
    "capture": "DI is missing: the file that was played into the amp; type wf-jax capture DI AMP",
    "capture a b c": "'c' is one argument too many; type wf-jax capture DI AMP",
    "capture a b --minutes": "--minutes has no value; write --minutes=VALUE",
    "inspect": "MODEL is missing; type wf-jax inspect MODEL...",
    "export": "OUT is missing: folder of the release; one that is there is replaced; type wf-jax",
    "speak a": "OUT is missing: folder of the WAV files; type wf-jax speak [MODEL] IN OUT",
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


def test_a_command_by_flags_can_be_pasted_behind_a_word():
    """A word takes its main's long flags in place of its arguments."""
    given = ["--config=waveflow:64", "--workdir=runs/a b", "--config.train.steps=3"]
    assert translate("train", given) == given
    for name, word in WORDS.items():
        if not word.many:
            given = [f"--{argument.flag}=x" for argument in word.arguments]
            assert set(translate(name, given)) >= set(given), name


HINTS = {
    "train --config=voice --config.data.corpus=c --workdir=runs/v": "train voice runs/v --corpus=c",
    "train --config=a2_capture --workdir=runs/amp --config.data.input=di.wav "
    "--config.data.output=a/amp.wav --config.train.steps=9": "capture di.wav a/amp.wav --steps=9",
    "train --config=a2_capture --workdir=runs/x --config.data.teacher=old.nam": "convert old.nam "
    "--out=runs/x",
    "train --config=a2_capture:demo --workdir=runs/x": "train a2_capture:demo runs/x",
    "train --config=a2_capture --workdir=-x": "train --config=a2_capture --workdir=-x",
    "train": "train",
    "synthesize --input=a.wav --output=b": "speak a.wav b",
    "synthesize --model=m --input=a.wav --output=b --resample": "speak m a.wav b --resample",
    "evaluate --workdir=runs/lj": "evaluate runs/lj",
    "export --rebuild --output=r": "export r --rebuild",
    "inspect a.nam": "inspect a.nam",
}


@pytest.mark.parametrize("flags", HINTS)
def test_hints_are_written_as_people_type(flags):
    main, *arguments = flags.split(" ")
    assert as_typed(main, arguments) == HINTS[flags].split(" ")


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_a_hint_means_what_its_flags_mean(name, example):
    _, _, *typed = shlex.split(example)
    flags = translate(name, typed)
    word, *short = as_typed(WORDS[name].main, flags)
    assert sorted(translate(word, short)) == sorted(flags)


def test_other_programs_have_no_word():
    assert as_typed("examples.tpu_batch", []) is None


def test_overview_is_narrow():
    assert max(map(len, overview().splitlines())) <= WIDTH
