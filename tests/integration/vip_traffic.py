"""Real connections to virtual addresses: servers that say who they are, clients that write it down.

``serve NAME ADDRESS:PORT …`` answers every connection with its name. ``ask FILE PER_S
ADDRESS:PORT …`` opens connections in turn, and appends ``[seconds, port, name]`` for each, the name
empty where none answered in time. Both end when they are terminated.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

TIMEOUT_S = 3.5
"""A first packet that is lost is sent again after a second, and after three."""


def _ends(texts: list[str]) -> list[tuple[str, int]]:
    return [(text.partition(":")[0], int(text.partition(":")[2])) for text in texts]


async def serve(name: str, ends: list[tuple[str, int]]) -> None:
    """Answer connections until the end."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name.encode())
        writer.close()

    servers = [await asyncio.start_server(answer, *end) for end in ends]
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _once(address: str, port: int, out: Path) -> None:
    began, name, stage = time.monotonic(), "", "opening"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address, port)
            stage = "reading"
            name = (await reader.read(64)).decode()
            writer.close()
    except (OSError, TimeoutError) as error:
        name = f"!{stage}: {type(error).__name__}"
    with out.open("a") as file:
        file.write(json.dumps([began, port, name]) + "\n")


async def ask(out: Path, per_s: float, ends: list[tuple[str, int]]) -> None:
    """Open connections at a steady rate until the end."""
    due, tasks = time.monotonic(), set()
    while True:
        for address, port in ends:
            task = asyncio.create_task(_once(address, port, out))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        due += 1 / per_s
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def main() -> None:
    """Serve or ask."""
    kind, first, *rest = sys.argv[1:]
    if kind == "serve":
        asyncio.run(serve(first, _ends(rest)))
    else:
        asyncio.run(ask(Path(first), float(rest[0]), _ends(rest[1:])))


if __name__ == "__main__":
    main()
