"""Joins the reports of several runs on one page, with links to each."""

import re
from collections.abc import Sequence
from html import escape, unescape
from pathlib import Path
from typing import NamedTuple

from experiments.report import elements
from experiments.terminal.outputs import check_file
from wf_jax.errors import UserError


class Report(NamedTuple):
    """The title of a page that this project wrote, and the HTML between its frame."""

    title: str
    contents: str


def join(names: Sequence[str], output: str) -> None:
    """Writes one page of the folders' reports, with links to each.

    Raises:
        UserError: a folder has no report, or not one of this project; or none is named.
    """
    if not names:
        raise UserError("name the folders of one or more runs after the options")
    check_file(Path(output))
    reports = [read_report(Path(name, "report.html")) for name in names]
    links = "".join(
        f'<a href="#report-{i}">{escape(report.title)}</a>' for i, report in enumerate(reports, 1)
    )
    articles = "\n".join(
        f'<article id="report-{i}">{report.contents}</article>'
        for i, report in enumerate(reports, 1)
    )
    title = " · ".join(report.title for report in reports)
    elements.write_page(Path(output), elements.page(title, f"<nav>{links}</nav>\n{articles}"))
    print(f"report: {output}")


def read_report(path: Path) -> Report:
    """Reads title and contents of a page that this project wrote.

    Raises:
        UserError: no such file, another kind of page, or the run still trains.
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
    if elements.is_running(html):
        raise UserError(f"{path}: the run still trains; wait for its report")
    return Report(unescape(title[1]), contents)
