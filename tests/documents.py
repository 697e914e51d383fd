"""Reads the Markdown files of the repository: sections, code, commands, links, tables."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.M | re.S)
SPAN = re.compile(r"`((?:[^`\n]|\n(?!\n))+)`")  # within a paragraph
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#+) (.+)$", re.M)


class Block(NamedTuple):
    """A fenced block: its language, "" for commands, and its text."""

    language: str
    text: str


def pages() -> list[Path]:
    """Returns the README and the pages of docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def linked_pages() -> list[Path]:
    """Returns all Markdown files whose links are held."""
    return [*pages(), *(ROOT / f"{n}.md" for n in ("BUILD_NOTES", "CHANGELOG", "CONTRIBUTING"))]


@cache
def blocks(page: Path) -> list[Block]:
    """Returns the fenced blocks of a page."""
    return [Block(language, text) for _, language, text in FENCE.findall(page.read_text())]


@cache
def prose(page: Path) -> str:
    """Returns a page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def lines(text: str) -> Iterator[str]:
    """Yields the command lines of a block; those that a backslash continues as one."""
    for line in re.sub(r"\\\n *", "", text).splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def spans(page: Path) -> list[str]:
    """Returns the pieces of code in the text of a page, each once."""
    return list(dict.fromkeys(" ".join(span.split()) for span in SPAN.findall(prose(page))))


def words(line: str) -> list[str]:
    """Splits a command line as a shell does."""
    return shlex.split(line, comments=True)


def links(page: Path) -> list[str]:
    """Returns the targets of a page's links and pictures."""
    return LINK.findall(SPAN.sub("", prose(page)))


def anchors(page: Path) -> list[str]:
    """Returns the anchors of a page's headings, as hubs make them."""
    found, seen = [], Counter[str]()
    for _, heading in HEADING.findall(prose(page)):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.append(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def sections(page: Path) -> list[str]:
    """Returns the text of a page from heading to heading, of every level."""
    return re.split(r"^#+ ", FENCE.sub(_kept, page.read_text()), flags=re.M)


def has_results(section: str) -> bool:
    """Returns whether a table of the section is mostly numbers."""
    rows = [line for line in section.splitlines() if line.startswith("|")]
    cells = [c.strip() for row in rows for c in row.strip("|").split("|")[1:] if c.strip(" -")]
    return 2 * sum(bool(re.match(r"[*-]*[\d.]", cell)) for cell in cells) > len(cells)


def _kept(fence: re.Match) -> str:
    """Returns a fenced block without what looks like a heading."""
    return fence[0].replace("\n#", "\n ")
