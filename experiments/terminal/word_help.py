"""Formats the help of `wf-jax` and of its words."""

import textwrap
from collections.abc import Iterable, Iterator

from experiments.terminal.main_flags import flags_of, notes_of
from experiments.terminal.word_arguments import hidden, usage
from experiments.terminal.words import GROUPS, WORDS

WIDTH = 100
_INDENT = "  "


def overview() -> str:
    """Returns the help of `wf-jax`: every word with what it does."""
    lines = [
        "Captures of amps and vocoders in JAX. wf-jax WORD --help says how a word is typed.",
    ]
    for group, words in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += _table((name, word.does) for name, word in words.items())
    lines += ["", "Examples:"]
    lines += [_INDENT + WORDS[name].examples[0] for name in ("capture", "render", "train", "speak")]
    return "\n".join(lines)


def help_of(name: str) -> str:
    """Returns the help of a word: arguments, options, the main's own flags, examples."""
    word, flags = WORDS[name], flags_of(WORDS[name].main)
    short = ((f"--{option.name}=...", option.meaning) for option in word.options)
    own = (
        (f"--{flag}" if about.is_switch else f"--{flag}={about.default or '...'}", about.meaning)
        for flag, about in flags.items()
        if flag not in hidden(word)
    )
    lines = [usage(name), "", *_wrapped(f"{word.does[0].upper()}{word.does[1:]}.", "")]
    if word.arguments:
        lines += ["", *_table((a.name, a.meaning) for a in word.arguments)]
    if options := [*short, *own]:
        lines += ["", "Options:", *_table(options)]
    if "config" in flags:
        config = dict(text.split("=", 1) for text in word.usual).get("config", "CONFIG")
        lines += [f"{_INDENT}--config.NAME=VALUE, as `wf-jax options {config}` lists them"]
    if notes := notes_of(word.main):
        lines += ["", notes]
    lines += ["", "Examples:", *(_INDENT + example for example in word.examples)]
    return "\n".join(lines)


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Formats rows in two columns; a long first cell has a line of its own."""
    rows = list(rows)
    width = min(max(len(first) for first, _ in rows), 24)
    for first, second in rows:
        margin = " " * (width + 2 * len(_INDENT))
        text = _wrapped(second, margin)
        if len(first) > width:
            yield _INDENT + first
        else:
            text[0] = f"{_INDENT}{first:{width}}{_INDENT}{text[0].lstrip()}"
        yield from text


def _wrapped(text: str, margin: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=margin, subsequent_indent=margin) or [""]
