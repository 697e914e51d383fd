"""The page of many captures: what it shows, what its policy allows, and sorting in Chromium."""

import base64
import csv
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.capture import overview
from experiments.capture.overview import Outcome, Overview
from experiments.capture.preview import CLIPS, FOLDER, PICTURES
from experiments.report import elements
from experiments.report.drawing import picture
from experiments.report.listening import flac
from experiments.report.running import RunningPage

ESRS = {"b & c": 0.02, "süß": 0.1, "a": 0.003}


def made(folder, esr):
    """Writes what a finished capture leaves for the overview."""
    (folder / FOLDER).mkdir(parents=True)
    result = {"esr": {"nano": esr, "standard": esr / 2}, "linear_esr": 0.5, "minutes": 1.5}
    (folder / "metrics.json").write_text(json.dumps(result | {"warnings": ["<late>"]}))
    (folder / "report.html").write_text("")
    for name in PICTURES.values():
        (folder / FOLDER / name).write_bytes(picture(Figure(figsize=(2.6, 1.0))))
    for name in CLIPS.values():
        (folder / FOLDER / name).write_bytes(flac(np.zeros(4800, np.float32), 48000))


@pytest.fixture
def shown(tmp_path):
    for name, esr in ESRS.items():
        made(tmp_path / name, esr)
    table = Overview(tmp_path)
    for name in ESRS:
        table.note(name, Outcome("finished"))
    table.note("bad", Outcome("refused", "bad.wav: is silent; record it again"))
    table.write()
    return tmp_path


def test_table_and_page_have_all(shown):
    with (shown / "captures.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert [float(rows[name]["esr_standard"]) for name in ESRS] == [0.01, 0.05, 0.0015]
    assert rows["bad"]["reason"] == "bad.wav: is silent; record it again"
    html = (shown / "overview.html").read_text()
    assert "4 captures: 3 finished, 1 refused" in html
    assert "&lt;late&gt;" in html


def test_each_capture_is_read_once(tmp_path, monkeypatch):
    names = [str(i) for i in range(20)]
    for name in names:
        made(tmp_path / name, 0.1)
    read, before = [], overview.read_result
    monkeypatch.setattr(overview, "read_result", lambda p: read.append(p.name) or before(p))
    table = Overview(tmp_path)
    for name in names:
        table.note(name, Outcome("finished"))
        table.write()
    assert read == names


class Used(HTMLParser):
    """Collects the sources and scripts of a page, and its policy."""

    def __init__(self, html):
        super().__init__()
        self.policy, self.sources, self.scripts, self._open = {}, [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self._open = tag == "script"
        if tag in ("img", "audio", "script") and "src" in given:
            self.sources.append((tag, given["src"]))
        if given.get("http-equiv") == "Content-Security-Policy":
            parts = (part.split() for part in given["content"].split(";"))
            self.policy = {name: allowed for name, *allowed in parts}

    def handle_data(self, data):
        if self._open:
            self.scripts.append(data)

    def handle_endtag(self, tag):
        self._open = False


def report(folder):
    html = elements.document("a", ['<img src="data:image/png;base64,AA=="><audio src="data:,">'])
    elements.write_page(folder / "report.html", html)
    return folder / "report.html"


def running(folder):
    RunningPage(folder / "running.html", "a").write(1, 1.0, ['<audio src="data:,"></audio>'])
    return folder / "running.html"


@pytest.mark.parametrize("write", [report, running, lambda folder: folder / "overview.html"])
def test_a_page_uses_nothing_that_its_policy_forbids(shown, write):
    used = Used(write(shown).read_text())
    assert used.policy["default-src"] == ["'none'"]
    assert used.scripts
    for script in used.scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in used.policy["script-src"]
    assert used.sources
    for tag, source in used.sources:
        allowed = used.policy[{"img": "img-src", "audio": "media-src"}[tag]]
        assert ("data:" if source.startswith("data:") else "'self'") in allowed
        assert "//" not in source


def test_a_heading_sorts_and_pictures_and_sounds_load(shown, browser):
    opened, said = browser.new_page(), []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto((shown / "overview.html").as_uri())

    def names():
        return opened.locator(".captures tbody td:first-child strong").all_inner_texts()

    assert names() == [*ESRS, "bad"]
    opened.get_by_role("columnheader", name="ESR nano").click()
    assert names() == ["a", "b & c", "süß", "bad"]
    opened.get_by_role("columnheader", name="ESR nano").press("Enter")
    assert names() == ["süß", "b & c", "a", "bad"]
    opened.wait_for_load_state("networkidle")
    widths = opened.eval_on_selector_all("img", "all => all.map(image => image.naturalWidth)")
    assert len(widths) == 2 * len(ESRS)
    assert all(widths)
    seconds = opened.eval_on_selector_all(
        "audio",
        """all => Promise.all(all.map(audio => new Promise(done => {
          audio.onloadedmetadata = () => done(audio.duration);
          audio.onerror = () => done(0);
          audio.load();
        })))""",
    )
    np.testing.assert_allclose(seconds, 0.1, atol=1e-3)
    assert not re.search("Content Security Policy", " ".join(said))
    assert said == []
