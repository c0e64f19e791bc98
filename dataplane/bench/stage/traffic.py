"""Real connections through a stage of engines, that outlive its engines.

``serve NAME ADDRESS PORT``: takes connections. At the end of one it answers with a line of JSON:
its name, the content's hash, the longest time in which nothing came. ``ask FILE CONNECTIONS SECONDS
ADDRESS PORT SOURCE …``: opens connections from these addresses in turn, sends each a content of its
own, a piece every fifth of a second, and writes what came of them. ``stream`` and ``count FILE
SECONDS ADDRESS PORT``: numbered datagrams, a thousand per second, and what comes of them.
"""

import asyncio
import hashlib
import json
import random
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

PIECE, EVERY_S = 400, 0.2
OPENED_PER_S = 1000
LONG_S = 0.05
"""A gap between two datagrams that is worth writing down."""


async def serve(name: str, address: str, port: int) -> None:
    """Answer until the end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        digest, last, gap = hashlib.sha256(), time.monotonic(), 0.0
        try:
            while piece := await reader.read(65536):
                now = time.monotonic()
                digest.update(piece)
                gap, last = max(gap, now - last), now
            found = {"name": name, "hash": digest.hexdigest(), "gap_s": gap}
            writer.write(json.dumps(found).encode() + b"\n")
            await writer.drain()
        except OSError:
            pass
        writer.close()

    server = await asyncio.start_server(answer, address, port, backlog=4096)
    await server.serve_forever()


async def _one(number: int, source: str, seconds: float, end: tuple[str, int]) -> dict[str, Any]:
    """Have one connection; say what came of it."""
    content = random.Random(number)
    digest, stage = hashlib.sha256(), "opening"
    began = time.monotonic()
    try:
        async with asyncio.timeout(seconds + 20):
            reader, writer = await asyncio.open_connection(*end, local_addr=(source, 0))
            stage = "sending"
            while time.monotonic() - began < seconds:
                piece = content.randbytes(PIECE)
                digest.update(piece)
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(EVERY_S * content.uniform(0.9, 1.1))
            stage = "ending"
            writer.write_eof()
            said = json.loads(await reader.readline())
            writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        return {"broken": f"{stage}: {type(error).__name__}"}
    whole = said["hash"] == digest.hexdigest()
    return {"name": said["name"], "gap_s": said["gap_s"], "broken": "" if whole else "content"}


async def ask(out: Path, count: int, seconds: float, end: tuple[str, int], who: list[str]) -> None:
    """Open connections, at a steady rate, and write down what came of each."""
    tasks, began = [], time.monotonic()
    for number in range(count):
        tasks.append(asyncio.create_task(_one(number, who[number % len(who)], seconds, end)))
        await asyncio.sleep(max(0.0, began + number / OPENED_PER_S - time.monotonic()))
    out.write_text(json.dumps(await asyncio.gather(*tasks)))


def stream(out: Path, seconds: float, end: tuple[str, int]) -> None:
    """Send numbered datagrams, a thousand per second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        began, number = time.monotonic(), 0
        while number < seconds * 1000:
            sender.sendto(number.to_bytes(4, "big"), end)
            number += 1
            time.sleep(max(0.0, began + number / 1000 - time.monotonic()))
    out.write_text(json.dumps({"sent": number}))


def count(out: Path, seconds: float, end: tuple[str, int]) -> None:
    """Take them; at SIGTERM or after a time write how many came, and the longest gaps in s."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
        taker.bind(end)
        taker.settimeout(0.5)
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        began, last, gaps, seen = time.monotonic(), 0.0, [0.0], set()
        told: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
        while not told and time.monotonic() - began < seconds:
            try:
                number = int.from_bytes(taker.recv(64), "big")
            except TimeoutError:
                continue
            now = time.monotonic()
            if last and now - last > LONG_S:
                gaps.append(now - last)
            last = now
            seen.add(number)
    out.write_text(json.dumps({"received": len(seen), "gaps_s": sorted(gaps)}))


def main() -> None:
    """Do what the first argument says."""
    what, *words = sys.argv[1:]
    if what == "serve":
        asyncio.run(serve(words[0], words[1], int(words[2])))
    elif what == "ask":
        end = words[3], int(words[4])
        asyncio.run(ask(Path(words[0]), int(words[1]), float(words[2]), end, words[5:]))
    else:
        call = {"stream": stream, "count": count}[what]
        call(Path(words[0]), float(words[1]), (words[2], int(words[3])))


if __name__ == "__main__":
    main()
