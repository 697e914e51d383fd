"""Studio's sounds: what it plays, and many requests at once."""

import io
import json
import re
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from experiments.studio import sounds
from experiments.studio.turns import MOST_WAITING
from tests.amps.nam_examples import EXAMPLES
from tests.amps.slow_nam import play
from tests.experiments.studio_server import NAM, NAMES, X, error, wav
from wf_jax.errors import UserError


def heard(content: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(content), dtype="float32")[0]


def test_render_plays_what_is_sent_and_what_is_kept(studio, folder):
    status, headers, content = studio.form(
        "/render", model=("größe.nam", NAM), input=("x.wav", wav(X))
    )
    assert (status, headers["content-type"]) == (200, "audio/wav")
    y, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    assert rate == 48000
    np.testing.assert_allclose(y, play(EXAMPLES["gated"](), X), atol=2e-6)
    model, source = studio.send("a.nam", NAM), studio.send("ü.wav", wav(X))
    count = len([*(folder / "files").iterdir()])
    assert (
        studio.form("/render", model=model["id"], input=source["id"])[2][-4 * len(X) :]
        == content[-4 * len(X) :]
    )
    assert len([*(folder / "files").iterdir()]) == count  # what came with a form is not kept
    lines = json.loads(studio.form("/inspect", model=model["id"])[2])["lines"]
    assert lines[0].startswith("a.nam: WaveNet")
    assert not re.search("[0-9a-f]{16}", "".join(lines))


def test_render_says_what_is_wrong(studio):
    stereo = json.dumps(EXAMPLES["channels_2_in_3_out"]()).encode()
    files = {"model": ("zwei.nam", stereo), "input": ("x.wav", wav(X))}
    assert error(studio.form("/render", **files)).startswith("zwei.nam: 2 inputs and 3 outputs")
    assert "model: missing" in error(studio.form("/render", input=("x.wav", wav(X))))
    for slim in ("2", "nan", "x", "-1"):
        assert "from 0 to 1" in error(studio.form("/render", **files, slim=slim))
    two = wav(np.stack([X, X], axis=1))
    files = {"model": ("a.nam", NAM), "input": ("Zwei Kanäle.wav", two)}
    assert error(studio.form("/render", **files)).startswith("Zwei Kanäle.wav")


@pytest.fixture
def fifty():
    """Runs a function of a number fifty times, all at one moment."""
    ready = threading.Barrier(50)

    def together(one: Callable[[int], bool]) -> bool:
        def started(number: int) -> bool:
            ready.wait(60)
            return one(number)

        with ThreadPoolExecutor(50) as pool:
            return all(pool.map(started, range(50)))

    return together


def test_fifty_requests_at_once(studio, fifty):
    def one(number: int) -> bool:
        if number % 5 < 2:
            own = wav(np.full(100 + number, 0.5, np.float32))
            kept = studio.send(NAMES[number % 4], own)["id"]
            return studio.ask("GET", f"/files/{kept}")[2] == own
        return studio.ask("GET", ("/", "/files", "/capture")[number % 5 - 2])[0] == 200

    assert fifty(one)


def test_fifty_sounds_at_once(studio, fifty, folder):
    """Each is right, or told to come again."""
    model, source = studio.send("a.nam", NAM), studio.send("x.wav", wav(X))
    expected = heard(studio.form("/render", model=model["id"], input=source["id"])[2])
    before, done = {*(folder / "files").iterdir()}, []

    def one(number: int) -> bool:
        status, headers, wet = studio.form("/render", model=model["id"], input=("x.wav", wav(X)))
        if status == 503:
            return int(headers["retry-after"]) > 0
        done.append(number)
        return np.array_equal(heard(wet), expected)

    assert fifty(one)
    assert done
    assert {*(folder / "files").iterdir()} == before


def test_waiting_sounds_keep_nobody_from_the_rest(studio, fifty, monkeypatch):
    """One is computed and some wait, in no thread that other requests need."""
    model, source = studio.send("a.nam", NAM)["id"], studio.send("x.wav", wav(X))["id"]
    begun, go_on, render = threading.Event(), threading.Event(), sounds.render

    def slow(*given: object) -> object:
        begun.set()
        assert go_on.wait(60)
        return render(*given)

    monkeypatch.setattr(sounds, "render", slow)
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(studio.form, "/render", model=model, input=source) for _ in range(50)]
        try:
            assert begun.wait(20)
            busy = [
                future.result()[0] for future in islice(as_completed(asked, 20), 49 - MOST_WAITING)
            ]
            assert {*busy} == {503}
            assert "ask again" in error(studio.form("/render", model=model, input=source), 503)
            assert fifty(lambda number: studio.ask("GET", "/files")[0] == 200)
        finally:
            go_on.set()
    assert sorted(future.result()[0] for future in asked) == [200] * (1 + MOST_WAITING) + busy


@pytest.mark.parametrize(
    ("verb", "path", "slow"),
    [
        ("GET", "/files", "files.Files.__iter__"),
        ("GET", "/files/0123456789abcdef", "files.Files.__getitem__"),
        ("DELETE", "/files/0123456789abcdef", "files.Files.__getitem__"),
        ("POST", "/files?name=a.nam", "files._facts"),
        ("POST", "/check", "files.Files.__getitem__"),
        ("GET", "/voices", "jobs.Jobs.all"),
        ("GET", "/capture", "jobs.Jobs.all"),
        ("POST", "/capture", "run_requests.capture_flags"),
        *((verb, "/capture/x", "jobs.Jobs.folder") for verb in ("GET", "DELETE")),
        *(("POST", f"/capture/x/{act}", "jobs.Jobs.folder") for act in ("stop", "continue")),
        *(("GET", f"/capture/x/{at}", "jobs.Jobs.folder") for at in ("model.nam", "samples/x")),
    ],
)
def test_a_slow_disk_delays_nobody_else(studio, monkeypatch, verb, path, slow):
    begun, go_on = threading.Event(), threading.Event()

    def wait(*given: object) -> object:
        begun.set()
        assert go_on.wait(60)
        raise UserError("slow")

    monkeypatch.setattr(f"experiments.studio.{slow}", wait)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(studio.ask, verb, path, "{}" if verb == "POST" else None)
        try:
            assert begun.wait(20)
            assert pool.submit(studio.ask, "GET", "/").result(20)[0] == 200
        finally:
            go_on.set()
        assert error(first.result(20)) == "slow"


def test_a_sound_leaves_nothing_behind(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    status, headers, wet = studio.form("/render", model=("a.nam", NAM), input=("x.wav", wav(X)))
    assert (status, int(headers["content-length"])) == (200, len(wet))
    assert not [*tmp_path.iterdir()]
