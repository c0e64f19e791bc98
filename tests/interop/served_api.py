"""The API on a real socket over a small network: ``python -m tests.interop.served_api DIRECTORY``.

Plans are made by the real decision stage, nothing is programmed. Prints the address; tokens of
each role are in ``DIRECTORY/ROLE``. ``anonymous`` has no role, so that each is shown.
"""

import asyncio
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "api"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "decide"))

import uvicorn
from api_view import SmallView, make_tick
from policy_desk import PolicyRoom
from request_desk import RequestDesk

from bus import SystemClock
from controller.api import Access, Status, create_app
from controller.api.access import Audit, Role, TokenBook
from controller.config import Config
from controller.explain.answers import JournalExplainer
from controller.predict.kinds_brain import SeriesDesk

RATE = 1e6


class WellView(SmallView):
    """A view of a brain with which all is well."""

    def status(self) -> Status:
        return replace(super().status(), components={"bus": "ok"})


def view_of(directory: Path) -> SmallView:
    """Return a view of a small network with everything behind it that the brain has."""
    first = make_tick(1)
    view = WellView([first, make_tick(2, 120.0, previous=first.plan)])
    view.requests = RequestDesk()
    view.series = SeriesDesk(Config(), SystemClock(), directory, None)
    view.desk_of_policies = room = PolicyRoom()
    room.loop.plan = view.ticks[-1].plan
    view.answers = JournalExplainer(directory / "journal.sqlite")
    return view


async def serve(directory: Path) -> None:
    """Serve until the end of the process."""
    tokens = TokenBook(directory / "tokens.json", time.time)
    for role in Role:
        (directory / role.word).write_text(tokens.create(role.word, role)[1])
    rates = {"read": RATE, "change": RATE, "login": RATE}
    access = Access(tokens, Audit(directory / "audit.log", time.time), None, rates=rates)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    server = uvicorn.Server(
        uvicorn.Config(create_app(view_of(directory), access), log_level="warning", lifespan="off")
    )
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
