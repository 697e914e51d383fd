"""Notices that another process of the run is gone, so that none waits for it forever.

Every process keeps a connection to process 0. The operating system closes it when a process dies,
however it dies; a host that vanishes is missed by its heartbeat.
"""

import contextlib
import os
import socket
import struct
import sys
import threading
from typing import NoReturn, Self

import jax
import numpy as np
from jax.experimental import multihost_utils

BEAT_SECONDS = 5.0
SILENCE_SECONDS = 60.0  # a host that is this long silent counts as gone
_BEAT, _FAREWELL, _ERROR, _GONE = b".", b"!", b"x", b"g"  # the last with a number of 3 digits


class PeerWatch:
    """Ends this process with a message as soon as a peer is gone."""

    def __init__(self, peers: dict[int, socket.socket], code: int):
        """Watches the connections, by process index, and exits with `code` when one breaks."""
        self._peers, self._code = peers, code
        self._closing = threading.Event()
        for index, connection in peers.items():
            connection.settimeout(SILENCE_SECONDS)
            threading.Thread(target=self._listen, args=(index, connection), daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    @classmethod
    def start(cls, code: int, host: str | None) -> Self:
        """Connects all processes of the run to process 0; every process must call it.

        Args:
            code: to exit with.
            host: of process 0, as this process reaches it.

        Raises:
            OSError: it cannot be reached.
        """
        count, here = jax.process_count(), jax.process_index()
        server = _serve(count) if here == 0 else None
        port = server.getsockname()[1] if server else 0
        hello = struct.pack("!H16s", port, os.urandom(16))
        told = multihost_utils.broadcast_one_to_all(np.frombuffer(hello, np.uint8))
        port, token = struct.unpack("!H16s", np.asarray(told).tobytes())
        if server:
            with server:
                return cls(_accept(server, count - 1, token), code)
        if host is None:
            raise OSError("the address of process 0 is not known")
        connection = socket.create_connection((host, port), SILENCE_SECONDS)
        connection.sendall(token + struct.pack("!I", here))
        return cls({0: connection}, code)

    def close(self) -> None:
        """Tells the others that this process ends on purpose."""
        self._say_last(_FAREWELL)

    def leave(self, code: int) -> None:
        """Lets the others know whether this process ends by an error of its own."""
        if code == 1:
            self._say_last(_ERROR)

    def _say_last(self, word: bytes) -> None:
        self._closing.set()
        for connection in self._peers.values():
            with contextlib.suppress(OSError):  # already gone
                connection.sendall(word)
                connection.close()

    def _listen(self, index: int, connection: socket.socket) -> None:
        why, lost = "its connection broke", index
        try:
            while not self._closing.is_set():
                received = connection.recv(64)
                if _FAREWELL in received:
                    return
                if _ERROR in received:
                    self._say_last(_ERROR)
                    self._exit(f"process {index} of this run ended with an error", "", 1)
                if _GONE in received:  # process 0 knows who
                    lost, why = int(received.partition(_GONE)[2][:3]), "process 0 lost it"
                if not received or _GONE in received:
                    break
        except TimeoutError:
            why = f"nothing was heard of it for {SILENCE_SECONDS:g} s"
        except OSError:
            pass
        if not self._closing.is_set():
            self._say_last(_GONE + b"%03d" % lost)
            again = (
                ". Started again with the same --workdir, all processes continue from the last "
                "checkpoint"
            )
            self._exit(f"process {lost} of this run is gone ({why})", again, self._code)

    def _beat(self) -> None:
        while not self._closing.wait(BEAT_SECONDS):
            for connection in self._peers.values():
                # Where it fails, the listener notices, or the peer has said farewell.
                with contextlib.suppress(OSError):
                    connection.sendall(_BEAT)

    def _exit(self, what: str, then: str, code: int) -> NoReturn:
        sys.stderr.write(f"\n{what}; its own log says why{then}\n")
        sys.stderr.flush()
        os._exit(code)


def _serve(count: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        options = {"family": socket.AF_INET6, "dualstack_ipv6": True}
        return socket.create_server(("", 0), backlog=count, **options)
    return socket.create_server(("", 0), backlog=count)


def _accept(server: socket.socket, count: int, token: bytes) -> dict[int, socket.socket]:
    """Accepts the connections of `count` processes, by index; ignores any that lacks `token`."""
    peers: dict[int, socket.socket] = {}
    server.settimeout(SILENCE_SECONDS)
    while len(peers) < count:
        connection, _ = server.accept()
        connection.settimeout(BEAT_SECONDS)
        said = b""
        with contextlib.suppress(OSError):
            said = connection.recv(len(token) + 4, socket.MSG_WAITALL)
        if said[: len(token)] == token and len(said) == len(token) + 4:
            peers[struct.unpack("!I", said[len(token) :])[0]] = connection
        else:
            connection.close()
    return peers
