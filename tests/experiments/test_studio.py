"""Studio's HTTP interface: what it takes, what it refuses, and that it stays in its folder."""

import json
import re
from html import escape
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from experiments.run.lock import FolderLock
from experiments.studio.captures import CONFIG
from experiments.studio.files import KINDS, shown_name
from experiments.studio.pages import STATIC
from experiments.studio.server import make_app
from experiments.terminal.config_names import load_config
from tests.experiments.studio_server import (
    LOCAL,
    NAM,
    NAMES,
    ONCE,
    TOKEN,
    Client,
    X,
    error,
    serving,
    wav,
)
from wf_jax.options import Text, describe_options


def test_the_page_asks_for_nothing_outside(studio):
    status, headers, _ = studio.ask("GET", "/")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    for path in (*STATIC.iterdir(), Path("style.css"), Path("listening.js")):
        status, _, content = studio.ask("GET", f"/{path.name}")
        assert status == 200, path
        outside = re.findall(rb"""(?:https?:)?//[a-z][\w.]*\.[a-z]+""", content)
        assert not [found for found in outside if b"w3.org" not in found], path


def test_openapi_describes_every_address(studio, tmp_path):
    described = json.loads(studio.ask("GET", "/openapi.json")[2])
    app = make_app(tmp_path, token=TOKEN, once=ONCE, limit=1, voices=[], hosts=LOCAL)
    found = {(verb, route.path) for route in app.routes for verb in route.methods - {"HEAD"}}
    static = {f"/{path.name}" for path in STATIC.iterdir()} | {"/", "/api", "/style.css"}
    expected = {(v, p) for v, p in found if p not in static | {"/listening.js"}}
    paths = described["paths"]
    assert {(v.upper(), p) for p, verbs in paths.items() for v in verbs} == expected
    used = set(re.findall(r'#/components/schemas/(\w+)"', json.dumps(described)))
    assert described["security"] == [{"token": []}]
    assert used == set(described["components"]["schemas"])


# Who may ask


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_another_name_of_this_machine_is_refused(studio, host):
    assert "use the printed address" in error(studio.ask("GET", "/files", Host=host), 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "iframe"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document", "Origin": "null"},
    ],
)
@pytest.mark.parametrize(("verb", "path"), [("GET", "/files"), ("POST", "/capture")])
def test_pages_of_other_sites_are_refused(studio, headers, verb, path):
    assert "another site" in error(studio.ask(verb, path, **headers), 403)


def test_the_page_itself_may_ask(studio):
    own = {"Origin": f"http://127.0.0.1:{studio.port}", "Sec_Fetch_Site": "same-origin"}
    assert studio.ask("GET", "/files", **own)[0] == 200
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document"}
    assert studio.ask("GET", "/", **link)[0] == 200
    assert "another site" in error(studio.ask("POST", "/", **link), 403)


WRONG = ("Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}")


@pytest.fixture(scope="module")
def stranger(studio):
    """Asks without the token, as another user of this machine would."""
    return Client(studio.port)


@pytest.mark.parametrize("path", ["/", "/api", "/openapi.json", "/studio.js", "/files", "/capture"])
def test_every_request_needs_the_token(stranger, path):
    assert "token" in error(stranger.ask("GET", path), 401)
    for wrong in WRONG:
        assert "token" in error(stranger.ask("GET", path, Authorization=wrong), 401)
    for wrong in ("", "no", TOKEN.upper()):
        assert stranger.ask("GET", f"{path}?token={quote(wrong)}")[0] == 401
        assert stranger.ask("GET", path, Cookie=f"studio-{stranger.port}={wrong}")[0] == 401
    assert stranger.ask("GET", path, Authorization=f"Bearer {TOKEN}")[0] == 200


def test_the_first_word_is_good_for_one_visit(stranger):
    assert stranger.ask("GET", "/files", Authorization=f"Bearer {ONCE}")[0] == 401
    assert stranger.ask("GET", f"/files?token={quote(ONCE)}")[0] == 401
    status, headers, _ = stranger.ask("GET", f"/?token={quote(ONCE)}")
    assert (status, headers["location"]) == (303, "/")
    assert stranger.ask("GET", "/", Cookie=headers["set-cookie"].partition(";")[0])[0] == 200
    assert stranger.ask("GET", f"/?token={quote(ONCE)}")[0] == 401


def test_only_the_page_takes_the_token_from_its_address(stranger):
    assert stranger.ask("GET", f"/files?token={quote(TOKEN)}")[0] == 401
    assert stranger.ask("POST", f"/?token={quote(TOKEN)}")[0] == 401


@pytest.mark.parametrize(
    "others", ["", "a=b; ", 'damaged[@]="x; ', "studio-1=another Studio's; ", "=; ;; "]
)
def test_the_browser_keeps_the_token(stranger, others):
    """Also beside cookies of other ports, which are sent to this one, damaged ones too."""
    status, headers, _ = stranger.ask("GET", f"/?token={quote(TOKEN)}")
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert int(re.search(r"Max-Age=(\d+)", cookie)[1]) > 1e7  # after the browser is closed, too
    kept = cookie.partition(";")[0]
    assert str(stranger.port) in kept
    assert stranger.ask("GET", "/files", Cookie=others + kept)[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "[::1]", "192.168.7.7", "localhost"])
def test_addresses_and_the_name_of_this_machine_are_hosts(studio, host):
    """A name of another site can stand for this machine; an address only for itself."""
    assert studio.ask("GET", "/files", Host=host)[0] == 200
    assert studio.ask("GET", "/files", Host=f"{host}:80")[0] == 200


# Files


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_languages_are_kept_as_text(studio, name):
    kept = studio.send(name, wav(X))
    assert kept["name"] == name
    assert (kept["seconds"], kept["sample_rate"], kept["channels"]) == (3000 / 48000, 48000, 1)
    status, headers, content = studio.ask("GET", f"/files/{kept['id']}")
    assert (status, content) == (200, wav(X))
    assert quote(name, safe="!'.") in headers["content-disposition"].replace("%21", "!").replace(
        "%27", "'"
    )
    assert name in json.dumps(studio.json("GET", "/files")[1], ensure_ascii=False)


@pytest.mark.parametrize(
    "name", ["../../x.wav", "/etc/x.wav", "..\\..\\x.wav", "a/../../x.wav", "\0../x.wav", "x\n.wav"]
)
def test_names_never_become_paths(studio, folder, name):
    before = {*folder.parent.rglob("*")}
    kept = studio.send(name, wav(X))
    assert not set("/\\\n\0") & set(kept["name"])
    new = {*folder.parent.rglob("*")} - before
    assert {path.name for path in new} == {kept["id"], f"{kept['id']}.wav", "about.json"}
    assert studio.ask("DELETE", f"/files/{kept['id']}")[0] == 200
    assert {*folder.parent.rglob("*")} == before


@pytest.mark.parametrize(
    "path", ["..", "../files", "%2e%2e", "..%2f..%2fsecret", "....//", "%00", "."]
)
@pytest.mark.parametrize("place", ["/files/{}", "/capture/{}", "/capture/{}/model.nam", "/{}"])
def test_nothing_outside_is_read(studio, folder, path, place):
    (folder.parent / "secret").write_text("nobody may read this")
    for verb in ("GET", "DELETE"):
        status, _, content = studio.ask(verb, place.format(path))
        assert status >= 400 or path in ("..", "%2e%2e", ".", "....//"), (status, content)
        assert b"nobody may read this" not in content
    assert (folder.parent / "secret").exists()
    assert (folder / "files").is_dir()


def test_ids_are_not_paths_in_requests_either(studio):
    for id in ("../secret", "/etc/passwd", "..", "", 7, None, ["x"], {"a": 1}, "0" * 16, "\udc80"):
        status, said = studio.json("POST", "/check", {"input": id, "output": id})
        assert (status, list(said)) == (400, ["error"]), id
    for id in ("../secret", "/etc/passwd", ".."):
        assert "no file of this id" in error(studio.form("/render", model=id, input=id))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("broken ñ.wav", wav(X)[:500], "broken ñ.wav"),
        ("empty.wav", b"", "empty.wav"),
        ("text.wav", b"hello, this is text" * 9, "text.wav"),
        ("größe.nam", b'{"architecture": "WaveNet"', "größe.nam"),
        ("deep.nam", b"[" * 100_000, "deep.nam"),
        ("other.exe", b"MZ", "give a sound"),
        ("", b"x", "give a sound"),
        ("song.mp3", b"ID3", "give a sound"),
    ],
)
def test_damaged_files_are_refused_by_their_names(studio, folder, name, content, said):
    before = {*folder.rglob("*")}
    line = error(studio.ask("POST", f"/files?name={quote(name)}", content))
    assert said in line
    assert str(folder) not in line
    assert not re.search("[0-9a-f]{16}", line)
    assert {*folder.rglob("*")} == before


def test_too_much_is_refused_and_not_kept(tmp_path):
    with serving(tmp_path, limit=100_000) as client:
        large = wav(np.zeros(100_000, np.float32))
        assert "--limit" in error(client.ask("POST", "/files?name=a.wav", large), 413)
        pieces = (large[i : i + 5000] for i in range(0, len(large), 5000))  # sent without a length
        assert "--limit" in error(client.ask("POST", "/files?name=a.wav", pieces), 413)
        assert "--limit" in error(client.form("/render", model=("a.nam", large), input="x"), 413)
        assert not [*(tmp_path / "files").iterdir()]
        assert client.ask("POST", "/files?name=a.wav", Content_Length="-1")[0] == 400
        assert client.send("small.wav", wav(X))["kind"] == "sound"


@pytest.mark.parametrize("body", ["[]", "{", "nothing", '"x"', "[" * 50_000, "1e999", "\x00"])
def test_damaged_json_is_refused(studio, body):
    for path in ("/check", "/capture"):
        assert "JSON" in error(studio.ask("POST", path, body))


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=x", "text/x"]
)
def test_damaged_forms_are_refused(studio, kind):
    for body in (b"", b"--x\r\nnonsense", b"--y--"):
        said = error(studio.ask("POST", "/render", body, Content_Type=kind))
        assert "form" in said or "missing" in said


def test_unknown_addresses_say_where_to_look(studio):
    assert "/api" in error(studio.ask("GET", "/nothing"), 404)
    assert "/api" in error(studio.ask("PUT", "/files"), 405)


@pytest.mark.parametrize("suffix", KINDS)
def test_shown_names_are_short_and_printable(suffix):
    name = shown_name(f"/x/{'長' * 500}\u202e\x1b[2J{suffix}")
    assert name.endswith(suffix)
    assert len(name) <= 200
    assert name.isprintable()


def test_files_are_listed_with_their_sizes_and_deleted(tmp_path):
    with serving(tmp_path) as client:
        for name in ("älter.wav", "neuer.nam"):
            client.send(name, wav(X) if name.endswith("wav") else NAM)
        listed = client.json("GET", "/files")[1]["files"]
        assert [file["name"] for file in listed] == ["neuer.nam", "älter.wav"]
        assert [file["size"] for file in listed] == [len(NAM), len(wav(X))]
        for file in listed:
            assert client.ask("DELETE", f"/files/{file['id']}")[0] == 200
        assert client.json("GET", "/files")[1] == {"files": []}
    assert not [*(tmp_path / "files").iterdir()]


def test_files_that_a_killed_server_was_being_sent_are_removed(tmp_path):
    with serving(tmp_path) as client:
        kept = client.send("a.wav", wav(X))["id"]
    cut = tmp_path / "files" / ("0" * 16)
    cut.mkdir()
    (cut / f"{cut.name}.wav").write_bytes(wav(X)[:99])
    (tmp_path / "files" / "of mine").mkdir()
    with serving(tmp_path) as client:
        assert [file["id"] for file in client.json("GET", "/files")[1]["files"]] == [kept]
    assert {path.name for path in (tmp_path / "files").iterdir()} == {kept, "of mine"}


@pytest.mark.parametrize("about", ["{", "[]", "{}", '{"name": 1, "kind": [], "facts": {}}'])
def test_a_damaged_file_hides_no_other(tmp_path, about):
    with serving(tmp_path) as client:
        kept, other = client.send("a.wav", wav(X))["id"], client.send("b.wav", wav(X))["id"]
        (tmp_path / "files" / other / "about.json").write_text(about)
        assert [file["id"] for file in client.json("GET", "/files")[1]["files"]] == [kept]
        assert "no file of this id" in error(client.ask("GET", f"/files/{other}"))


@pytest.mark.parametrize("place", ["studio.json", "config.json"])
def test_files_of_a_training_that_waits_or_trains_stay(tmp_path, place):
    with serving(tmp_path) as client:
        id = client.send("süß.wav", wav(X))["id"]
        folder = tmp_path / "runs" / "mine"
        folder.mkdir()
        lock = FolderLock(folder)
        given = {"task": "capture", "data.input": f"{tmp_path}/files/{id}/{id}.wav", "name": "Ü"}
        (folder / "config.json").write_text('{"task": "capture"}')
        (folder / place).write_text(json.dumps(given))
        said = error(client.ask("DELETE", f"/files/{id}"))
        assert said.startswith("süß.wav: the training")
        assert client.ask("GET", f"/files/{id}")[0] == 200
        lock.release()
        assert client.ask("DELETE", f"/files/{id}")[0] == 200


# Captures


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({}, "data.input is missing"),
        ({"input": "demo", "options": {"train.minuts": 1}}, "no such option"),
        (
            {"input": "demo", "options": {"train.minutes": "1"}},
            "train.minutes=1: give a value like",
        ),
        ({"input": "demo", "options": {"train.minutes": -1}}, "train.minutes=-1"),
        ({"input": "demo", "options": {"train": {}}}, "no such option"),
        ({"input": "demo", "options": {"__class__": 1}}, "no such option"),
        ({"input": "demo", "options": {"model.sizes": ["huge"]}}, "huge"),
        ({"input": "demo", "options": []}, "options: give an object"),
        ({"input": "demo", "options": "x"}, "options: give an object"),
        ({"input": "../x", "output": "y"}, "no file of this id"),
        ({"input": "demo", "options": {"metadata.tone_type": "süß"}}, "süß"),
    ],
)
def test_a_capture_that_cannot_be_trained_is_refused_at_once(studio, folder, request_, said):
    status, answer = studio.json("POST", "/capture", request_)
    assert status == 400
    assert said in answer["error"]
    assert not [*(folder / "runs").iterdir()]


CLOSED = [
    option.name
    for option in describe_options(load_config(CONFIG))
    if isinstance(option.rule, Text) and not option.name.startswith("metadata.")
]


@pytest.mark.parametrize("option", sorted({*CLOSED, "task"} - {"data.repair"}))
def test_no_option_is_a_path(studio, folder, option):
    """Any text may be a path, except metadata and the words of data.repair."""
    options = {option: "/etc/passwd"}
    status, said = studio.json("POST", "/capture", {"input": "demo", "options": options})
    assert status == 400
    assert said["error"].startswith(f"{option}: not for a request")
    assert not [*(folder / "runs").iterdir()]


def test_repairs_are_words(studio):
    given = {"teacher": studio.send("a.nam", NAM)["id"], "options": {"data.repair": "/etc/passwd"}}
    status, said = studio.json("POST", "/capture", given)
    assert (status, "data.repair=/etc/passwd" in said["error"]) == (400, True), said


def test_files_of_another_kind_are_refused(studio):
    model, sound = studio.send("a.nam", NAM)["id"], studio.send("x.wav", wav(X))["id"]
    status, said = studio.json("POST", "/capture", {"input": model, "output": sound})
    assert (status, said["error"].startswith("a.nam: a model")) == (400, True)
    status, said = studio.json("POST", "/capture", {"teacher": sound})
    assert (status, said["error"].startswith("x.wav: a sound")) == (400, True)


def test_a_run_of_the_terminal_is_seen_and_deleted(tmp_path):
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "config.json").write_text('{"task": "capture", "train.steps": 8}')
    records = [{"step": n, "minutes": n / 9, "esr/nano": 1 / n} for n in (2, 4)]
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in records))
    with serving(tmp_path) as client:
        _, state = client.json("GET", "/capture/mine")
        assert (state["state"], state["step"], state["total_steps"]) == ("interrupted", 4, 8)
        assert (state["records"], state["best"]) == (records, {"esr/nano": 0.25})
        assert "nothing to stop" in client.json("POST", "/capture/mine/stop")[1]["error"]
        assert "no model.nam yet" in client.json("GET", "/capture/mine/model.nam")[1]["error"]
        (run / "report.html").write_text("<p>süß</p>")
        _, headers, page = client.ask("GET", "/capture/mine/report.html")
        assert page.decode() == "<p>süß</p>"
        assert headers["content-security-policy"].startswith("sandbox allow-scripts")
        assert client.ask("GET", "/capture/mine/config.json")[0] == 400
        assert [run["id"] for run in client.json("GET", "/capture")[1]["runs"]] == ["mine"]
        assert client.ask("DELETE", "/capture/mine")[0] == 200
        assert client.json("GET", "/capture/mine")[0] == 400
    assert not [*(tmp_path / "runs").iterdir()]


def test_a_report_shows_names_as_text(tmp_path):
    """Of a folder and of a file whose names hold the signs of HTML."""
    run = tmp_path / "R&B" / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "config.json").write_text('{"task": "capture"}')
    with serving(tmp_path / "R&B") as client:
        id = client.send("<b>Q&A.wav", wav(X))["id"]
        path = tmp_path / "R&B" / "files" / id / f"{id}.wav"
        (run / "report.html").write_text(f"<p>{escape(f'{path} {id} {run}')}</p>")
        page = client.ask("GET", "/capture/mine/report.html")[2].decode()
    assert page == "<p>&lt;b&gt;Q&amp;A.wav &lt;b&gt;Q&amp;A runs/mine</p>"


@pytest.mark.parametrize(
    ("name", "file"),
    [("Plexi 1.5", "Plexi 1.5.nam"), ("Plexi.nam", "Plexi.nam"), ("AC/30", "AC-30.nam")],
)
def test_a_model_is_downloaded_under_the_name_of_its_run(tmp_path, name, file):
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"task": "capture", "metadata.name": name}))
    (run / "model.nam").write_bytes(NAM)
    with serving(tmp_path) as client:
        _, headers, content = client.ask("GET", "/capture/mine/model.nam")
    assert content == NAM
    assert file in unquote(headers["content-disposition"])


def test_a_run_is_continued_for_minutes_or_for_steps(studio):
    status, said = studio.json("POST", "/capture/x/continue", {"minutes": 1, "steps": 2})
    assert (status, said["error"]) == (400, "minutes=1 and steps=2 exclude each other; give one")
