"""The start of Studio: its token, its address, and the browser."""

import queue
import re
import socket
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from experiments.studio.serving import Options, is_local, names_of, serve
from wf_jax.errors import UserError


@pytest.fixture
def started(monkeypatch):
    """Lets Studio start without serving; yields what it opens and where it would listen."""
    opened, served = queue.Queue(), []
    monkeypatch.setattr("webbrowser.open", opened.put)
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: served.append(sockets[0]))
    yield opened, served
    for listening in served:
        listening.close()


def options(folder: Path, **given: object) -> Options:
    usual = {"host": "127.0.0.1", "port": 0, "limit": 1, "voices": [], "open": True}
    return Options(str(folder), **(usual | given))


def said(capsys) -> str:
    """Returns the address that was printed."""
    return re.search(r"http://\S+", capsys.readouterr().out)[0]


def test_a_token_stays_with_its_folder(tmp_path, started, capsys):
    addresses = []
    for folder in ("a", "a", "b"):
        serve(options(tmp_path / folder, port=0))
        addresses.append(said(capsys).partition("?token=")[2])
    assert addresses[0] == addresses[1] != addresses[2]
    assert len(addresses[0]) >= 32
    file = tmp_path / "a" / "token"
    assert file.stat().st_mode & 0o777 == 0o600
    for spoil in (
        lambda: file.chmod(0o644),
        lambda: file.write_text("short"),
        lambda: file.write_bytes(b"\xff" * 40),
        lambda: file.write_text("two lines\nof a token, which no header holds"),
    ):
        before = file.read_text().strip()
        spoil()
        serve(options(tmp_path / "a"))
        assert said(capsys).partition("?token=")[2] == file.read_text().strip() != before
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_given_token_is_taken(tmp_path, started, capsys):
    serve(options(tmp_path, token="a&b#c d/e=%?+x" * 2))
    address = urlsplit(said(capsys))
    assert parse_qs(address.query)["token"] == ["a&b#c d/e=%?+x" * 2]
    assert not (tmp_path / "token").exists()
    for wrong, why in (("short", "16 or more"), ("é" * 20, "ASCII"), ("a\n" * 20, "ASCII")):
        with pytest.raises(UserError, match=why):
            serve(options(tmp_path, token=wrong))


def test_the_browser_is_opened_for_this_machine_alone(tmp_path, started, capsys):
    opened, served = started
    for host, local in (("127.0.0.1", True), ("127.0.0.2", True), ("localhost", True)):
        assert is_local(host) is local
        serve(options(tmp_path, host=host))
        first, printed = (urlsplit(a) for a in (opened.get(timeout=5), said(capsys)))
        assert first.netloc == printed.netloc
        assert len(first.query) >= len("token=") + 32
        assert first.query != printed.query  # all users of the machine see it
        serve(options(tmp_path, host=host, open=False))
        said(capsys)
    for host in ("0.0.0.0", "::", "192.168.1.2", "studio.example"):
        assert not is_local(host)
    serve(options(tmp_path, host="0.0.0.0"))
    time.sleep(0.1)
    assert opened.empty()
    assert len(served) == 7


def test_names_of_this_machine_are_hosts_where_others_may_ask():
    assert names_of("127.0.0.1") == names_of("127.0.0.2") == names_of("::1") == {"localhost"}
    for host in ("0.0.0.0", "::", "Studio.Example"):
        assert {"localhost", socket.gethostname().lower(), host.lower()} <= names_of(host)


def test_a_browser_that_does_not_return_delays_nothing(tmp_path, started, monkeypatch):
    """One of the terminal returns when it is ended."""
    closed = threading.Event()
    monkeypatch.setattr("webbrowser.open", lambda address: closed.wait(20))
    begun = time.monotonic()
    serve(options(tmp_path))
    assert time.monotonic() - begun < 10
    closed.set()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UserError, match=r"takes the package uvicorn: pip install .*uvicorn"):
        serve(options(tmp_path))
