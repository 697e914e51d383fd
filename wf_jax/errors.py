"""The error for what a user can mend, in one line."""


class UserError(ValueError):
    """An error for people, in one line or several: what is wrong, the value, and the remedy.

    Commands print them and end. Names and values in them come from files of strangers: characters
    that would move a terminal's cursor are written as their escapes.
    """

    def __str__(self) -> str:
        """Returns the lines, printable."""
        return "\n".join(printable(str(line)) for line in self.args)


def printable(text: str) -> str:
    """Returns a text on one line, with Python's escapes for characters that are not visible."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def short(value: object, most: int = 200) -> str:
    """Cuts a value's text to what fits into a line, since a damaged file may hold anything."""
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}..."
