"""Signals while the main thread is busy outside of Python, as it is when XLA compiles."""

import signal
import subprocess
import sys
import time

import pytest

BUSY = """
import hashlib
from wf_jax.training.signals import StopOnSignal
with StopOnSignal() as stop:
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", {rounds})
print(stop.received, flush=True)
"""


@pytest.fixture
def busy():
    started = []

    def start(rounds):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, "-c", BUSY.format(rounds=rounds)], **pipes)
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_noted_at_once_and_the_second_ends(busy, number):
    process = busy(10**9)  # hours
    process.send_signal(number)
    line = process.stderr.readline()
    assert line.startswith(f"{number.name}: stopping soon, with all that was learned")
    time.sleep(0.6)
    process.send_signal(number)
    assert process.wait(10) == 128 + number


def test_two_at_once_are_one(busy):
    process = busy(3_000_000)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert stdout == "SIGINT\n"
    assert stderr.count("\n") == 1
    assert process.returncode == 0
