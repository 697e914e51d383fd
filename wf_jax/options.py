"""The values that an option may have, declared beside it in its dataclass.

A field made by `option` carries a rule; `check_options` holds every value of a dataclass against
the rules of its fields. Nothing here needs JAX, so that a wrong value is said at once.
"""

import dataclasses
import inspect
import re
import typing
from collections.abc import Collection, Iterator
from typing import Any, Literal, Protocol

from wf_jax.errors import UserError

MOST = 2**31 - 1  # what counters on a device hold
_RULE = "rule"
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


class Rule(Protocol):
    """Tells the values that an option may have from others."""

    def fault(self, value: Any) -> str | None:
        """Says what is wrong with a value, as "is not > 0; choose 4"; None if nothing is."""


@dataclasses.dataclass(frozen=True)
class Number:
    """A finite number in a range.

    Attributes:
        low: the least value.
        high: the greatest value.
        above: whether `low` itself is no longer allowed.
        below: whether `high` itself is no longer allowed.
        usual: a value for messages to propose.
        also: a value outside the range that is allowed, for what suits; None for none.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False
    usual: float | None = None
    also: float | None = None

    def fault(self, value: Any) -> str | None:
        """Says which bound the number does not keep; NaN does not keep the lower one."""
        if self.also is not None and value == self.also:
            return None
        bound = None
        if not (value > self.low if self.above else value >= self.low):
            bound = f"> {self.low:,.12g}" if self.above else f"{self.low:,.12g} or more"
        elif not (value < self.high if self.below else value <= self.high):
            bound = f"< {self.high:,.12g}" if self.below else f"{self.high:,.12g} or less"
        return bound and f"is not {bound}{self._remedy()}"

    def _remedy(self) -> str:
        if self.also is not None:
            return f"; choose {self.also:.12g} for what suits"
        return "" if self.usual is None else f"; choose {self.usual:.12g}"


@dataclasses.dataclass(frozen=True)
class WrittenNumber:
    """A number as a text, or one of some words.

    Attributes:
        number: the range.
        kind: of number, for messages: "a number of samples".
        word: what may stand in its place; "" for an option that may be left out.
        whole: whether only whole numbers do.
    """

    number: Number
    kind: str
    word: str = ""
    whole: bool = False

    def fault(self, value: Any) -> str | None:
        """Says that the text is no number, or how the number does not keep its range."""
        if value == self.word:
            return None
        match = _NUMBER.fullmatch(value)
        if match is None or (self.whole and not value.lstrip("+-").isdecimal()):
            usual = f"{self.number.usual:g}"
            if self.word:
                return f"is neither {self.kind} nor {self.word}; choose {self.word} or {usual}"
            return f"is not {self.kind}; choose one like {usual}, or leave it out"
        return self.number.fault(float(value))


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some words.

    Attributes:
        words: the words.
        optional: whether "" will do.
    """

    words: tuple[str, ...]
    optional: bool = False

    def fault(self, value: Any) -> str | None:
        """Says what there is to choose from."""
        if value in self.words or (self.optional and value == ""):
            return None
        out = "; choose one of them, or leave it out" if self.optional else "; choose one of them"
        return f"is none of {', '.join(self.words)}{out}"


@dataclasses.dataclass(frozen=True)
class Items:
    """A tuple of values that keep one rule.

    Attributes:
        rule: of each.
        least: how many there are at least.
        most: how many there are at most.
        different: whether none may stand there twice.
    """

    rule: Number | Choice
    least: int = 0
    most: int = 64
    different: bool = False

    def fault(self, value: Any) -> str | None:
        """Says how many there are to be, or what is wrong with the first wrong one."""
        if not self.least <= len(value) <= self.most:
            return f"has {len(value)} values; give {self.least} to {self.most}"
        for item in value:
            if fault := self.rule.fault(item):
                return f"holds {item}, which {fault}"
        if self.different and len(set(value)) < len(value):
            return "holds a value twice; leave one out"
        return None


@dataclasses.dataclass(frozen=True)
class Text:
    """Any text that a file can hold."""

    def fault(self, value: Any) -> str | None:
        """Says that a text has bytes that are no UTF-8."""
        if value == value.encode(errors="replace").decode():
            return None
        return "is not UTF-8 text; write it in other letters"


COUNT = Number(0, MOST, above=True)


def option(default: Any, rule: Rule) -> Any:
    """Makes a dataclass field of this default and rule; a number's messages propose the default."""
    if isinstance(rule, Number) and rule.usual is None and default != rule.also:
        rule = dataclasses.replace(rule, usual=default)
    return dataclasses.field(default=default, metadata={_RULE: rule})


def like(owner: type, name: str, default: Any = None, also: float | None = None) -> Any:
    """Makes a dataclass field with the rule of another dataclass's field.

    Args:
        owner: the other dataclass.
        name: of its field.
        default: of the new field; None for the same.
        also: a value outside the range that the new field allows; see Number.
    """
    field = {field.name: field for field in dataclasses.fields(owner)}[name]
    rule, given = field.metadata[_RULE], field.default if default is None else default
    if isinstance(rule, Number) and also is not None:
        rule = dataclasses.replace(rule, also=also)
    return dataclasses.field(default=given, metadata={_RULE: rule})


def editable(settings: type, *, without: Collection[str] = (), **defaults: Any) -> type:
    """Makes the dataclass of the same options whose values can be set one by one.

    Settings of the library are frozen and check themselves as a whole; a config is edited option
    by option before it becomes settings.

    Args:
        settings: a dataclass of options.
        without: fields that are left out.
        **defaults: of options that differ; a field made by `option` or `like` may be one.

    Returns:
        A dataclass with the fields, rules and docstring of `settings`.
    """
    hints, fields = typing.get_type_hints(settings), []
    for field in dataclasses.fields(settings):
        if field.name not in without:
            given = defaults.get(field.name, field.default)
            if not isinstance(given, dataclasses.Field):
                given = dataclasses.field(default=given, metadata=field.metadata)
            kind = hints[field.name]
            is_word = typing.get_origin(kind) is Literal
            fields.append((field.name, str if is_word else kind, given))
    meanings = "".join(f"        {name}: {text}\n" for name, text in _meanings(settings).items())
    doc = f"{settings.__doc__.splitlines()[0]}\n\n    Attributes:\n{meanings}"
    return dataclasses.make_dataclass(settings.__name__, fields, namespace={"__doc__": doc})


class Described(typing.NamedTuple):
    """An option in words: its full name, type, default and meaning."""

    name: str
    kind: str
    default: Any
    meaning: str


def describe_options(group: Any, prefix: str = "") -> Iterator[Described]:
    """Describes every option of a dataclass and of those inside it, by their docstrings."""
    hints, meanings = typing.get_type_hints(type(group)), _meanings(type(group))
    for field in dataclasses.fields(group):
        value, name = getattr(group, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            yield from describe_options(value, f"{name}.")
        elif not isinstance(value, dict):  # of what a file makes, not a command line
            kind = hints[field.name]
            words = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else kind
            yield Described(name, str(words), value, meanings.get(field.name, ""))


def _meanings(owner: type) -> dict[str, str]:
    """Reads the meanings of attributes from the docstrings of a class and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(owner.__mro__):
        # Python 3.13 compiles docstrings without their indentation.
        _, _, listed = inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")
        name = ""
        for line in listed.splitlines():
            if match := re.match(r" {4}(\w+): (.*)", line):
                name, found[match[1]] = match[1], match[2].strip()
            elif name and line.startswith(" " * 8):
                found[name] += f" {line.strip()}"
            else:
                name = ""
    return found


def rule_of(field: dataclasses.Field) -> Rule | None:
    """Returns the rule of a dataclass field; None where it has none."""
    return field.metadata.get(_RULE)


def check_options(group: Any, prefix: str = "--config.", equals: str = "=") -> None:
    """Holds all values of a dataclass, and of those inside it, against their rules.

    Args:
        group: an instance of the dataclass.
        prefix: what messages write before the name of an option.
        equals: what they write between name and value.

    Raises:
        UserError: a value breaks its rule; of several the first one is named.
    """
    for field in dataclasses.fields(group):
        value, rule = getattr(group, field.name), rule_of(field)
        if dataclasses.is_dataclass(value):
            check_options(value, f"{prefix}{field.name}.", equals)
        if rule is not None and (fault := rule.fault(value)):
            raise UserError(f"{prefix}{field.name}{equals}{value} {fault}")
