"""The start of Studio: its options, its address, and the server that listens there."""

import dataclasses
import ipaddress
import secrets
import socket
import webbrowser
from pathlib import Path

from experiments.terminal.outputs import check_folder
from wf_jax.errors import UserError, why

LEAST_TOKEN = 16  # characters


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

    def secret(self) -> str:
        """Returns the token that visitors need; "" for none.

        Raises:
            UserError: it is too short.
        """
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            raise UserError(f"--token: of {len(self.token)} characters; give {LEAST_TOKEN} or more")
        return self.token or ("" if is_local(self.host) else secrets.token_urlsafe(24))


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
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise UserError(f"{error.name} is missing: pip install 'wf_jax[studio]'") from None
    from experiments.studio.server import make_app

    token, folder = options.secret(), Path(options.folder)
    check_folder(folder)
    listening = _listen(options)
    port = listening.getsockname()[1]
    app = make_app(
        folder.absolute(),
        token=token,
        limit=options.limit * 1_000_000,
        voices=[Path(voice).absolute() for voice in options.voices],
        hosts=_hosts(options.host),
    )
    shown = socket.gethostname() if options.host in ("0.0.0.0", "::") else options.host
    shown = f"[{shown}]" if ":" in shown else shown
    address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
    print(f"Studio is at {address}\nin {folder}; Ctrl-C ends it, trainings go on", flush=True)
    if options.open:
        webbrowser.open(address)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
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


def _hosts(host: str) -> set[str]:
    """Returns the names by which a browser may ask for the page."""
    if is_local(host):
        return {"localhost", "127.0.0.1", "[::1]"}
    return {"localhost", socket.gethostname().lower(), socket.getfqdn().lower(), host.lower()}
