"""Lets processes in a lab's network namespace reach servers outside: loopback to loopback.

``python -m topologies.lab.relay OUTER_NETNS_FD PORT ...`` listens on each port of the inner
loopback and connects to the same port of the outer one.
"""

import asyncio
import contextlib
import ctypes
import socket
import sys

_CLONE_NEWNET = 0x40000000


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


async def _relay(listeners: list[socket.socket]) -> None:
    async def serve(listener: socket.socket, port: int) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                there, out = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                writer.close()
                return
            await asyncio.gather(_copy(reader, out), _copy(there, writer))

        server = await asyncio.start_server(accept, sock=listener)
        await server.serve_forever()

    await asyncio.gather(*(serve(one, one.getsockname()[1]) for one in listeners))


def main() -> None:
    """Listen in here, then live out there."""
    outer, ports = int(sys.argv[1]), [int(port) for port in sys.argv[2:]]
    listeners = []
    for port in ports:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        listeners.append(listener)
    if ctypes.CDLL(None, use_errno=True).setns(outer, _CLONE_NEWNET):
        sys.exit("the outer network namespace cannot be entered")
    asyncio.run(_relay(listeners))


if __name__ == "__main__":
    main()
