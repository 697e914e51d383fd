"""Studio in a thread of the tests, and requests to it over real sockets."""

import contextlib
import http.client
import io
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import uvicorn

from experiments.studio.server import make_app
from tests.amps.nam_examples import EXAMPLES

LOCAL = {"localhost"}
TOKEN = "a token of thirty-two characters"
ONCE = "a word that is good for one visit"
NAMES = ("Gänßefüße.wav", "Señal_año ¡2!.wav", "Œuvre d'été à l'œil.wav", "ギター録音・最終版.wav")


def wav(x: np.ndarray, rate: int = 48000) -> bytes:
    """Returns a sound as a file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, x, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


X = np.round(3000 * np.random.default_rng(0).normal(size=3000)).astype(np.float32) / 2**15
NAM = json.dumps(EXAMPLES["gated"]()).encode()


class Client:
    """Sends requests to a port of this machine."""

    def __init__(self, port: int, token: str = ""):
        self.port, self.headers = port, {"Authorization": f"Bearer {token}"} if token else {}

    def ask(
        self, verb: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Returns status, headers and body; `Host_` and the like have a dash at each underscore."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        named = {**self.headers, **headers}
        named = {name.replace("_", "-"): value for name, value in named.items()}
        with contextlib.closing(connection):
            with contextlib.suppress(ConnectionError):  # refused before all of it was sent
                connection.request(verb, path, body, named)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def json(self, verb: str, path: str, content: Any = None, **headers: str) -> tuple[int, Any]:
        """Sends and receives JSON."""
        body = None if content is None else json.dumps(content)
        status, _, answer = self.ask(verb, path, body, **headers)
        return status, json.loads(answer)

    def form(self, path: str, **parts: Any) -> tuple[int, dict[str, str], bytes]:
        """Sends a form; a part is text, or a file as (name, content)."""
        edge = secrets.token_hex(16)
        body = b""
        for name, part in parts.items():
            file, content = part if isinstance(part, tuple) else (None, str(part).encode())
            named = f'; filename="{file}"' if file else ""
            head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
            body += head.encode() + content + b"\r\n"
        kind = f"multipart/form-data; boundary={edge}"
        return self.ask("POST", path, body + f"--{edge}--\r\n".encode(), Content_Type=kind)

    def send(self, name: str, content: bytes) -> dict[str, Any]:
        """Sends a file that is taken."""
        from urllib.parse import quote

        status, _, body = self.ask("POST", f"/files?name={quote(name)}", content)
        assert status == 201, body
        return json.loads(body)


def error(answer: tuple[int, dict[str, str], bytes], status: int = 400) -> str:
    """Returns the one line of a refusal."""
    assert answer[0] == status, answer
    said = json.loads(answer[2])["error"]
    assert "\n" not in said
    assert "Traceback" not in said
    return said


@contextlib.contextmanager
def serving(folder: Path, *, limit: int = 10_000_000, voices=()) -> Iterator[Client]:
    """Runs Studio on a free port until the end of the block."""
    app = make_app(folder, token=TOKEN, once=ONCE, limit=limit, voices=voices, hosts=LOCAL)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="error"))
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Client(listening.getsockname()[1], TOKEN)
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
