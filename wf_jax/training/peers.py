"""Notices that another process of the run is gone, so that none waits for it for ever.

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
_BEAT, _FAREWELL, _ERROR = b".", b"!", b"x"


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
    def start(cls, code: int) -> Self:
        """Connects all processes of the run to process 0; every process must call it."""
        count, here = jax.process_count(), jax.process_index()
        server = socket.create_server(("", 0), backlog=count) if here == 0 else None
        address = (_own_address(), server.getsockname()[1]) if server else ("0.0.0.0", 0)
        packed = struct.pack("!4sH", socket.inet_aton(address[0]), address[1])
        told = multihost_utils.broadcast_one_to_all(np.frombuffer(packed, np.uint8))
        host, port = struct.unpack("!4sH", np.asarray(told).tobytes())
        peers: dict[int, socket.socket] = {}
        if server:
            server.settimeout(SILENCE_SECONDS)
            while len(peers) < count - 1:
                connection, _ = server.accept()
                peers[struct.unpack("!I", connection.recv(4, socket.MSG_WAITALL))[0]] = connection
            server.close()
        else:
            peers[0] = socket.create_connection((socket.inet_ntoa(host), port), SILENCE_SECONDS)
            peers[0].sendall(struct.pack("!I", here))
        return cls(peers, code)

    def close(self) -> None:
        """Says farewell, so that nobody takes the end for a loss."""
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
        why = "its connection broke"
        try:
            while not self._closing.is_set():
                received = connection.recv(64)
                if _FAREWELL in received:
                    return
                if _ERROR in received:
                    self._say_last(_ERROR)
                    self._exit(f"process {index} of this run ended with an error", "", 1)
                if not received:
                    break
        except TimeoutError:
            why = f"nothing was heard of it for {SILENCE_SECONDS:g} s"
        except OSError:
            pass
        if not self._closing.is_set():
            again = (
                ". Started again with the same --workdir, all processes continue from the last "
                "checkpoint"
            )
            self._exit(f"process {index} of this run is gone ({why})", again, self._code)

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


def _own_address() -> str:
    """By which other hosts reach this one: of the interface that leads out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address (RFC 5737); nothing is sent
            return str(probe.getsockname()[0])
        except OSError:  # no way out: all processes are here
            return "127.0.0.1"
