"""Joins the reports of several runs on one page, under each other.

    python -m experiments.join_reports --output=report.html RUN_DIR...

Each RUN_DIR holds the report.html that its training wrote.
"""

import dataclasses
import re
import sys
from collections.abc import Sequence
from html import escape, unescape
from pathlib import Path

from absl import app, flags

from experiments.report import elements
from experiments.terminal.outputs import check_file
from experiments.terminal.start import parse_flags, set_up
from wf_jax.errors import UserError

_OUTPUT = flags.DEFINE_string("output", None, "The page to write")


@dataclasses.dataclass(frozen=True)
class Report:
    """The title and contents of a page that this project wrote.

    Attributes:
        title: plain text.
        contents: HTML between the page's frame.
    """

    title: str
    contents: str


def main(argv: list[str]) -> None:
    """Joins the reports of the named folders."""
    set_up()
    if len(argv) < 2:
        sys.exit("name the folders of one or more runs after the options")
    output = Path(_OUTPUT.value)
    try:
        check_file(output)
        join(output, [Path(folder) for folder in argv[1:]])
    except UserError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{output}: cannot be written: {error.strerror or error}")
    print(f"report: {output}")


def join(output: Path, folders: Sequence[Path]) -> None:
    """Writes one page of the folders' reports, with links to each.

    Raises:
        UserError: a folder has no report, or not one of this project.
        OSError: the page cannot be written.
    """
    reports = [read_report(folder / "report.html") for folder in folders]
    links = "".join(
        f'<a href="#report-{i}">{escape(report.title)}</a>' for i, report in enumerate(reports, 1)
    )
    articles = "\n".join(
        f'<article id="report-{i}">{report.contents}</article>'
        for i, report in enumerate(reports, 1)
    )
    title = " · ".join(report.title for report in reports)
    elements.write_page(output, elements.page(title, f"<nav>{links}</nav>\n{articles}"))


def read_report(path: Path) -> Report:
    """Reads title and contents of a page that this project wrote.

    Raises:
        UserError: no such file, or another kind of page.
    """
    try:
        html = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise UserError(f"{path}: {reason}; name the folder of a finished run") from None
    title = re.search(r"<title>(.*?)</title>", html, re.DOTALL)
    _, begin, rest = html.partition(elements.BEGIN)
    contents, end, after = rest.rpartition(elements.END)
    if not (title and begin and end) or after:
        raise UserError(f"{path}: not a report that a training wrote; run the training again")
    return Report(unescape(title[1]), contents)


if __name__ == "__main__":
    flags.mark_flags_as_required(["output"])
    app.run(main, flags_parser=parse_flags)
