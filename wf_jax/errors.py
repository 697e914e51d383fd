"""What a user can mend, said in a line."""


class UserError(ValueError):
    """A line for people, or several: what is wrong, the value, and what to do.

    Commands print them and end. Names and values in them come from files of strangers: characters
    that would move a terminal's cursor are written as their escapes.
    """

    def __str__(self) -> str:
        """The lines, printable."""
        return "\n".join(printable(str(line)) for line in self.args)


def printable(text: str) -> str:
    """A text on one line, with escapes (as Python writes them) for what is no visible character."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def short(value: object, most: int = 200) -> str:
    """A value's text as far as it goes into a line, which must not hold all of a damaged file."""
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}..."
