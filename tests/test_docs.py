"""README and docs: every command is one, every link leads somewhere, results have a command."""

import ast
import copy
import importlib
import importlib.util
import re
import subprocess
import tomllib

import pytest

from experiments.terminal.config_names import config_names, load_config
from experiments.terminal.main_flags import ABSL, flags_of
from experiments.terminal.word_arguments import translate
from experiments.terminal.words import WORDS
from tests import config_reference
from tests.documents import (
    ROOT,
    anchors,
    blocks,
    has_results,
    lines,
    linked_pages,
    links,
    pages,
    sections,
    spans,
    words,
)
from wf_jax.options import check_options, describe_options

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
LONGEST_README = 150  # lines
LARGEST_PICTURE = 150_000  # bytes
# Programs of others, whose flags are theirs.
OTHERS = {"curl", "gcloud", "git", "python3"}
COMMAND = re.compile(r"(wf-jax [a-z]|(\S*/)?python -m |make [a-z]|(\S*/)?pip install )")
OPTION = re.compile(
    r"(?:--config\.)?((?:data|train|model|mel|loss|metadata|checkpoints)\.(?!csv|nam|wav)\w+)(=.*)?"
)
PLACES = {"WORD", "experiments.NAME"}  # for what is typed
CASES = {path.relative_to(ROOT).as_posix(): path for path in pages()}


def known_options():
    """Returns the options of all configs."""
    return {o.name for name in config_names() for o in describe_options(load_config(name))}


def check_command(line):
    """Holds a command line against the program that it starts."""
    typed = words(line)
    while "=" in typed[0]:  # the environment
        del typed[0]
    program, *rest = typed
    name = program.rpartition("/")[2]
    if name == "wf-jax":
        if not rest[0].startswith("-") and rest[1:] != ["--help"]:
            assert rest[0] in WORDS, rest
            check_flags(WORDS[rest[0]].main, translate(rest[0], rest[1:]))
    elif name == "python" and rest[0] == "-m":
        check_module(rest[1], rest[2:])
    elif name == "pip":
        check_install(rest)
    elif name == "make":
        assert set(rest) <= set(TARGETS), rest
    elif name == "timeout":
        check_command(" ".join(rest[2:]))
    elif name == "sbatch":
        check_command(" ".join(text for text in rest if not text.startswith("--nodes")))
    elif program.startswith("experiments/jobs/"):
        assert (ROOT / program).is_file()
        check_flags("train", rest)
    else:
        assert name in OTHERS, f"{line}: unknown program; name it in OTHERS"


def check_module(name, rest):
    """Holds the arguments of `python -m` against its flags."""
    if name.startswith("experiments."):
        check_flags(name.removeprefix("experiments."), rest)
    else:
        assert importlib.util.find_spec(name)


def check_install(rest):
    """Holds the arguments of pip against the files and extras that there are."""
    for before, text in zip(["", *rest], rest, strict=False):
        if before in ("-r", "--constraint"):
            assert (ROOT / text).is_file(), text
        if match := re.search(r"\[(.*)\]", text):
            assert set(match[1].split(",")) <= set(PROJECT["optional-dependencies"]), text


def check_flags(main, typed):
    """Asks for flags that there are, a config that can be loaded, and values in their ranges."""
    flags, config = flags_of(main), None
    for text in typed:
        if not text.startswith("--"):
            assert not text.startswith("-"), text
            continue
        flag, equals, value = text[2:].partition("=")
        if flag == "config":
            config = load_config(value)
        elif flag.startswith("config."):
            assert config is not None, f"{text} stands before --config"
            set_option(config, flag.removeprefix("config."), value)
        else:
            assert flag in {*flags, *ABSL}, text
            assert equals or flags[flag].is_switch, text
            assert flag != "sweep" or value == "FILE.py" or (ROOT / value).is_file(), text
    if config is not None:
        check_options(config)


def set_option(config, name, value):
    """Sets an option of a config to what was typed."""
    *path, last = name.split(".")
    group = config
    for part in path:
        group = getattr(group, part)
    default = getattr(group, last)
    kind = type(default)
    setattr(group, last, value if kind is str else kind(ast.literal_eval(value or "True")))


@pytest.mark.parametrize("page", CASES)
def test_commands_of_blocks_are_taken(page):
    """Blocks without a language are commands, all of them."""
    for block in blocks(CASES[page]):
        if not block.language:
            for line in lines(block.text):
                check_command(line)


@pytest.mark.parametrize("page", CASES)
def test_commands_and_options_in_the_text_are_taken(page):
    options, flags = known_options(), {*ABSL}
    for word in WORDS.values():
        flags |= {*flags_of(word.main), *(option.name for option in word.options)}
    for span in spans(CASES[page]):
        if re.fullmatch(r"wf-jax \w+", span):
            assert span.split()[1] in WORDS or "WORD" in span, span
        elif COMMAND.match(span) and not PLACES & set(words(span)):
            check_command(span.replace("CONFIG", "waveflow"))
        elif match := OPTION.fullmatch(span):
            assert match[1] in options, span
        elif match := re.match(r"--([a-z_]+)(=|$|\s)", span):
            assert match[1] in flags | OF_OTHERS, span


OF_OTHERS = {"build-arg", "no-deps", "editable", "constraint"}


@pytest.mark.parametrize("page", CASES)
def test_python_is_python_and_names_what_there_is(page):
    for block in blocks(CASES[page]):
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), node.module


def test_blocks_have_known_languages():
    """A block in another language would be neither run nor parsed."""
    found = {block.language for page in pages() for block in blocks(page)}
    assert found <= {"", "python", "csv"}


@pytest.mark.parametrize("page", linked_pages(), ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for link in links(page):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert ROOT in [*target.parents, target], link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", CASES)
def test_files_of_the_repository_that_are_named_are_there(page):
    for span in spans(CASES[page]):
        if re.fullmatch(r"(experiments|wf_jax|data_pipeline|tests|docs)/[\w/.]+", span):
            assert (ROOT / span).exists(), span


@pytest.mark.parametrize("page", CASES)
def test_results_have_a_command(page):
    for section in sections(CASES[page]):
        if has_results(section):
            assert COMMAND.search(section), section.splitlines()[0]


def test_results_are_found():
    """Holds what the test above takes for results."""
    titles = [
        s.splitlines()[0] for s in sections(ROOT / "docs" / "benchmarks.md") if has_results(s)
    ]
    assert {"Captures", "Playing", "Vocoders", "Streaming"} <= set(titles)
    assert not any(has_results(s) for s in sections(ROOT / "docs" / "files.md") if "Exit" not in s)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= LONGEST_README


def test_every_page_is_reached_from_the_readme():
    reached, new = set(), {ROOT / "README.md"}
    while new:
        reached |= new
        found = {(p.parent / link.partition("#")[0]).resolve() for p in new for link in links(p)}
        new = {path for path in found if path.suffix == ".md" and path.is_file()} - reached
    assert set(pages()) <= reached


def test_every_word_is_described():
    text = "\n".join(page.read_text() for page in pages())
    missing = [
        w for w in WORDS if f"wf-jax {w}" not in text and f"experiments.{WORDS[w].main}" not in text
    ]
    assert missing == []


def test_pictures_are_small():
    for path in (ROOT / "docs" / "images").iterdir():
        assert path.suffix in (".png", ".webp")
        assert path.stat().st_size <= LARGEST_PICTURE, path


def test_the_reference_of_configs_is_what_the_code_says():
    written = (ROOT / "docs" / "configs.md").read_text()
    assert written == config_reference.reference(), "see docs/configs.md"


def test_a_value_is_set_as_its_option_takes_it():
    config = load_config("a2_capture")
    before = copy.deepcopy(config)
    set_option(config, "train.minutes", "5")
    set_option(config, "model.sizes", "('nano',)")
    set_option(config, "data.correct_drift", "")
    assert (config.train.minutes, config.model.sizes, config.data.correct_drift) == (
        5.0,
        ("nano",),
        True,
    )
    assert config != before


WRONG = {
    "wf-jax captrue di.wav amp.wav": AssertionError,
    "wf-jax capture di.wav amp.wav --config.train.minuts=3": AttributeError,
    "wf-jax capture di.wav amp.wav --config.train.minutes=-3": Exception,
    "python -m experiments.train --config=waveflw --workdir=x": Exception,
    "python -m experiments.render --modle=x": AssertionError,
    "make demos": AssertionError,
    "pip install '.[cudda]'": AssertionError,
    "rm -rf /": AssertionError,
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_is_found(line):
    with pytest.raises(WRONG[line]):
        check_command(line)


def test_the_quick_part_names_files_that_exist():
    """A name that is none has make run nothing."""
    command = subprocess.run(
        ["make", "--dry-run", "quick"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = re.findall(r"tests/\S+\.py", command.stdout)
    assert len(names) > 40
    assert [name for name in names if not (ROOT / name).is_file()] == []
