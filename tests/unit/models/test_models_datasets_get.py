"""Downloads from a server of this test, and the ``data`` commands on what came."""

import gzip
import hashlib
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from click.testing import CliRunner

from headers.files import (
    FileError,
    Link,
    Node,
    RateSeries,
    Topology,
    TrafficMatrices,
    load_matrices,
    load_rates,
    save_rates,
    save_topology,
)
from models.datasets import load_events, rate_grid, read_sndlib
from models.datasets.catalogue import CATALOGUE
from models.datasets.commands import data
from models.datasets.download import Request, download
from models.datasets.native_writer import write_native


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``faults`` are used up one per request, then it behaves."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.faults = []
        self.asked = []
        self.tag = '"v1"'
        self.over = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        fault = server.faults.pop(0) if server.faults else None
        if isinstance(fault, int):
            self.send_error(fault)
            return
        if isinstance(fault, tuple):
            self.send_response(302)
            self.send_header("Location", fault[0])
            self.end_headers()
            return
        content = server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        span = self.headers.get("Range")
        if span and server.tag and self.headers.get("If-Range") == server.tag:
            start = int(span.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if server.tag:
            self.send_header("ETag", server.tag)
        if fault != "endless":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if fault == "endless":
            while not server.over.is_set():
                self.wfile.write(bytes(65536))
        body = content[start:]
        if fault in ("cut", "stall"):
            body = body[: len(body) // 2]
        self.wfile.write(body)
        self.wfile.flush()
        if fault == "stall":
            server.over.wait(20)


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.over.set()
    made.shutdown()
    made.server_close()
    thread.join(5)


CONTENT = np.random.default_rng(1).bytes(300_000)


def get(server, tmp_path, **wishes):
    request = Request(f"{server.url}/file", 1_000_000, timeout_s=0.15)
    return download(replace(request, **wishes), tmp_path / "file")


def only(tmp_path, *names):
    return sorted(one.name for one in tmp_path.iterdir()) == sorted(names)


def test_a_file_is_downloaded_and_its_hash_returned(server, tmp_path):
    server.files["/file"] = CONTENT
    steps = []
    request = Request(f"{server.url}/file", 1_000_000)
    found = download(request, tmp_path / "new" / "file", advance=lambda *step: steps.append(step))
    assert found == hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert only(tmp_path / "new", "file")


@pytest.mark.parametrize("fault", ["cut", "stall", 503])
def test_a_transfer_that_stops_goes_on_from_where_it_stood(server, tmp_path, fault):
    server.files["/file"] = CONTENT
    server.faults = [fault, fault]
    get(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT
    spans = [span for _, span in server.asked]
    half = "bytes=150000-"
    assert spans == ([None, half, "bytes=225000-"] if fault != 503 else [None] * 3)


def test_another_version_or_a_server_without_versions_is_not_mixed_in(server, tmp_path):
    server.files["/file"] = CONTENT
    server.faults = ["cut"]
    other = CONTENT[::-1]

    def change(done, _total):
        if done == 150_000 and server.tag == '"v1"':
            server.tag, server.files["/file"] = '"v2"', other

    download(Request(f"{server.url}/file", 1_000_000), tmp_path / "file", advance=change)
    assert (tmp_path / "file").read_bytes() == other
    server.tag, server.faults, server.asked = "", ["cut"], []
    get(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == other
    assert [span for _, span in server.asked] == [None, None]


@pytest.mark.parametrize(
    ("faults", "wishes", "complaint"),
    [
        (["cut"] * 9, {}, r"bytes arrived \(tried 4 times\)"),
        ([404], {}, "404 Not Found"),
        ([500] * 9, {}, "500"),
        ([], {"sha256": "0" * 64}, "its SHA-256 is .* not 0000"),
        ([], {"bytes_max": 1000}, "300000 bytes; at most 1000"),
        (["endless"], {"bytes_max": 100_000}, "more than 100000 bytes"),
        ([("file:///etc/passwd",)], {}, "'file:///etc/passwd' is not allowed"),
        ([("ftp://127.0.0.1/x",)], {}, "redirects to ftp"),
        ([("/file",)] * 50, {}, "redirect"),
    ],
)
def test_failed_downloads_say_why_and_leave_what_was_there(
    server, tmp_path, faults, wishes, complaint
):
    server.files["/file"] = CONTENT
    server.faults = list(faults)
    (tmp_path / "file").write_text("before")
    with pytest.raises(FileError, match=complaint):
        get(server, tmp_path, **wishes)
    assert (tmp_path / "file").read_text() == "before"
    assert only(tmp_path, "file")
    assert len(server.asked) < 20


@pytest.mark.slow
def test_a_server_that_stalls_for_good_or_is_not_there_is_given_up(server, tmp_path):
    server.files["/file"], server.tag = CONTENT, ""
    server.faults = ["stall"] * 9
    with pytest.raises(FileError, match="timed out"):
        get(server, tmp_path, timeout_s=0.1)
    with pytest.raises(FileError, match="refused"):
        download(Request("http://127.0.0.1:1/x", 10), tmp_path / "file")
    server.files["/file"] = b""
    server.faults = []
    with pytest.raises(FileError, match="the answer is empty"):
        get(server, tmp_path)
    assert only(tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "x", "http://", "http://[::1"])
def test_addresses_that_are_not_http_are_refused(tmp_path, url):
    with pytest.raises(FileError, match="not an address that begins with http"):
        download(Request(url, 10), tmp_path / "file")


def test_a_redirect_within_http_is_followed(server, tmp_path):
    server.files["/file"] = CONTENT
    server.faults = [("/other",)]
    server.files["/other"] = b"moved"
    get(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == b"moved"


def run(*arguments):
    return CliRunner().invoke(data, list(map(str, arguments)))


@pytest.fixture
def archive(tmp_path):
    tm = np.ones((4, 2, 2)) * (1 - np.eye(2))
    time_s = 1_078_099_200 + np.array([0, 300, 600, 1200])
    made = TrafficMatrices("x", ("A", "B"), time_s, tm)
    path = tmp_path / "made.tgz"
    write_native(made, path, "abilene-zhang")
    return path


def test_a_set_is_got_verified_converted_and_shown(server, tmp_path, archive):
    (file,) = CATALOGUE["abilene"].files
    server.files[f"/{file}"] = archive.read_bytes()
    out = tmp_path / "data"
    done = run("get", "abilene", "--from", f"{server.url}/", "--out", out)
    assert done.exit_code == 0, done.output
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert f"sha256 {digest}: nobody published one" in done.output
    assert "compare the hash" in done.output
    assert "licence: academic use" in done.output
    assert "converting: 100 %" in done.output
    assert "1 missing in 1 gaps" in done.output
    assert only(out, "abilene.npz")
    made = load_matrices(out / "abilene.npz")
    assert (len(made), made.step_s, made.synthetic) == (4, 300, False)
    shown = run("show", out / "abilene.npz")
    assert "traffic matrices: 4 of 2 nodes, 2 demands" in shown.output
    assert "2004-03-01 00:15 to 2004-03-01 00:20: 1" in shown.output
    assert "not labelled synthetic" in shown.output


def test_an_archive_that_is_kept_is_not_downloaded_again(server, tmp_path, archive):
    (file,) = CATALOGUE["abilene"].files
    server.files["/a.tgz"] = archive.read_bytes()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    out = tmp_path / "data"
    get_it = ("get", "abilene", "--from", f"{server.url}/a.tgz", "--out", out, "--keep")
    assert run(*get_it, "--sha256", digest).exit_code == 0
    assert only(out, "abilene.npz", file)
    done = run(*get_it)
    assert "is there already" in done.output
    assert len(server.asked) == 1
    run(*get_it, "--again")
    assert len(server.asked) == 2
    done = run(*get_it, "--sha256", "0" * 64)
    assert done.exit_code == 1
    assert "not 0000" in done.output


def test_a_wrong_archive_ends_in_one_line_and_no_file(server, tmp_path, archive):
    server.files["/a.tgz"] = archive.read_bytes()[:-40]
    out = tmp_path / "data"
    done = run("get", "abilene", "--from", f"{server.url}/a.tgz", "--out", out)
    assert done.exit_code == 1
    assert "damaged archive" in done.output
    assert "Traceback" not in done.output
    assert only(out, *CATALOGUE["abilene"].files)
    assert run("get", "nothing").exit_code == 1
    assert "no set 'nothing'; there are abilene" in run("get", "nothing").output


def test_an_archive_that_is_here_already_is_converted(tmp_path, archive):
    done = run("get", "geant", "--from", archive, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert archive.exists()
    assert only(tmp_path / "out", "geant.npz")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (
        run("get", "geant", "--from", archive, "--out", tmp_path, "--sha256", digest).exit_code == 0
    )
    done = run("get", "geant", "--from", archive, "--out", tmp_path, "--sha256", "1" * 64)
    assert done.exit_code == 1
    assert "its SHA-256 is" in done.output


def test_a_set_of_many_files_is_got_file_by_file(server, tmp_path, monkeypatch):
    line = b" ".join([b"3"] * 720) + b"\n"
    content = gzip.compress(line * 2016, 1)
    entry = replace(CATALOGUE["abilene-weeks"], files=("X01.gz", "X02.gz"))
    monkeypatch.setitem(CATALOGUE, "abilene-weeks", entry)
    server.files = {"/w/X01.gz": content, "/w/X02.gz": content}
    out = tmp_path / "data"
    done = run("get", "abilene-weeks", "--from", f"{server.url}/w", "--out", out)
    assert done.exit_code == 0, done.output
    assert only(out, "abilene-weeks.npz")
    assert len(load_matrices(out / "abilene-weeks.npz")) == 2 * 2016
    done = run("get", "abilene-weeks", "--sha256", "0" * 64, "--out", out)
    assert "one hash cannot be" in done.output


def test_the_list_names_licence_and_page_of_every_set():
    done = run("list")
    for entry in CATALOGUE.values():
        assert entry.name in done.output
        assert entry.page in done.output
        assert entry.page.startswith("http")
        assert all(entry.base.endswith("/") and file for file in entry.files)
    assert done.output.count("licence: academic use") == len(CATALOGUE)


@pytest.fixture
def topology(tmp_path):
    nodes = tuple(Node(name, 40.0, -80.0) for name in "abc")
    links = tuple(Link(x.name, y.name, 1000.0) for x in nodes for y in nodes if x != y)
    save_topology(Topology("three", nodes, links), tmp_path / "three.json")
    return tmp_path / "three.json"


def test_made_up_traffic_is_labelled_in_both_formats_and_the_same_in_both(tmp_path, topology):
    orders = (
        "make",
        "--topology",
        topology,
        "--days",
        "0.2",
        "--seed",
        "7",
        "--start",
        "2004-03-01",
    )
    for name in ("made.npz", "made.tgz"):
        done = run(*orders, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        assert "(synthetic)" in done.output
        shown = run("show", tmp_path / name)
        assert "origin: synthetic (made up)" in shown.output
        assert "2004-03-01 00:00" in shown.output
    npz = load_matrices(tmp_path / "made.npz")
    tgz = read_sndlib(tmp_path / "made.tgz").matrices
    np.testing.assert_allclose(npz.tm_mbps, tgz.tm_mbps, rtol=1e-3, atol=1e-5)
    assert "synthetic" in tgz.name


def test_planned_events_are_written_beside_the_traffic_and_can_be_given(tmp_path, topology):
    orders = ("make", "--topology", topology, "--days", "2", "--seed", "7")
    run(*orders, "--out", tmp_path / "plain.npz")
    run(*orders, "--out", tmp_path / "drawn.npz", "--events", 3)
    told = tmp_path / "drawn.npz.events.json"
    assert len(load_events(told)) == 3
    assert json.loads(told.read_text())["synthetic"] is True
    run(*orders, "--out", tmp_path / "given.npz", "--planned", told)
    plain, drawn, given = (
        load_matrices(tmp_path / f"{name}.npz").tm_mbps for name in ("plain", "drawn", "given")
    )
    assert (plain != drawn).any()
    np.testing.assert_array_equal(drawn, given)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--out", "x.csv"), "ends in .npz"),
        (("--out", "x.npz", "--days", "1e9"), "at most 2000000"),
        (("--out", "x.tgz", "--step", "45"), "whole minutes"),
        (("--out", "x.npz", "--days", "0.0001"), "at least one interval"),
    ],
)
def test_orders_that_cannot_be_met_are_refused(
    tmp_path, topology, monkeypatch, arguments, complaint
):
    monkeypatch.chdir(tmp_path)
    done = run("make", "--topology", topology, "--days", "0.1", *arguments)
    assert done.exit_code == 1
    assert complaint in done.output
    assert only(tmp_path, "three.json")


def test_every_kind_of_file_is_shown(tmp_path, topology, archive):
    time_s = np.array([0, 60, 180, 240])
    rates = RateSeries(
        "web", time_s, np.array([1.0, 2.0, 3.0, 4.0]), 60.0, "requests", synthetic=True
    )
    save_rates(rates, tmp_path / "web.npz")
    shown = run("show", tmp_path / "web.npz").output
    assert "rates: 4 samples" in shown
    assert "synthetic (made up)" in shown
    assert "gaps: 1, 1 intervals missing of 5" in shown
    assert "mean 2.5 requests" in shown
    assert (
        "topology three: 3 nodes (3 with places), 6 directed links" in run("show", topology).output
    )
    assert "1 intervals missing of 5" in run("show", archive).output
    (tmp_path / "weeks").mkdir()
    (tmp_path / "weeks" / "X01").write_bytes((b" ".join([b"3"] * 720) + b"\n") * 2016)
    assert "traffic matrices: 2016 of 12 nodes" in run("show", tmp_path / "weeks").output
    for name, content in (("bad.npz", b"x"), ("gone.npz", None), ("bad.tgz", b"x"), ("gone", None)):
        if content:
            (tmp_path / name).write_bytes(content)
        done = run("show", tmp_path / name)
        assert done.exit_code == 1
        assert name in done.output
        assert "Traceback" not in done.output


def test_rates_survive_their_file_and_missing_samples_are_gaps(tmp_path):
    rates = RateSeries("web", np.array([100, 160, 340]), np.array([1.0, 2.0, 5.0]), 60.0, "req")
    save_rates(rates, tmp_path / "web.npz")
    back = load_rates(tmp_path / "web.npz")
    assert (back.name, back.step_s, back.unit, back.synthetic, len(back)) == (
        "web", 60.0, "req", False, 3,
    )  # fmt: skip
    grid = rate_grid(back)
    np.testing.assert_array_equal(grid.values[:, 0], [1.0, 2.0, np.nan, np.nan, 5.0])
    assert grid.time_s.tolist() == [100, 160, 220, 280, 340]
    np.savez(tmp_path / "plain.npz", value=np.array([1, 2], dtype=np.uint8), step_s=5)
    assert load_rates(tmp_path / "plain.npz").time_s.tolist() == [0, 5]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"value": [1.0], "step_s": 0}, "a step of 0"),
        ({"value": [], "step_s": 1}, "no samples"),
        ({"value": [1.0, -2.0], "step_s": 1}, "sample 1 is negative"),
        ({"value": [1.0, np.nan], "step_s": 1}, "sample 1 is negative or not finite"),
        ({"value": [1.0, 2.0], "step_s": 1, "time": [5, 5]}, "time does not increase"),
        ({"value": [1.0, 2.0], "step_s": 1, "time": [5]}, "value has shape"),
        ({"value": [[1.0]], "step_s": 1}, "value has shape"),
        ({"value": [1.0], "step_s": [1, 2]}, "not a rate file"),
    ],
)
def test_bad_rate_files_are_named(tmp_path, content, complaint):
    np.savez(tmp_path / "bad.npz", **content)
    with pytest.raises(FileError, match=complaint):
        load_rates(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    ("time_s", "complaint"), [([0, 60, 130], "interval 2 begins at 130"), ([0, 60 << 45], "wrong")]
)
def test_times_off_the_grid_are_refused(time_s, complaint):
    rates = RateSeries("web", np.array(time_s), np.ones(len(time_s)), 60.0)
    with pytest.raises(FileError, match=complaint):
        rate_grid(rates)
