"""The start of Studio: its options, its address, and the server that listens there."""

import dataclasses
import ipaddress
import secrets
import socket
import threading
import webbrowser
from pathlib import Path
from urllib.parse import quote

from experiments.studio.token_file import token_of
from experiments.terminal.outputs import check_folder
from wf_jax.errors import UserError, why

PACKAGES = "python-multipart starlette uvicorn"


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a start; see the flags of experiments.studio."""

    folder: str
    host: str
    port: int
    limit: int
    voices: list[str]
    open: bool
    token: str | None = None


def is_local(host: str) -> bool:
    """Returns whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(options: Options) -> None:
    """Serves the page until Ctrl-C.

    Raises:
        UserError: a package is missing, or an option cannot be used.
    """
    try:
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise UserError(f"Studio takes the package {error.name}: pip install {PACKAGES}") from None
    from experiments.studio.server import make_app

    folder = Path(options.folder)
    check_folder(folder)
    token = token_of(folder, options.token)
    listening = _listen(options)
    once = secrets.token_urlsafe()  # the arguments of a browser are seen by all users
    app = make_app(
        folder.absolute(),
        token=token,
        once=once,
        limit=options.limit * 1_000_000,
        voices=[Path(voice).absolute() for voice in options.voices],
        hosts=names_of(options.host),
    )
    port = listening.getsockname()[1]
    address = _address(options.host, port, token)
    print(f"Studio is at {address}\nin {folder}; Ctrl-C ends it, trainings go on", flush=True)
    if options.open and is_local(options.host):  # a browser of the terminal ends when it likes
        first = [_address(options.host, port, once)]
        threading.Thread(target=webbrowser.open, args=first, daemon=True).start()
    config = uvicorn.Config(
        app,
        log_config=None,  # its own would close the streams of other handlers
        log_level="warning",
        access_log=False,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(options: Options) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        return socket.create_server((options.host, options.port), family=family, backlog=128)
    except OSError as error:
        raise UserError(
            f"--host={options.host} --port={options.port}: {why(error)}; give another --port, or "
            "--port=0 for any"
        ) from None


def _address(host: str, port: int, token: str) -> str:
    """Returns the address of the page, with the word that lets a browser in."""
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
    shown = f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{port}/?token={quote(token, safe='')}"


def names_of(host: str) -> set[str]:
    """Returns the names by which a browser may ask for the page, beside addresses."""
    if is_local(host):
        return {"localhost"}
    return {"localhost", socket.gethostname().lower(), socket.getfqdn().lower(), host.lower()}
