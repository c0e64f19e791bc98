"""The brain's side of the Unix socket to the southbound: asks, listens, connects again."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus import frames
from bus.instance import unix_address
from controller.errors import SouthboundError
from headers.messages import Applied, ApplySwitches, MessageError

RETRY_S = 0.1
ANSWER_S = 10.0


class SouthboundLink:
    """A connection that is made again whenever it is lost."""

    def __init__(
        self, path: Path, listen: Callable[[Any], None], connected: Callable[[], None]
    ) -> None:
        """``listen`` gets every message that is no answer; ``connected`` is called each time."""
        self._path = path
        self._listen = listen
        self._connected = connected
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Applied]] = {}
        self.refused = 0

    @property
    def up(self) -> bool:
        """Whether the southbound is there."""
        return self._writer is not None

    async def run(self) -> None:
        """Connect and listen until cancelled."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(
                    unix_address(self._path), limit=1 << 24
                )
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            self._writer = writer
            self._connected()
            try:
                while True:
                    self._take(await frames.read(reader))
            except (asyncio.IncompleteReadError, OSError):
                pass
            except MessageError:
                self.refused += 1
            finally:
                self._writer = None
                for future in self._waiting.values():
                    if not future.done():
                        future.set_exception(SouthboundError("the southbound went away"))
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    def _take(self, body: Any) -> None:
        if isinstance(body, Applied):
            future = self._waiting.pop(body.generation, None)
            if future is not None and not future.done():
                future.set_result(body)
            return
        self._listen(body)

    async def apply(self, wanted: ApplySwitches) -> Applied:
        """Send a desired state and return what became of it.

        Raises:
            SouthboundError: the southbound is away, or does not answer in time.
        """
        if self._writer is None:
            raise SouthboundError("the southbound is not there")
        future: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        self._waiting[wanted.generation] = future
        try:
            self._writer.write(frames.pack(wanted))
            await self._writer.drain()
            return await asyncio.wait_for(future, ANSWER_S)
        except TimeoutError as error:
            raise SouthboundError(f"no answer within {ANSWER_S:g} s") from error
        except OSError as error:
            raise SouthboundError(f"the southbound went away: {error}") from error
        finally:
            self._waiting.pop(wanted.generation, None)
