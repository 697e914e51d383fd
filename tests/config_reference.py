"""Writes the reference of all options: python -m tests.config_reference > docs/configs.md."""

import importlib
from collections.abc import Iterable, Iterator
from itertools import groupby

from experiments.terminal.config_names import config_names, load_config
from wf_jax.options import (
    MOST,
    Choice,
    Described,
    Items,
    Number,
    Rule,
    WrittenNumber,
    describe_options,
)

HEAD = """# Options of all configs

Made by `python -m tests.config_reference` from the code; a test holds that they agree. An option is
given as `--config.NAME=VALUE`; a value outside its range is one line that says so, before anything
is loaded. Defaults are those of a config without an argument; `wf-jax options waveflow:tiny` prints
those of another.
"""
# Of configs that do not list them.
ARGUMENTS = {"a2_capture": ("demo",), "likelihood": ("tiny", "demo", "paper")}
BASE = "waveflow"  # the others of voices are described by what differs
OF_BASE = ("voice", "waveglow", "wavenet", "likelihood")
UNSEEN = ("task", "source", "model.family")  # what a config says of itself
GROUP_ORDER = ("", "data", "train", "model", "metadata", "loss", "mel", "checkpoints")


def reference() -> str:
    """Returns the whole page."""
    names = [*(name for name in config_names() if name not in OF_BASE), *OF_BASE]
    parts = [HEAD, *_overview(names), ""]
    base = {option.name: option for option in _options(BASE)}
    for name in names:
        options = list(_options(name))
        parts.append(f"## {name}\n")
        if name in OF_BASE:
            parts.append(f"All options of [{BASE}](#{BASE}) but its `model.*`, and these:\n")
            options = [o for o in options if _group(o) == "model" or base.get(o.name) != o]
        parts += _tables(name, options)
    return "\n".join(parts).rstrip() + "\n"


def _overview(names: Iterable[str]) -> Iterator[str]:
    yield "| config | what it does | arguments: `CONFIG:ARGUMENT` |\n|---|---|---|"
    for name in names:
        module = importlib.import_module(f"experiments.configs.{name}")
        arguments = getattr(module, "NAMES", None) or ARGUMENTS[name]
        does = module.__doc__.splitlines()[0]
        yield f"| [{name}](#{name}) | {does} | {', '.join(f'`{a}`' for a in arguments)} |"


def _options(config: str) -> Iterator[Described]:
    options = describe_options(load_config(config))
    return (option for option in options if option.name not in UNSEEN)


def _tables(config: str, options: Iterable[Described]) -> Iterator[str]:
    ordered = sorted(options, key=lambda option: GROUP_ORDER.index(_group(option)))
    for group, members in groupby(ordered, _group):
        yield f"### {config}: {group or 'the run'}\n"
        yield "| option | default | values | meaning |\n|---|---|---|---|"
        for option in members:
            default = f"`{option.default}`" if str(option.default) else ""
            meaning = option.meaning.replace("|", "\\|")
            yield f"| `{option.name}` | {default} | {_values(option)} | {meaning} |"
        yield ""


def _group(option: Described) -> str:
    return option.name.rpartition(".")[0]


def _values(option: Described) -> str:
    """Says which values an option may have: "whole, 1 or more"."""
    rule = option.rule
    if isinstance(rule, Number):
        return _number(rule, is_whole=option.kind == "int")
    return "`True`, `False`" if option.kind == "bool" else _of_rule(rule)


def _of_rule(rule: Rule | None) -> str:
    if isinstance(rule, Choice):
        return ", ".join(f"`{word}`" for word in rule.words)
    if isinstance(rule, WrittenNumber):
        word = f"`{rule.word}`, or " if rule.word else ""
        return word + _number(rule.number, is_whole=rule.whole)
    if isinstance(rule, Items):
        many = f"{rule.least} to {rule.most}" if rule.least else f"up to {rule.most}"
        is_number = isinstance(rule.rule, Number)
        each = _number(rule.rule, is_whole=True) if is_number else _of_rule(rule.rule)
        return f"{many} of: {each}"
    return "text"


def _number(rule: Number, is_whole: bool) -> str:
    least, kind = (rule.low, "number") if not is_whole else (rule.low + rule.above, "whole number")
    above = "above " * (rule.above and not is_whole)
    below = "below " * rule.below
    rest = "" if rule.also is None else f"; or {rule.also:g}"
    if rule.high == MOST:
        return f"{kind}, {above}{least:.12g}{'' if above else ' or more'}{rest}"
    return f"{kind}, {above}{least:.12g} to {below}{rule.high:.12g}{rest}"


if __name__ == "__main__":
    print(reference(), end="")
