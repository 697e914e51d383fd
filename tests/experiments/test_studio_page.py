"""Studio's page in a browser, wide and narrow: everything that a person does with it.

Needs the extra `browser`, and Chromium.
"""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("playwright")
pytest.importorskip("axe_playwright_python")

from axe_playwright_python.sync_playwright import Axe
from playwright import sync_api as api

from data_pipeline.synthetic_pair import write_demo_pair
from data_pipeline.synthetic_speech import synthetic_speech
from experiments.report import elements
from tests.amps.nam_examples import EXAMPLES
from tests.amps.slow_nam import play
from tests.experiments.studio_process import PATIENCE, SMALL, studio_process, tiny, until
from wf_jax.amps import load_nam
from wf_jax.flows.model_folder import save_model
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.modules import split

KNOWN = "Größe #1? 100 %"  # a run's folder, and so its id
FIRST = 10_000  # samples that are compared; all of them take minutes to get out of a browser
VOICE = WaveFlowConfig(flows=2, layers=2, channels=4, height=8)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for path in write_demo_pair(folder):
        audio, rate = soundfile.read(path)
        soundfile.write(path, audio[: 25 * rate], rate)
    (folder / "di.wav").rename(folder / "Gitarre süß.wav")
    (folder / "amp.wav").rename(folder / "アンプ.wav")
    (folder / "Año viejo.nam").write_text(json.dumps(EXAMPLES["gated"]()))
    soundfile.write(folder / "l'été.wav", synthetic_speech(0.6), 22050)
    voice = WaveFlow(VOICE, np.random.default_rng(0))
    voice = jax.tree.map(lambda v: np.float32(v + 0.02), voice)
    save_model(folder / "voice", VOICE, split(voice)[1])
    np.save(folder / "mel.npy", np.linspace(-11, 1, 80, dtype=np.float32)[:, None].repeat(9, 1))
    known_run(folder / "studio" / "runs" / KNOWN, files=folder)
    (folder / "studio" / "runs" / "early").mkdir()
    about = {"name": "Zu früh", "stopped": True, "created": 1.0}
    (folder / "studio" / "runs" / "early" / "studio.json").write_text(json.dumps(about))
    return folder


def known_run(folder: Path, files: Path) -> None:
    """Makes the files of a run that was stopped."""
    (folder / "samples").mkdir(parents=True)
    (folder / "config.json").write_text('{"task": "capture", "train.steps": 9}')
    records = [{"step": 2 * n, "minutes": n, "esr/wavenet": 0.1 / n} for n in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in records))
    (folder / "metrics.json").write_text('{"steps": 4, "minutes": 2}')
    shutil.copy(files / "Año viejo.nam", folder / "model.nam")
    for name in ("target", "DI", "wavenet"):
        shutil.copy(files / "l'été.wav", folder / "samples" / f"{name}.wav")
    (folder / "report.html").write_text(elements.page("x", "<h1>Before</h1>", refresh=1))


@pytest.fixture(scope="module")
def address(files):
    with studio_process(files / "studio", f"--voices={files / 'voice'}") as (client, _):
        token = (files / "studio" / "token").read_text().strip()
        yield f"http://127.0.0.1:{client.port}/", token, tiny(client)


@pytest.fixture(params=[(1280, "light"), (400, "dark")], ids=["1280", "400"])
def page(request, browser, address):
    address, token, begin = address
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    # A refusal is told as an error, too.
    page.on(
        "console",
        lambda m: m.type == "error" and "(Bad Request)" not in m.text and faults.append(m.text),
    )
    page.on("request", lambda r: r.url.startswith((address, "blob:")) or faults.append(r.url))
    page.route("**/capture", lambda route: shorten(route, begin))
    page.goto(f"{address}?token={token}")
    assert page.url == address
    yield page
    assert not faults
    context.close()


def shorten(route: "api.Route", begin: str) -> None:
    """Makes trainings small, of a tiny model; the page has no fields for that."""
    if route.request.method != "POST":
        return route.continue_()
    given = route.request.post_data_json | {"init_from": begin}
    given["options"] |= SMALL | {"train.steps": 100_000, "train.minutes": 0}
    return route.continue_(post_data=json.dumps(given))


def look(page: "api.Page") -> None:
    """Fails where the page is wider than the window, or axe finds a serious fault."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    said = [(v["id"], node["html"][:200]) for v in serious for node in v["nodes"]]
    assert not said, said


def heard(page: "api.Page", place: str, version: int) -> np.ndarray:
    """Returns the first samples that the listening element plays of a version."""
    page.wait_for_selector(f"{place} wf-listening .listening")
    element = f"document.querySelector('{place} wf-listening')"
    page.evaluate(f"{element}.set({{ chosen: {version} }})")
    return np.array(page.evaluate(f"Array.from({element}.heard().slice(0, {FIRST}))"), np.float32)


def duration(page: "api.Page", place: str) -> float:
    """Returns the seconds of what is heard."""
    return page.evaluate(f"document.querySelector('{place} wf-listening').duration")


def test_capture_from_upload_to_download(page, files, tmp_path):
    look(page)
    page.set_input_files('[data-drop="input"] input', files / "Gitarre süß.wav")
    page.set_input_files('[data-drop="output"] input', files / "アンプ.wav")
    page.wait_for_selector(".verdict")
    assert "95 samples" in page.text_content("#checks")
    assert page.locator("#checks .plot svg path").count() > 3
    page.fill("[name=name]", "Mein Verstärker")
    page.fill("[name=gear_make]", "ÄÖÜ")
    look(page)
    page.click("#train")

    page.wait_for_selector("#run .curve polyline")
    assert page.text_content("#run h1") == "Mein Verstärker"
    target = heard(page, "#run", 0)
    assert 0.001 < np.sqrt(np.mean(target**2)) < 1
    assert duration(page, "#run") == 6
    page.click("#run .listening button:has-text('Play')")
    position = "document.querySelector('#run wf-listening').position"
    until(lambda: page.evaluate(position) > 0.2)  # the page's policy forbids wait_for_function
    page.click("#run .listening button:has-text('wavenet')")
    assert page.evaluate("document.querySelector('#run wf-listening').nodes !== null")
    page.reload()  # a closed tab ends nothing
    page.wait_for_selector("#run .curve polyline")
    look(page)

    page.click("text=Stop and keep the best")
    page.wait_for_selector("text=stopped, the best is kept")
    with page.expect_download() as download:
        page.click("text=Download .nam")
    assert download.value.suggested_filename == "Mein Verstärker.nam"
    download.value.save_as(tmp_path / "a.nam")
    assert json.loads((tmp_path / "a.nam").read_text())["metadata"]["gear_make"] == "ÄÖÜ"
    load_nam(tmp_path / "a.nam")
    with page.expect_download() as download:
        page.click("text=Download report")
    download.value.save_as(tmp_path / "report.html")
    assert "Gitarre süß.wav" in (tmp_path / "report.html").read_text()
    look(page)

    before = page.text_content("#run .state")
    page.fill("#run .more input", "7")
    page.click("text=Continue for")
    page.wait_for_selector("text=finished")
    assert page.text_content("#run .state") != before
    page.click("text=Delete")
    page.click("dialog >> text=Delete")
    page.click("dialog >> text=Keep it")  # asked twice
    assert page.text_content("#run h1") == "Mein Verstärker"
    page.click("header >> text=Runs")
    page.wait_for_selector("#list article")
    look(page)


def test_play_and_convert(page, files):
    page.click("header >> text=Play")
    page.set_input_files('[data-drop="models"] input', files / "Año viejo.nam")
    page.set_input_files('[data-drop="di"] input', files / "Gitarre süß.wav")
    page.wait_for_selector('[data-drop="di"] .name')
    page.click("#render")
    x, _ = soundfile.read(files / "Gitarre süß.wav", dtype="float32")
    y = heard(page, "#heard", 0)
    expected = play(EXAMPLES["gated"](), x[:4000])
    np.testing.assert_allclose(y[:4000], expected, atol=1e-4)
    np.testing.assert_allclose(heard(page, "#heard", 1), x[:FIRST], atol=1e-4)
    assert duration(page, "#heard") == 25
    page.wait_for_selector("#known pre")
    assert "Año viejo.nam: WaveNet" in page.text_content("#known")
    look(page)
    page.click("text=Convert to A2 in")
    page.wait_for_selector("#run pre:has-text('step 1')", state="attached")
    assert page.text_content("#run h1") == "Año viejo A2"
    page.click("text=Stop and keep the best")
    page.wait_for_selector("text=stopped, the best is kept")
    page.click("#run a:has-text('Play it')")
    page.wait_for_selector("#choice :checked")


def test_speak(page, files):
    page.click("header >> text=Voice")
    page.wait_for_selector("option:has-text('voice')", state="attached")
    page.set_input_files('[data-drop="speech"] input', files / "l'été.wav")
    page.wait_for_selector('[data-drop="speech"] .name')
    page.click("#speak button.main")
    spoken, original = heard(page, "#spoken", 0), heard(page, "#spoken", 1)
    x, _ = soundfile.read(files / "l'été.wav", dtype="float32")
    assert duration(page, "#spoken") == len(x) / 22050
    assert np.sqrt(np.mean(spoken**2)) > 1e-4
    np.testing.assert_allclose(original, x[:FIRST], atol=1e-4)
    assert not page.locator("#spoken .doubt").count()
    look(page)


def test_a_doubtful_mel_is_spoken_with_a_note(page, files):
    page.click("header >> text=Voice")
    page.set_input_files('[data-drop="speech"] input', files / "mel.npy")
    page.wait_for_selector('[data-drop="speech"] .name')
    page.click("#speak button.main")
    page.wait_for_selector("#spoken .doubt")
    assert "upper bands are louder" in page.text_content("#spoken .doubt")
    look(page)


def test_ids_of_any_signs(page, address):
    page.click("header >> text=Runs")
    page.click(f"#list a:text-is('{KNOWN}')")
    page.wait_for_selector("#run .curve polyline")
    assert page.text_content("#run h1") == KNOWN
    assert "stopped, the best is kept" in page.text_content("#run .state")
    heard(page, "#run", 0)
    with page.expect_download() as download:
        page.click("#run >> text=Download .nam")
    assert download.value.path().read_text() == json.dumps(EXAMPLES["gated"]())
    page.reload()
    page.wait_for_selector("#run .curve polyline")
    page.click("#run a:has-text('Play it')")
    page.wait_for_selector("#choice :checked")
    assert page.locator("#choice :checked").count() == 1
    page.goto(f"{address[0]}#run/%")  # typed by a person, and nothing
    page.wait_for_selector("#capture:not([hidden])")


def test_a_report_loads_itself_again(page, files):
    """Also out of its sandbox, which has no origin."""
    path = files / "studio" / "runs" / KNOWN / "report.html"
    page.click("header >> text=Runs")
    page.click(f"#list a:text-is('{KNOWN}')")
    with page.context.expect_page() as opened:
        page.click("#run a:has-text('Open report')")
    report = opened.value
    report.wait_for_selector("h1:has-text('Before')")
    path.write_text(path.read_text().replace("Before", "After"))
    report.wait_for_selector("h1:has-text('After')")
    path.write_text(path.read_text().replace("After", "Before"))


def test_a_run_without_a_model_says_so(page):
    page.click("header >> text=Runs")
    page.wait_for_selector("article:has-text('Zu früh')")
    assert "stopped before its first evaluation" in page.text_content("article:has-text('Zu früh')")
    assert "stopped, the best is kept" in page.text_content(f"article:has-text('{KNOWN}')")


def test_the_list_of_runs_follows_one_that_trains(page):
    state = {"state": "running", "step": 100}

    def answer(route):
        found = route.fetch().json()
        run = next(run for run in found["runs"] if run["id"] == KNOWN)
        route.fulfill(json={"runs": [run | state, *(r for r in found["runs"] if r is not run)]})

    page.route("**/capture", answer)
    page.click("header >> text=Runs")
    card = page.locator(f"article:has-text('{KNOWN}')")
    card.locator("text=100 steps").wait_for()
    card.locator("text=Stop and keep the best").focus()
    state["step"] = 200
    card.locator("text=200 steps").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Stop and keep the best"
    state["state"] = "stopped"
    card.locator("text=Continue for").wait_for()


def test_files_are_listed_and_deleted(page, files):
    page.set_input_files('[data-drop="input"] input', files / "Gitarre süß.wav")
    page.wait_for_selector('[data-drop="input"] .name')
    page.click("header >> text=Runs")
    rows = page.locator("#files li:has-text('Gitarre süß.wav')")
    rows.first.wait_for()
    look(page)
    before = rows.count()
    assert "25 s, 2.4 MB" in rows.first.text_content()
    rows.first.get_by_text("Delete").click()
    page.click("dialog >> text=Keep it")
    assert rows.count() == before
    rows.first.get_by_text("Delete").click()
    page.click("dialog >> text=Delete >> nth=-1")
    until(lambda: rows.count() == before - 1)


def test_mistakes_are_said_and_programs_are_described(page, address, tmp_path):
    (tmp_path / "kaputt.wav").write_bytes(b"RIFF")
    page.set_input_files('[data-drop="input"] input', tmp_path / "kaputt.wav")
    page.wait_for_selector("#problem:not([hidden])")
    assert page.text_content("#problem").startswith("kaputt.wav")
    look(page)
    page.goto(f"{address[0]}api")
    page.wait_for_selector("text=POST /render")
    look(page)
