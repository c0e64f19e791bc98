"""The southbound's side of the Unix socket: brains connect, ask and listen."""

import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eventlet
from eventlet.queue import Queue

from bus.frames import Unpacker, pack
from bus.instance import unix_address
from headers.messages import Applied, ApplySwitches, MessageError

LOG = logging.getLogger("foresteer.southbound")
QUEUE = 4096
FLUSH_S = 1.0


class BrainLink:
    """Serves the socket: ``apply`` answers ApplySwitches, ``greet`` is told to a new brain."""

    def __init__(
        self,
        path: Path,
        apply: Callable[[ApplySwitches], Applied],
        greet: Callable[[], list[Any]],
    ) -> None:
        self._path = path
        self._apply = apply
        self._greet = greet
        self._clients: dict[socket.socket, Queue] = {}
        self.refused: Counter[str] = Counter()

    def serve(self) -> None:
        """Accept brains until the process ends."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(unix_address(self._path))
        self._path.chmod(0o600)
        listener.listen(8)
        while True:
            connection, _ = listener.accept()
            eventlet.spawn_n(self._serve_one, connection)

    def tell(self, body: Any) -> None:
        """Send a message to every brain; one that does not read loses its connection."""
        if not self._clients:
            return
        data = pack(body)
        for connection, queue in list(self._clients.items()):
            if queue.qsize() < QUEUE:
                queue.put(data)
                continue
            # its writer is stuck in the middle of a message: only this ends it
            del self._clients[connection]
            self.refused["slow_brain"] += 1
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve_one(self, connection: socket.socket) -> None:
        outgoing: Queue = Queue()
        self._clients[connection] = outgoing
        writer = eventlet.spawn(self._write, connection, outgoing)
        for body in self._greet():
            outgoing.put(pack(body))
        unpacker = Unpacker()
        try:
            while data := connection.recv(1 << 18):
                for body in unpacker.feed(data):
                    if isinstance(body, ApplySwitches):
                        outgoing.put(pack(self._apply(body)))
                    else:
                        self.refused["unexpected_message"] += 1
        except MessageError as error:
            self.refused["bad_message"] += 1
            LOG.warning("the brain's connection is closed: %s", error)
        except OSError as error:
            LOG.info("the brain's connection ended: %s", os.strerror(error.errno or 0))
        finally:
            self._clients.pop(connection, None)
            outgoing.put(b"")
            with eventlet.Timeout(FLUSH_S, False):  # answers go out first, if they are read
                writer.wait()
            writer.kill()
            connection.close()

    @staticmethod
    def _write(connection: socket.socket, outgoing: Queue) -> None:
        with contextlib.suppress(OSError):
            while data := outgoing.get():
                connection.sendall(data)
            connection.shutdown(socket.SHUT_RDWR)
