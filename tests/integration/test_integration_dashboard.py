"""The dashboard and a run's report in Debian's Chromium, by mouse, keys and phone.

``FORESTEER_SCREENSHOTS=docs/pictures`` writes the pictures of the documentation.
"""

import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "report"))

from report_runs import make_run

from controller.report import score_run, write_reports

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "build" / "page" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = "/usr/bin/chromium"
LAPTOP, PHONE = {"width": 1400, "height": 1000}, {"width": 390, "height": 844}
LIMIT_S = 15.0
UPDATE_MS = 100.0
UPDATES = "performance.getEntriesByName('update').map((one) => one.duration)"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@contextmanager
def serving(directory: Path, network: str) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.page_server", str(directory), network],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()  # it would wait for streams to end
        process.wait(10)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("day")


@pytest.fixture(scope="module")
def served(directory: Path) -> Iterator[str]:
    with serving(directory, "abilene") as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def until(page: Page, expression: str) -> None:
    """Wait for it to be true; asked from outside, as the page's policy forbids eval."""
    deadline = time.monotonic() + LIMIT_S
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(30)


def says(page: Page, selector: str, words: str) -> None:
    """Wait for an element to hold these words."""
    until(page, f"document.querySelector({selector!r})?.textContent.includes({words!r})")


class Seen:
    """A page, and what the browser complained about."""

    def __init__(self, browser: Browser, address: str, **more: Any) -> None:
        self.context = browser.new_context(**{"viewport": LAPTOP, **more})
        self.context.set_default_timeout(1000 * LIMIT_S)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.address = address

    def _heard(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def load(self) -> Page:
        self.page.goto(self.address)
        says(self.page, "#connection", "Live")
        self.page.wait_for_selector("#decisions button")
        says(self.page, "#fan-words", "now")
        return self.page

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def seen(browser: Browser, served: str) -> Iterator[Seen]:
    made = Seen(browser, served)
    yield made
    made.close()


def picture(page: Page, name: str) -> bytes:
    shot = page.screenshot()
    where = os.environ.get("FORESTEER_SCREENSHOTS")
    if where:
        Path(where).mkdir(parents=True, exist_ok=True)
        Image.open(io.BytesIO(shot)).convert("RGB").save(Path(where) / f"{name}.png", optimize=True)
    return shot


def violations(page: Page) -> list[str]:
    """Return what axe-core finds that is serious or critical."""
    if not AXE.exists():
        pytest.skip("axe-core was not fetched at set-up")
    page.evaluate(f"{AXE.read_text()};0")
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]


def test_page_shows_the_network_its_forecasts_and_what_came_of_decisions(seen: Seen) -> None:
    page = seen.load()
    assert page.title() == "Abilene – Foresteer"
    assert page.locator(".link").count() == 30
    assert page.locator("#rows tr").count() == 30
    assert page.is_visible("#synthetic")
    assert "with 90 %" in (page.text_content("#fan-words") or "")
    assert page.locator("#fan canvas").count() == 1
    assert page.locator("#fan-rows tr").count() == 4
    says(page, "#hindsight-words", "only reacted")
    assert page.locator("#engine-rows tr").count() == 12
    assert "headless" in (page.text_content("#engine-rows") or "")
    says(page, "#rules", "divert")
    assert "100 % web" in (page.text_content("#services") or "").replace("\u00a0", " ")
    picture(page, "dashboard-light")
    page.click("#circuits summary")
    page.wait_for_selector("#circuit-rows button")
    assert seen.complaints == []


def test_slider_goes_from_the_past_over_now_to_the_forecast_by_keys(seen: Seen) -> None:
    page = seen.load()
    until(page, "document.getElementById('time').max > 30")
    page.focus("#time")
    assert page.get_attribute("#time", "aria-valuetext") == "now"
    before = page.text_content("#rows")
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    # at one moment, as ticks go on
    words, spoken, caption = page.evaluate(
        "[$('time-words'), $('time'), $('caption')].map("
        "(one) => one.getAttribute('aria-valuetext') ?? one.textContent)".replace(
            "$(", "document.getElementById("
        )
    )
    assert re.match(r"\d+ s ago, ", words)
    assert (spoken, caption) == (words, f"Links, {words}")
    assert page.text_content("#rows") != before
    page.keyboard.press("End")
    assert page.text_content("#time-words") == "in 6 s, forecast"
    assert page.text_content("#near-words") == "expected"
    assert page.text_content("#far-words") == "nine in ten below"
    label = page.locator(".link").first.get_attribute("aria-label") or ""
    assert "expected" in label
    assert "nine in ten below" in label
    tick = page.text_content("#tick")
    until(page, f"document.getElementById('tick').textContent !== '{tick}'")
    assert page.text_content("#time-words") == "in 6 s, forecast"
    page.click("#back")
    assert page.text_content("#time-words") == "now"
    assert seen.complaints == []


def test_any_series_that_is_forecast_has_a_fan(seen: Seen) -> None:
    page = seen.load()
    until(page, "[...document.getElementById('kind').options].length > 1")
    page.select_option("#kind", "requests")
    says(page, "#fan-words", "requests web: now")
    assert page.is_hidden("#src")
    assert page.is_visible("#name")
    assert "1/s" in (page.text_content("#fan-rows") or "")
    assert page.locator("#fan canvas").count() == 1
    assert seen.complaints == []


def test_decisions_demands_and_circuits_are_explained_on_click(seen: Seen) -> None:
    page = seen.load()
    page.select_option("#show", "announced")
    assert "release day" in (page.text_content("#decisions") or "")
    page.select_option("#show", "decision")
    page.locator("#decisions button").first.focus()
    page.keyboard.press("Enter")
    says(page, "#why-words", "caused by")
    assert "Decision" in (page.text_content("#why-head") or "")
    page.keyboard.press("Escape")
    assert page.is_hidden("#why")
    page.click("#why-demand")
    says(page, "#why-words", "Last seen at")
    page.click("#why button")
    page.select_option("#dst", "NYCMng")
    says(page, "#fan-words", "to NYCMng")
    assert page.locator("#ways li").count() >= 1
    assert seen.complaints == []


def test_freezing_needs_a_login_and_a_confirmation(seen: Seen, directory: Path) -> None:
    page = seen.load()
    assert page.is_hidden("#freeze")
    page.click("#login")
    page.fill("#token", "fst_none_at_all")
    page.click("#ask-yes")
    says(page, "#ask-error", "not known")
    assert all("401" in one for one in seen.complaints)
    seen.complaints.clear()
    page.fill("#token", (directory / "operator").read_text())
    page.click("#ask-yes")
    page.wait_for_selector("#freeze:visible")
    page.click("#freeze")
    page.click("#ask-no")
    assert page.text_content("#freeze") == "Freeze"
    page.click("#freeze")
    assert "Nothing moves any more" in (page.text_content("#ask-words") or "")
    page.click("#ask-yes")
    page.wait_for_selector("#frozen:visible")
    assert page.text_content("#freeze") == "Let go"
    page.click("#freeze")
    page.click("#ask-yes")
    page.wait_for_selector("#frozen", state="hidden")
    with page.expect_navigation():
        page.click("#login")
    says(page, "#login", "Log in")
    assert seen.complaints == []


def test_light_and_dark_follow_the_system_and_the_button(browser: Browser, served: str) -> None:
    seen = Seen(browser, served, color_scheme="dark")
    page = seen.load()
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    assert page.text_content("#theme") == "Light"
    assert violations(page) == []
    picture(page, "dashboard-dark")
    page.click("#theme")
    assert page.evaluate(ground) != dark
    page.reload()
    assert page.evaluate(ground) != dark
    assert seen.complaints == []
    seen.close()


def test_phone_shows_all_without_scrolling_sideways(browser: Browser, served: str) -> None:
    seen = Seen(browser, served, viewport=PHONE, has_touch=True)
    page = seen.load()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    small = "[...document.querySelectorAll('main p, main td')].filter((one) => one.offsetWidth &&"
    sizes = page.evaluate(f"{small} parseFloat(getComputedStyle(one).fontSize) < 11).length")
    assert sizes == 0
    assert violations(page) == []
    picture(page, "dashboard-phone")
    assert seen.complaints == []
    seen.close()


@pytest.mark.parametrize(("size", "scheme"), [(LAPTOP, "light"), (PHONE, "dark")])
def test_report_of_a_run_reads_as_well(
    browser: Browser, tmp_path: Path, size: dict[str, int], scheme: str
) -> None:
    report = write_reports(score_run(make_run(intervals=12)), tmp_path)[1]
    seen = Seen(browser, report.as_uri(), viewport=size, color_scheme=scheme, bypass_csp=True)
    seen.page.goto(seen.address)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert seen.page.locator(".maps svg path").first.is_visible()
    assert violations(seen.page) == []
    assert seen.complaints == []
    seen.close()


def test_map_and_table_are_reached_by_keys(seen: Seen) -> None:
    page = seen.load()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "table"
    page.locator(".link[tabindex='0']").focus()
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowRight")
    second = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert first != second
    assert "capacity" in second
    assert page.is_visible("#tip")
    page.keyboard.press("Escape")
    assert page.is_hidden("#tip")


def test_without_what_draws_charts_the_page_says_so_and_works(seen: Seen) -> None:
    seen.page.route("**/vendor/*", lambda route: route.abort())
    page = seen.load()
    assert page.is_visible("#fan-missing")
    page.wait_for_selector("#beside-missing")
    page.click("text=Figures >> nth=0")
    assert page.locator("#fan-rows tr").count() == 4
    assert all("/vendor/" in one for one in seen.complaints)


def test_update_of_two_hundred_links_takes_less_than_a_tenth_of_a_second(
    browser: Browser, tmp_path: Path
) -> None:
    with serving(tmp_path, "wide") as address:
        seen = Seen(browser, address)
        page = seen.load()
        assert page.locator(".link").count() >= 200
        # laying it out counts as well
        page.evaluate("document.addEventListener('tick', () => document.body.offsetHeight)")
        page.evaluate("performance.clearMeasures('update')")
        until(page, f"{UPDATES}.length >= 6")
        took = sorted(page.evaluate(UPDATES))
        print(f"updates of {page.locator('.link').count()} links: {[round(x) for x in took]} ms")
        assert took[len(took) // 2] < UPDATE_MS
        assert seen.complaints == []
        seen.close()
