import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import controller.api

STATIC = Path(controller.api.__file__).parent / "static"
FILES = sorted(path.name for path in STATIC.iterdir())


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.links, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.attributes += found
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[key] for key in ("src", "href") if key in found]


@pytest.fixture
def page():
    parsed = Page()
    parsed.feed((STATIC / "index.html").read_text())
    return parsed


async def test_the_page_is_served_and_may_load_nothing_from_elsewhere(connect, view):
    async with connect(view) as client:
        answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", FILES)
async def test_every_file_of_the_page_is_served_and_names_no_other_server(connect, view, name):
    async with connect(view) as client:
        answer = await client.get(f"/{name}")
    assert answer.status_code == 200
    addresses = set(re.findall(r"https?://[^\s\"')]+", answer.text))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_what_the_page_refers_to_is_there(page):
    # fetched at set-up, and the page works without
    local = [link for link in page.links if not link.startswith(("#", "vendor/"))]
    assert all((STATIC / link).exists() for link in local)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    assert len(set(page.ids)) == len(page.ids)


def test_the_page_has_neither_inline_style_nor_inline_script(page):
    assert not [name for name in page.attributes if name == "style" or name.startswith("on")]
    assert "<style" not in (STATIC / "index.html").read_text()


def test_the_scripts_find_every_element_that_they_ask_for(page):
    script = "".join(path.read_text() for path in STATIC.glob("*.js"))
    wanted = set(re.findall(r"(?:\$|text|connection)\(\"([a-z-]+)\"", script))
    assert {"map", "rows", "decisions", "components", "notice", "synthetic"} <= wanted
    assert wanted <= set(page.ids)


def test_text_from_the_network_never_becomes_markup():
    for path in STATIC.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(",
                             path.read_text())  # fmt: skip


def test_every_colour_class_of_the_map_has_a_colour():
    style = (STATIC / "page.css").read_text()
    light, dark = style.split("@media (prefers-color-scheme: dark)")[:2]
    for number in range(6):
        assert f"--u{number}:" in light
        assert f"--u{number}:" in dark
        assert f".u{number} {{" in style
    assert "prefers-reduced-motion" in style
    assert "max-width: 30rem" in style


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_the_scripts_parse(name, tmp_path):
    node = shutil.which("node")
    if node is None:
        text = (STATIC / name).read_text()
        assert all(text.count(a) == text.count(b) for a, b in ("()", "{}", "[]"))
        return
    copy = tmp_path / f"{Path(name).stem}.mjs"
    copy.write_text((STATIC / name).read_text())
    done = subprocess.run([node, "--check", copy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
