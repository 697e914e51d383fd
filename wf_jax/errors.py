"""The error for what a user can mend, in one line, and the words for it."""

import errno

_NO_ROOM = "make room, then the same command goes on"
_FORBIDDEN = "change its permissions, or give another folder"
_REMEDIES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: "give another folder",
    errno.EEXIST: "give another folder",
    errno.ENOTDIR: "give another folder",
}


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


def first_line(error: BaseException) -> str:
    """Returns the first line of another library's error, or its kind where it has no words."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def in_one_line(error: BaseException) -> str:
    """Describes any error in one line: with the file, if it is the system's, or with its kind."""
    if isinstance(error, OSError):
        return f"{error.filename}: {why(error)}" if error.filename else why(error)
    said = first_line(error)
    if isinstance(error, MemoryError):
        return "not enough memory; close other programs, or give shorter audio"
    kind = type(error).__name__
    return said if isinstance(error, UserError) or said == kind else f"{kind}: {said}"


def why(error: OSError) -> str:
    """Returns the operating system's message and the remedy, to follow the file's name."""
    said, remedy = error.strerror or first_line(error), _REMEDIES.get(error.errno or 0)
    return f"{said}; {remedy}" if remedy else said
