"""Between ExaBGP and the brain: ``python relay.py SOCKET hold|withdraw LOSS_S``.

ExaBGP starts this as the process that it takes commands from, so it lives as long as the sessions
do. It remembers what was announced and learned: a new brain is told, and without a brain for LOSS_S
it holds or withdraws. It needs nothing but the standard library, so that it starts in milliseconds.
"""

import contextlib
import json
import os
import re
import socket
import sys
import threading
import time
from collections import deque
from typing import Any

RETRY_S = 0.1
MOST_PREFIXES = 10_000
"""Remembered of one neighbour, as many as the brain takes."""

COMMAND = re.compile(r"neighbor (\S+) (announce|withdraw) route (\S+)")


class Relay:
    """Pumps lines both ways and knows which answer belongs to whom."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.announced: dict[tuple[str, str], str] = {}
        self.up: set[str] = set()
        # by neighbour and prefix: the message that announces it alone
        self.learned: dict[str, dict[str, str]] = {}
        self.lock = threading.Lock()
        self.waiting: deque[tuple[int, str]] = deque()
        self.connection: socket.socket | None = None
        self.number = 0

    def heard(self) -> None:
        """Read what ExaBGP says until it is gone; then so are we."""
        for line in sys.stdin:
            text = line.rstrip("\n")
            with self.lock:
                self._heard(text)
        os._exit(0)

    def _heard(self, text: str) -> None:
        if text in ("done", "error"):
            if not self.waiting:
                return
            number, command = self.waiting.popleft()
            if text == "done":
                self._note(command)
            if number != self.number:
                return
        elif text.startswith("{"):
            # what cannot be read is not remembered; the brain counts it
            with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
                self._remember(json.loads(text))
        self._tell(text)

    def _remember(self, message: dict[str, Any]) -> None:
        neighbor = message["neighbor"]
        peer = neighbor["address"]["peer"]
        if message["type"] == "state" and neighbor["state"] in ("up", "down"):
            self.learned[peer] = {}
            (self.up.add if neighbor["state"] == "up" else self.up.discard)(peer)
        elif message["type"] == "update":
            update = neighbor["message"].get("update", {})
            own = self.learned.setdefault(peer, {})
            for family in update.get("withdraw", {}).values():
                for one in family:
                    own.pop(one["nlri"], None)
            for family, hops in update.get("announce", {}).items():
                for hop, listed in hops.items():
                    for one in listed:
                        if one["nlri"] in own or len(own) < MOST_PREFIXES:
                            alone = {**update, "announce": {family: {hop: [one]}}, "withdraw": {}}
                            own[one["nlri"]] = json.dumps(
                                {
                                    "type": "update",
                                    "neighbor": {**neighbor, "message": {"update": alone}},
                                }
                            )

    def _note(self, command: str) -> None:
        found = COMMAND.match(command)
        if found is None:
            return
        neighbour, verb, prefix = found.groups()
        if verb == "announce":
            self.announced[neighbour, prefix] = command
        else:
            self.announced.pop((neighbour, prefix), None)

    def _all_learned(self) -> list[str]:
        return [text for own in self.learned.values() for text in own.values()]

    def _tell(self, text: str) -> None:
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.sendall(text.encode() + b"\n")

    def say(self, commands: list[str], number: int) -> None:
        """Pass commands on to ExaBGP, each of which it will answer."""
        with self.lock:
            self.waiting.extend((number, command) for command in commands)
        sys.stdout.write("".join(f"{command}\n" for command in commands))
        sys.stdout.flush()

    def connect(self) -> socket.socket | None:
        """Reach the brain, and tell it how things stand."""
        made = socket.socket(socket.AF_UNIX)
        try:
            made.connect(self.path)
        except OSError:
            made.close()
            return None
        with self.lock:
            self.number += 1
            hello = {
                "relay": os.getpid(),
                "announced": [[*key, text] for key, text in self.announced.items()],
                "up": sorted(self.up),
            }
            self.connection = made
            self._tell("\n".join([json.dumps(hello), *self._all_learned()]))
        return made

    def serve(self, made: socket.socket) -> None:
        """Pass on what the brain says until it goes away."""
        left = b""
        while True:
            try:
                got = made.recv(1 << 16)
            except OSError:
                got = b""
            if not got:
                break
            *lines, left = (left + got).split(b"\n")
            if lines:
                self.say([line.decode() for line in lines], self.number)
        with self.lock:
            self.connection = None
        made.close()

    def withdraw(self) -> None:
        """Take back all that was announced."""
        with self.lock:
            keys = list(self.announced)
        self.say(
            [f"neighbor {peer} withdraw route {prefix} next-hop self" for peer, prefix in keys], 0
        )


def main() -> None:
    """Relay until ExaBGP ends."""
    path, policy, loss_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
    folder, name = os.path.split(path)
    # a Unix socket's path must be short: from its folder it is
    os.chdir(folder)
    relay = Relay(name)
    threading.Thread(target=relay.heard, daemon=True).start()
    lost_s: float | None = time.monotonic()
    while True:
        made = relay.connect()
        if made is not None:
            relay.serve(made)
            lost_s = time.monotonic()
        elif lost_s is not None and time.monotonic() - lost_s > loss_s:
            if policy == "withdraw":
                relay.withdraw()
            lost_s = None
        time.sleep(RETRY_S)


if __name__ == "__main__":
    main()
