"""The listening element: its HTML, and its behavior in Chromium where Playwright is installed."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile

from experiments.report import elements
from experiments.report.listening import SECONDS, embedded, listening

RATE = 48000
ELEMENT = "document.querySelector('wf-listening')"


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    t = np.arange(3 * RATE) / RATE
    target = 0.4 * np.sin(2 * np.pi * 220 * t) * np.exp(-(t % 1.0))
    return {
        "DI": 0.1 * target,
        "target <b>": target,
        "モデル": target + 0.01 * rng.standard_normal(len(t)),
    }


@pytest.fixture(scope="module")
def html(clips):
    return listening(embedded(clips, RATE), RATE, "target <b>", 'a "guitar"')


def test_without_scripts_it_is_a_player_for_each_version(clips, html):
    assert html.count("<audio controls") == 3
    assert "<figure data-reference><figcaption>target &lt;b&gt;</figcaption>" in html
    assert 'label="a &quot;guitar&quot;"' in html
    for encoded, x in zip(re.findall(r'base64,([^"]+)"', html), clips.values(), strict=True):
        y, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)))
        assert rate == RATE
        np.testing.assert_allclose(y, x, atol=1e-4)


def test_long_clips_are_cut():
    (source,) = embedded({"x": np.zeros(100 * (SECONDS + 5))}, 100).values()
    content = base64.b64decode(source.partition(",")[2])
    assert soundfile.info(io.BytesIO(content)).frames == 100 * SECONDS


# In a browser


@pytest.fixture
def page(browser, html, tmp_path):
    """Opens a file with the element; afterwards, nothing may have been asked for or gone wrong."""
    path, asked, said = tmp_path / "page.html", [], []
    elements.write_page(path, elements.document("a page", [elements.section("Listen", html)]))
    opened = browser.new_page(viewport={"width": 400, "height": 700})
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(path.as_uri())
    opened.wait_for_selector(".listening")
    yield opened
    opened.close()
    assert {url for url in asked if not url.startswith("data:")} == {path.as_uri()}
    assert said == []


def of(page, expression):
    return page.evaluate(f"(e => {expression})({ELEMENT})")


def test_it_shows_versions_and_levels(page, clips):
    assert page.locator("audio:visible").count() == 0
    assert page.get_by_role("button", name="モデル").get_attribute("aria-pressed") == "false"
    chosen = page.get_by_role("button", name="target <b>")
    assert chosen.get_attribute("aria-pressed") == "true"
    level = 10 * np.log10(np.mean(clips["target <b>"] ** 2))
    assert page.locator("output").text_content() == f"target <b>: −{-level:.1f} dB"
    page.get_by_role("button", name="Match levels").click()
    page.get_by_role("button", name="DI", exact=True).click()
    assert page.locator("output").text_content().endswith("turned by +20.0 dB")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("matching", [False, True])
def test_the_difference_is_right_to_the_sample(page, clips, matching):
    of(page, f"e.set({{ chosen: 2, differing: true, matching: {str(matching).lower()} }})")
    rendered, heard = page.evaluate(
        f"""async () => {{
          const e = {ELEMENT}, context = new OfflineAudioContext(1, {RATE}, {RATE});
          e.start(context, 0.5);
          const audio = await context.startRendering();
          return [[...audio.getChannelData(0)], [...e.heard().slice({RATE} / 2, 3 * {RATE} / 2)]];
        }}"""
    )
    _, target, model = (np.round(x * 32768) / 32768 for x in clips.values())
    gain = np.sqrt(np.mean(target**2) / np.mean(model**2)) if matching else 1.0
    expected = (gain * model - target)[RATE // 2 : 3 * RATE // 2]
    np.testing.assert_allclose(rendered, expected, atol=4e-5)  # of 16 bits, rounded in another way
    np.testing.assert_allclose(heard, rendered, atol=1e-6)
    if not matching:
        below = 10 * np.log10(np.mean(target**2) / np.mean((model - target) ** 2))
        assert f"{below:.1f} dB below target" in page.locator("output").text_content()


def test_switching_keeps_the_position(page):
    page.locator(".wave").focus()
    page.keyboard.press("Space")
    page.wait_for_timeout(400)
    before, after = of(page, "[e.position, (e.set({ chosen: 0 }), e.position)]")
    assert before > 0.1
    assert abs(after - before) < 0.02
    page.wait_for_timeout(200)
    gains = of(page, "e.nodes.map(({ gain }) => gain.gain.value)")
    np.testing.assert_allclose(gains, [1, 0, 0], atol=1e-3)
    page.keyboard.press("Space")
    assert of(page, "e.nodes") is None


def test_a_dragged_part_is_looped(page):
    box = page.locator(".wave").bounding_box()
    y = box["y"] + 20
    page.mouse.move(box["x"] + box["width"] / 3, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, y, steps=3)
    page.mouse.up()
    state = of(page, "e.state")
    assert state["looping"]
    assert [state["start"], state["end"]] == pytest.approx([1.0, 1.5], abs=0.02)
    of(page, "e.loop(1, 1.1)")
    page.keyboard.press("Space")
    page.wait_for_timeout(700)
    assert 1 <= of(page, "e.position") < 1.1
    rendered = page.evaluate(
        f"""async () => {{
          const context = new OfflineAudioContext(1, {RATE}, {RATE});
          {ELEMENT}.start(context, 1);
          return [...(await context.startRendering()).getChannelData(0)];
        }}"""
    )
    length = RATE // 10
    np.testing.assert_allclose(rendered[:length], rendered[length : 2 * length], atol=1e-6)
    page.keyboard.press("Escape")
    assert not of(page, "e.state")["looping"]


def test_keys(page):
    page.locator(".wave").focus()
    for key in ("ArrowRight", "Shift+ArrowRight", "3", "m", "d", "l"):
        page.keyboard.press(key)
    state = of(page, "e.state")
    assert of(page, "e.position") == pytest.approx(1.1)
    assert page.locator(".wave").get_attribute("aria-valuenow") == "1.1"
    assert (state["chosen"], state["matching"], state["differing"]) == (2, True, True)
    assert state["looping"]
    page.keyboard.press("End")
    assert of(page, "e.position") == 3


def test_a_page_loaded_again_goes_on_where_it_was(page):
    of(page, "(e.seek(1.25), e.set({ chosen: 2 }))")
    page.reload()
    page.wait_for_selector(".listening")
    assert of(page, "[e.position, e.state.chosen]") == [1.25, 2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.emulate_media(color_scheme=scheme)
    found = axe.Axe().run(page).response["violations"]
    assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
