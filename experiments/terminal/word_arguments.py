"""Translates what is typed after a word of `wf-jax` into the flags of its main."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.terminal.main_flags import ABSL, flags_of
from experiments.terminal.words import BY_MAIN, WORDS, Option, Word
from wf_jax.errors import UserError


class Typed(NamedTuple):
    """A command line taken apart: flags as (name, value), None for a switch, and the rest."""

    flags: list[tuple[str, str | None]]
    rest: list[str]


def find_word(name: str) -> Word:
    """Returns the word of this name.

    Raises:
        UserError: there is none; the line says which was meant.
    """
    if name in WORDS:
        return WORDS[name]
    near = BY_MAIN.get(name) or _nearest(name, WORDS)
    remedy = f"did you mean {near}?" if near else "wf-jax --help lists all"
    raise UserError(f"{name} is no word of wf-jax; {remedy}")


def translate(name: str, typed: Sequence[str]) -> list[str]:
    """Returns the arguments of a word's main.

    Raises:
        UserError: an option is unknown, or an argument is missing or one too many.
    """
    word = WORDS[name]
    flags, rest = _take_apart(name, typed)
    given = {flag for flag, _ in flags}
    open_arguments = [a for a in word.arguments if a.flag not in given]
    for argument in [a for a in open_arguments if a.optional]:
        if len(rest) < len(open_arguments):  # it is what was left out
            open_arguments.remove(argument)
    flags += [(a.flag, text) for a, text in zip(open_arguments, rest, strict=False)]
    extra, missing = rest[len(open_arguments) :], open_arguments[len(rest) :]
    if extra and not word.many:
        raise UserError(f"{extra[0]!r} is one argument too many; type {usage(name)}")
    is_help = any(flag.startswith("help") for flag in given)
    if word.many and not (extra or is_help):
        raise UserError(f"{word.many} is missing; type {usage(name)}")
    needed = [a for a in missing if not a.optional]
    if needed and not is_help:
        raise UserError(f"{needed[0].name} is missing: {needed[0].meaning}; type {usage(name)}")
    flags = [*_usual(word, dict(flags)), *flags]
    flags.sort(key=lambda flag: flag[0] != "config")  # options of a config stand behind it
    written = (f"--{flag}" if value is None else f"--{flag}={value}" for flag, value in flags)
    return [*written, *extra]


def as_typed(main: str, arguments: Sequence[str]) -> list[str] | None:
    """Returns the word of a main and its flags in their short forms: the inverse of `translate`.

    None if no word runs the main.
    """
    plain = BY_MAIN.get(main)
    if plain is None:
        return None
    # First the words that give flags by themselves: `capture` before `train`.
    names = [name for name, word in WORDS.items() if word.main == main]
    for name in sorted(names, key=lambda name: -len(WORDS[name].usual)):
        short = _shortened(WORDS[name], arguments)
        with contextlib.suppress(UserError):
            if sorted(translate(name, short)) == sorted(arguments):
                return [name, *short]
    return [plain, *arguments]


def _shortened(word: Word, arguments: Sequence[str]) -> list[str]:
    """Writes the flags of a word's main as they are typed, if they are all there."""
    flags = dict(text.removeprefix("--").partition("=")[::2] for text in arguments)
    usual = dict(_usual(word, {k: v for k, v in flags.items() if k in _flags(word.arguments)}))
    short = {option.flag: option.name for option in word.options}
    found = [flags[a.flag] for a in word.arguments if a.flag in flags]
    for text in arguments:
        flag, equals, value = text.removeprefix("--").partition("=")
        if flag not in _flags(word.arguments) and usual.get(flag) != value:
            found.append(f"--{short[flag]}={value}" if equals and flag in short else text)
    return found


def _flags(options: Iterable[Option]) -> set[str]:
    return {option.flag for option in options}


def usage(name: str) -> str:
    """Returns how a word is typed: "wf-jax render MODEL IN OUT"."""
    word = WORDS[name]
    arguments = [f"[{a.name}]" if a.optional else a.name for a in word.arguments]
    return " ".join(["wf-jax", name, *arguments, *([f"{word.many}..."] if word.many else [])])


def hidden(word: Word) -> set[str]:
    """Returns the flags of the main that a word writes in a shorter way, or by itself."""
    usual = {text.partition("=")[0] for text in word.usual}
    return usual | _flags((*word.arguments, *word.options))


def _take_apart(name: str, typed: Sequence[str]) -> Typed:
    word, found, texts = WORDS[name], Typed([], []), iter(typed)
    short = {option.name.lower(): option.flag for option in (*word.arguments, *word.options)}
    flags = flags_of(word.main)
    switches = {flag for flag in flags if flags[flag].is_switch}
    switches |= {f"no{flag}" for flag in switches} | ABSL
    for text in texts:
        if not text.startswith("-") or text == "-":
            found.rest.append(text)
            continue
        if text == "--":
            found.rest.extend(texts)
            break
        option, equals, value = text.lstrip("-").partition("=")
        flag = short.get(option, option)
        of_config = flag.startswith("config.") and "config" in flags
        if not (of_config or flag in flags or flag in switches):
            raise UserError(_unknown(name, option, {*short, *flags}))
        spelled_out = option.startswith("config.")  # whether it is a switch only its config knows
        next_text = None if spelled_out or equals or flag in switches else next(texts, None)
        given = value if equals else next_text
        if given is None and flag not in switches:
            raise UserError(f"--{option} has no value; write --{option}=VALUE")
        found.flags.append((flag, given))
    return found


def _unknown(name: str, option: str, known: Iterable[str]) -> str:
    near = _nearest(option, known)
    remedy = f"did you mean --{near}?" if near else f"wf-jax {name} --help lists all"
    return f"--{option} is no option of {name}; {remedy}"


def _nearest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, sorted(known), 1)), None)


def _usual(word: Word, given: dict[str, str | None]) -> Iterator[tuple[str, str]]:
    """Yields the flags that a word gives where they were not typed."""
    stems = {a.name.lower(): Path(given.get(a.flag) or "").resolve().stem for a in word.arguments}
    for text in word.usual:
        flag, _, value = text.partition("=")
        if flag not in given:
            yield flag, value.format(**stems)
