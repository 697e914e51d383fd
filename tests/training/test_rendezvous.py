"""Processes find each other, and learn who is missing."""

import socket
import threading
import time

import pytest

from wf_jax.training import rendezvous


@pytest.fixture
def port():
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def start(port, count, index, seconds=20.0):
    """Starts a process in a thread; returns its output and its end."""
    said, ended = [], []

    def run():
        try:
            rendezvous.gather("localhost", port, count, index, seconds, said.append)
            ended.append(None)
        except (OSError, TimeoutError) as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, said, ended


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_all_go_on_when_the_last_has_come(port, order):
    started = []
    for index in order:
        assert all(thread.is_alive() for thread, _, _ in started)
        started.append(start(port, 3, index))
        time.sleep(0.3)
    for thread, _, ended in started:
        thread.join(10)
        assert ended == [None]
    with socket.create_server(("", port)):  # free again
        pass


def test_who_is_missing_is_said_within_seconds(port, monkeypatch):
    monkeypatch.setattr(rendezvous, "SAID_SECONDS", 0.3)
    started = [start(port, 4, index, seconds=2.0) for index in (0, 2)]
    with socket.create_connection(("localhost", port), 5.0) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n")
    for thread, _, _ in started:
        thread.join(10)
    (_, said, ended), (_, others_said, others_ended) = started
    assert said[-1] == "waiting for processes 1, 3 of this run's 4"
    assert str(ended[0]) == "processes 1, 3 did not come"
    assert others_said[-1] == "waiting for others of this run"
    assert isinstance(others_ended[0], TimeoutError)


def test_a_long_wait_is_said(monkeypatch, capsys):
    monkeypatch.setattr(rendezvous, "SAID_SECONDS", 0.05)
    with rendezvous.saying("waiting for the cluster"):
        time.sleep(0.3)
    lines = capsys.readouterr().err.splitlines()
    assert set(lines) == {"waiting for the cluster"}
    with rendezvous.saying("nothing"):
        pass
    time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_process_0_is_not_there(port, monkeypatch):
    monkeypatch.setattr(rendezvous, "SAID_SECONDS", 0.3)
    thread, said, ended = start(port, 2, 1, seconds=1.5)
    thread.join(10)
    assert said[0] == f"waiting for process 0 at localhost:{port}"
    assert str(ended[0]) == f"process 0 at localhost:{port} is not there"
