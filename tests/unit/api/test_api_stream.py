import asyncio
import contextlib
import json

import pytest

from controller.api import create_app
from controller.api.stream import CLIENTS, QUEUE, EventStream, Feed

SCOPE = {
    "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http",
    "path": "/api/v1/stream", "raw_path": b"/api/v1/stream", "query_string": b"",
    "root_path": "", "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 80),
}  # fmt: skip
WAIT_S = 5.0


class Browser:
    """One open connection to an ASGI application; ``room``: how many sends it takes unread."""

    def __init__(self, app, room=1000):
        self.messages = asyncio.Queue()
        self.left = asyncio.Event()
        self.room = asyncio.Semaphore(room)
        self.task = asyncio.create_task(app(dict(SCOPE), self.receive, self.send))

    async def receive(self):
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        await self.room.acquire()
        self.messages.put_nowait(message)

    async def next(self):
        return await asyncio.wait_for(self.messages.get(), WAIT_S)

    async def event(self):
        while True:
            text = (await self.next()).get("body", b"").decode()
            if text.startswith("event: "):
                return text

    async def close(self):
        self.left.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(self.task, WAIT_S)


async def until(condition):
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0)


async def opened(app, **more):
    browser = Browser(app, **more)
    start, retry = await browser.next(), await browser.next()
    assert start["status"] == 200
    return browser, start, retry


async def test_every_tick_is_one_event_with_links_and_decision(view, ticks):
    browser, start, retry = await opened(create_app(view))
    assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
    assert retry["body"] == b"retry: 1000\n\n"
    await until(lambda: view.listeners)
    view.go(ticks(7, 130.0))
    head, number, data = (await browser.event()).strip().split("\n")
    assert (head, number) == ("event: tick", "id: 7")
    body = json.loads(data.removeprefix("data: "))
    assert body["status"]["tick"] == body["decision"]["tick"] == 7
    assert len(body["links"]) == 8
    assert set(body) == {"status", "links", "decision"}
    await browser.close()


async def test_all_clients_share_one_reading_that_ends_with_the_last(view, ticks):
    app = create_app(view)
    one, *_ = await opened(app)
    two, *_ = await opened(app)
    await until(lambda: view.listeners)
    assert len(view.listeners) == 1
    view.go(ticks(3))
    assert await one.event() == await two.event()
    await one.close()
    view.go(ticks(4))
    assert "id: 4" in await two.event()
    await two.close()
    await until(lambda: not view.listeners)


async def test_someone_who_comes_back_hears_ticks_again(view, ticks):
    app = create_app(view)
    for number in (5, 6):
        browser, *_ = await opened(app)
        await until(lambda: view.listeners)
        view.go(ticks(number))
        assert f"id: {number}" in await browser.event()
        await browser.close()
        await until(lambda: not view.listeners)


async def test_a_client_that_leaves_just_as_a_tick_comes_is_let_go(view, ticks):
    app = create_app(view)
    for number in range(20):
        browser, *_ = await opened(app)
        await until(lambda: view.listeners)
        view.go(ticks(1))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        await browser.close()
        assert browser.task.done()
    await until(lambda: not view.listeners)


async def test_silence_is_filled_with_heartbeats(view):
    browser = Browser(EventStream(Feed(view), heartbeat_s=0.01))
    await browser.next()
    bodies = [(await browser.next())["body"] for _ in range(3)]
    assert bodies[1:] == [b": still here\n\n"] * 2
    await browser.close()


async def test_a_client_that_does_not_read_is_dropped_and_holds_up_nobody(view, ticks):
    feed = Feed(view)
    slow = Browser(EventStream(feed, send_s=60.0), room=2)
    good = Browser(EventStream(feed))
    await until(lambda: view.listeners)
    await until(lambda: slow.messages.qsize() == 2)
    for number in range(QUEUE + 3):
        view.go(ticks(number))
        assert f"id: {number}" in await good.event()
    assert feed.dropped == 1
    slow.room.release()
    slow.room.release()
    await asyncio.wait_for(slow.task, WAIT_S)
    view.go(ticks(99))
    assert "id: 99" in await good.event()
    await good.close()


async def test_a_client_that_takes_too_long_over_one_event_is_dropped(view):
    feed = Feed(view)
    stuck = Browser(EventStream(feed, heartbeat_s=0.01, send_s=0.05), room=2)
    await asyncio.wait_for(stuck.task, WAIT_S)
    await until(lambda: not view.listeners)


async def test_when_the_ticks_break_clients_are_sent_away_and_may_come_back(view, ticks, caplog):
    app = create_app(view)
    browser, *_ = await opened(app)
    await until(lambda: view.listeners)
    view.go(RuntimeError("the brain stumbled"))
    await asyncio.wait_for(browser.task, WAIT_S)
    assert "stream of ticks broke" in caplog.text
    again, *_ = await opened(app)
    await until(lambda: view.listeners)
    view.go(ticks(8))
    assert "id: 8" in await again.event()
    await again.close()


async def test_the_number_of_open_pages_is_bounded(view):
    app = create_app(view)
    browsers = [(await opened(app))[0] for _ in range(CLIENTS)]
    refused = Browser(app)
    assert (await refused.next())["status"] == 503
    await asyncio.gather(*(browser.close() for browser in browsers))
    await refused.close()


@pytest.mark.parametrize("host", [b"evil.example"])
async def test_the_stream_is_guarded_too(view, host):
    SCOPE_EVIL = {**SCOPE, "headers": [(b"host", host)]}
    seen = []

    async def send(message):
        seen.append(message)

    await create_app(view)(SCOPE_EVIL, None, send)
    assert seen[0]["status"] == 400
    assert not view.listeners
