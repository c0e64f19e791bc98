"""Many who ask and many who listen, while the loop of a real network keeps its pace."""

import asyncio
import os
import time
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from controller.api.access.own import read_own
from tests.integration.lab import Lab

PATHS = ("status", "topology", "circuits", "demands", "decisions?limit=5", "splits", "engines")
READS_PER_S = float(os.environ.get("FORESTEER_READS", "300"))
STREAMS = int(os.environ.get("FORESTEER_STREAMS", "100"))
SECONDS = float(os.environ.get("FORESTEER_SECONDS", "10"))
CONNECTIONS = 16


class Reader:
    """One connection that asks again and again, as a plain HTTP client does."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._end = host, port
        self._host = f"{host}:{port}"
        self._token = token
        self.took_s: list[float] = []
        self.wrong = 0

    async def run(self, due: float, period_s: float, until: float) -> None:
        """Ask at a steady pace; what is late is asked at once, and its wait counts."""
        reader, writer = await asyncio.open_connection(*self._end)
        number = 0
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            path = PATHS[number % len(PATHS)]
            number += 1
            writer.write(
                f"GET /api/v1/{path} HTTP/1.1\r\nHost: {self._host}\r\n"
                f"Authorization: Bearer {self._token}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            fields = head.lower().split(b"\r\n")
            length = next(int(x.split(b":")[1]) for x in fields if x.startswith(b"content-length"))
            await reader.readexactly(length)
            self.wrong += not head.startswith(b"HTTP/1.1 200")
            self.took_s.append(time.monotonic() - due)
            due += period_s
        writer.close()


async def _listen(host: str, port: int, token: str, until: float) -> int:
    """Follow the events; return how many ticks came."""
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
    writer.write(
        f"GET /api/v1/stream HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    ticks = 0
    try:
        async with asyncio.timeout(until - time.monotonic()):
            while line := await reader.readline():
                ticks += line == b"event: tick\n"
    except TimeoutError:
        pass
    writer.close()
    return ticks


async def _load(page: str, token: str) -> dict[str, Any]:
    split = urlsplit(page)
    host, port = str(split.hostname), int(split.port or 80)
    begin = time.monotonic() + 2.0
    until = begin + SECONDS
    listeners = [
        asyncio.create_task(_listen(host, port, token, until + 1.0)) for _ in range(STREAMS)
    ]
    readers = [Reader(host, port, token) for _ in range(CONNECTIONS)]
    period_s = CONNECTIONS / READS_PER_S
    await asyncio.gather(
        *(
            reader.run(begin + number * period_s / CONNECTIONS, period_s, until)
            for number, reader in enumerate(readers)
        )
    )
    ticks = await asyncio.gather(*listeners)
    took = np.array([one for reader in readers for one in reader.took_s])
    return {
        "reads": len(took),
        "wrong": sum(reader.wrong for reader in readers),
        "p50_ms": float(np.quantile(took, 0.5) * 1000),
        "p99_ms": float(np.quantile(took, 0.99) * 1000),
        "streams": len(ticks),
        "least_ticks": min(ticks, default=0),
    }


def reads(lab: Lab) -> dict[str, Any]:
    """Read and listen for a while; return how long answers took, and whether ticks were skipped."""
    lab.start()
    lab.until(lambda: (lab.instance.state().get("tick") or 0) >= 3, 20, "the loop ticks")
    before = lab.instance.state()
    token = read_own(lab.instance.directory)
    found = asyncio.run(_load(before["page"], token))
    told = lambda: lab.instance.state()["tick"] >= before["tick"] + SECONDS  # noqa: E731
    lab.until(told, 10, "the ticks of that time are told")
    after = lab.instance.state()
    return {
        **found,
        "ticks": after["tick"] - before["tick"],
        "skipped": after["skipped_ticks"] - before["skipped_ticks"],
        "seconds": SECONDS,
    }
