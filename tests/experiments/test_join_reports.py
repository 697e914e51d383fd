"""One page of several reports, and the refusals."""

import re
from html.parser import HTMLParser

import pytest

from experiments.report import elements
from experiments.report.joining import join, read_report
from experiments.report.listening import listening
from experiments.report.running import RunningPage
from wf_jax.errors import UserError


def write(folder, title, contents):
    folder.mkdir()
    elements.write_page(folder / "report.html", elements.document(title, [contents]))
    return folder


@pytest.fixture
def runs(tmp_path):
    return [
        write(tmp_path / "amp", "amp & <b>", "<section>one</section>"),
        write(tmp_path / "voice", "voice", "<section>two</section>"),
    ]


class Tags(HTMLParser):
    """Counts tags that are opened and not closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.links = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.ids += [value for key, value in attrs if key == "id"]
        self.links += [value for key, value in attrs if key == "href"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_contents_stand_under_each_other_with_links(tmp_path, runs):
    output = tmp_path / "all.html"
    join(runs, output)
    html = output.read_text()
    assert re.search("one.*two", html, re.DOTALL)
    tags = Tags(html)
    assert tags.open == []
    assert tags.links == [f"#{name}" for name in tags.ids]
    assert len(set(tags.ids)) == 2
    assert html.count("<style>") == html.count("<main>") == 1
    assert "<title>amp &amp; &lt;b&gt; · voice</title>" in html


def test_a_page_survives_the_way_through(runs):
    report = read_report(runs[0] / "report.html")
    assert report.title == "amp & <b>"
    expected = "<h1>amp &amp; &lt;b&gt;</h1>\n<section>one</section>"
    assert report.contents == expected


def test_the_joined_page_can_be_joined(tmp_path, runs):
    (tmp_path / "both").mkdir()
    join(runs, tmp_path / "both" / "report.html")
    join([tmp_path / "both"], tmp_path / "all.html")
    assert "one" in (tmp_path / "all.html").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"<html><title>x</title><body><main>mine</main></body></html>", "not a report"),
        (b"\xff\xfe\x00", "not text"),
        (b"", "not a report"),
    ],
)
def test_other_pages_are_one_line(tmp_path, runs, content, message):
    folder = tmp_path / "other"
    folder.mkdir()
    if content is not None:
        (folder / "report.html").write_bytes(content)
    output = tmp_path / "all.html"
    with pytest.raises(UserError, match=message) as error:
        join([*runs, folder], output)
    assert "other" in str(error.value)
    assert "\n" not in str(error.value)
    assert not output.exists()


def test_a_page_of_a_running_training_is_refused(tmp_path, runs):
    page = RunningPage(runs[0] / "report.html", "amp")
    assert page.due()
    page.write(7, 1.5, ["<section>curve</section>"])
    assert not page.due()
    html = (runs[0] / "report.html").read_text()
    assert "step 7 after 1:30" in html
    assert '<noscript><meta http-equiv="refresh" content="15"></noscript>' in html
    with pytest.raises(UserError, match="still trains"):
        join(runs, tmp_path / "all.html")


def test_the_joined_page_has_the_script_once(tmp_path):
    sources = {"target": "data:,a", "model": "data:,b"}
    element = listening(sources, 48000, "target", "guitar")
    folders = [write(tmp_path / name, name, element) for name in ("one", "two")]
    join(folders, tmp_path / "all.html")
    html = (tmp_path / "all.html").read_text()
    assert html.count("<wf-listening") == 2
    assert html.count("<script>") == 1


def test_a_page_cut_short_is_refused(tmp_path, runs):
    page = runs[0] / "report.html"
    page.write_text(page.read_text()[:-20])
    with pytest.raises(UserError, match="not a report"):
        join(runs, tmp_path / "all.html")
