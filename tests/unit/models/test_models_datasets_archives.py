"""Others' archives, made here in exactly their formats: what is in them, and what breaks them."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from datetime import UTC, datetime

import numpy as np
import pytest

from headers.files import FileError, Node, Topology, TrafficMatrices
from models.datasets import gaps, matrix_grid, read_sndlib, read_weeks
from models.datasets.abilene_weeks import FIRST_DAYS, MBPS, NODES, first_second, parse_week
from models.datasets.archives import Limits, members
from models.datasets.native_writer import write_native
from models.datasets.sndlib import parse_native, parse_xml

NATIVE = """?SNDlib native format; type: network; version: 1.0
# network demandMatrix-abilene-zhang-5min-20040301-0000

META (
  granularity = 5min
  time = 20040301-0000
  unit = MBITPERSEC
  origin = Yin Zhang
)

# NODE SECTION
NODES (
  A ( -84.38 33.75 )
  B ( -85.50 34.50 )
  C ( -87.62 41.83 )
)

LINKS (
)

DEMANDS (
  A_B ( A B ) 1 0.375261 UNLIMITED
  B_A ( B A ) 1 2.5 UNLIMITED
)

ADMISSIBLE_PATHS (
)
"""

XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<network xmlns="http://sndlib.zib.de/network" version="1.0">
 <meta><granularity>15min</granularity><time>20050505-1000</time><unit>MBITPERSEC</unit></meta>
 <networkStructure><nodes coordinatesType="geographical">
  <node id="at1.at"><coordinates><x>16.37</x><y>48.20</y></coordinates></node>
  <node id="be1.be"><coordinates><x>4.35</x><y>50.85</y></coordinates></node>
 </nodes><links/></networkStructure>
 <demands>
  <demand id="at1.at_be1.be"><source>at1.at</source><target>be1.be</target>
   <demandValue>7.25</demandValue></demand>
 </demands>
</network>
"""

ABILENE = "directed-abilene-zhang-5min-over-6months-ALL-native/demandMatrix-abilene-zhang-5min-"
GEANT = "directed-geant-uhlig-15min-over-4months-ALL/demandMatrix-geant-uhlig-15min-"


def tar(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            content = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def demand(value):
    return NATIVE.replace("0.375261", str(value))


def seconds(*when):
    return int(datetime(*when, tzinfo=UTC).timestamp())


def test_native_archive_in_any_order_becomes_matrices_in_the_order_of_time(tmp_path):
    path = tar(
        tmp_path / "a.tgz",
        {
            ABILENE + "20040301-0010.txt": demand(3.0),
            ABILENE + "20040301-0000.txt": demand(1.0),
            ABILENE + "20040301-0005.txt": demand(2.0),
            "directed-abilene-zhang-5min-over-6months-ALL-native/README": "read me",
        },
    )
    reading = read_sndlib(path)
    made = reading.matrices
    assert made.nodes == ("A", "B", "C")
    assert made.time_s.tolist() == [seconds(2004, 3, 1, 0, minute) for minute in (0, 5, 10)]
    assert made.tm_mbps[:, 0, 1].tolist() == [1.0, 2.0, 3.0]
    assert made.tm_mbps[:, 1, 0].tolist() == [2.5] * 3
    assert not made.tm_mbps[:, 2].any()  # a demand that is not there is 0
    assert (made.name, made.synthetic, reading.ignored) == ("abilene-zhang", False, 1)


def test_xml_in_a_zip_is_read_and_units_are_converted(tmp_path):
    path = zipped(
        tmp_path / "g.zip",
        {
            GEANT + "20050505-1000.xml": XML,
            GEANT + "20050505-1015.xml": XML.replace(b"MBITPERSEC", b"KBITPERSEC"),
        },
    )
    made = read_sndlib(path).matrices
    assert made.nodes == ("at1.at", "be1.be")
    assert made.step_s == 900
    np.testing.assert_allclose(made.tm_mbps[:, 0, 1], [7.25, 0.00725], rtol=1e-6)


@pytest.mark.parametrize("mode", ["w:", "w:bz2", "w:xz"])
def test_other_packings_and_an_unpacked_folder_are_read(tmp_path, mode):
    files = {ABILENE + f"20040301-00{minute:02d}.txt": NATIVE for minute in (0, 5)}
    assert len(read_sndlib(tar(tmp_path / "a.tar", files, mode)).matrices) == 2
    folder = tmp_path / "unpacked"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    assert len(read_sndlib(folder).matrices) == 2


def test_absent_and_silent_intervals_are_gaps_on_a_regular_grid(tmp_path):
    silent = XML[: XML.index(b"<demand id")] + XML[XML.index(b"</demands>") :]
    times = dict.fromkeys([f"20050504-{time}" for time in (1515, 1545, 1600, 1615)], XML)
    times["20050504-1500"] = silent
    path = tar(tmp_path / "g.tgz", {f"{GEANT}{time}.xml": text for time, text in times.items()})
    reading = read_sndlib(path)
    assert reading.silent == 1
    grid = matrix_grid(reading.matrices)
    assert grid.names == ("at1.at>be1.be",)
    np.testing.assert_array_equal(grid.values[:, 0], [7.25, np.nan, 7.25, 7.25, 7.25])
    assert np.diff(grid.time_s).tolist() == [900] * 4
    (gap,) = gaps(reading.matrices.time_s, 900)
    assert (gap.start_s, gap.stop_s, gap.missing) == (
        seconds(2005, 5, 4, 15, 30), seconds(2005, 5, 4, 15, 45), 1,
    )  # fmt: skip
    assert any("without any demand" in line for line in reading.lines())


def test_forecasters_take_the_grid_with_its_gaps(tmp_path):
    from models import Ewma

    files = {
        ABILENE + f"20040301-{hour:02d}{minute:02d}.txt": demand(hour + 1)
        for hour in (0, 1, 3)
        for minute in range(0, 60, 5)
    }
    grid = matrix_grid(read_sndlib(tar(tmp_path / "a.tgz", files)).matrices)
    assert np.isnan(grid.values).any()
    fan = Ewma().forecast(grid.values.T, (1, 3), grid.step_s)
    assert np.isfinite(fan).all()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("0.375261", "0.37x", r"line 22: '0.37x' is no number"),
        ("0.375261", "3_7", r"line 22: '3_7' is no number"),
        ("0.375261", "-1", r"line 22: '-1' is negative"),
        ("0.375261", "nan", r"line 22: 'nan' is negative or not finite"),
        ("A_B ( A B )", "A_Z ( A Z )", r"line 22: A>Z names an unknown node"),
        ("A_B ( A B ) 1 0.375261", "A_B ( A B 1 0.375261", r"line 22: .* no record"),
        ("MBITPERSEC", "FURLONGS", "unit 'FURLONGS' is not known"),
        ("?SNDlib native", "native", "does not begin with"),
        ("LINKS (\n)", "LINKS (\n)\nstray", "line 20: 'stray' is outside"),
        ("  B ( -85.50 34.50 )", "  A ( 0 0 )", "names an unknown node"),
        ("  C ( -87.62 41.83 )", "  A ( 0 0 )", "3 nodes, of which 2"),
    ],
)
def test_broken_native_files_name_the_place(tmp_path, old, new, complaint):
    assert old in NATIVE
    path = tar(tmp_path / "a.tgz", {ABILENE + "20040301-0000.txt": NATIVE.replace(old, new)})
    with pytest.raises(FileError, match=complaint) as caught:
        read_sndlib(path)
    assert "a.tgz: directed-abilene" in str(caught.value)
    assert "20040301-0000.txt" in str(caught.value)


@pytest.mark.parametrize("cut", range(60, len(NATIVE) - 30, 17))
def test_native_file_that_is_cut_off_is_an_error_or_lacks_only_what_is_not_read(cut):
    try:
        matrix = parse_native(NATIVE[:cut], "x")
    except FileError:
        return
    # between two sections nothing tells that more was to come, but a record is never halved
    assert set(matrix.demands) <= {("A", "B", 0.375261), ("B", "A", 2.5)}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b"7.25", b"seven", "demand at1.at_be1.be: 'seven' is no number"),
        (b"<target>be1.be", b"<target>xx", "'xx' names an unknown node"),
        (b"</network>", b"", "not XML: no element found: line"),
        (b"<network", b"<!DOCTYPE a [<!ENTITY b 'c'>]><network", "defines entities"),
        (b"demandValue>", b"amount>", "'' is no number"),
    ],
)
def test_broken_xml_names_the_place(old, new, complaint):
    with pytest.raises(FileError, match=complaint):
        parse_xml(XML.replace(old, new), "here")
    with pytest.raises(FileError, match="not <network>"):
        parse_xml(b"<html/>", "here")


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({ABILENE + "20041301-0000.txt": NATIVE}, "20041301-0000 is no time"),
        ({"a/b.txt": NATIVE}, "no file in it is named as SNDlib"),
        ({}, "no file in it"),
        (
            {ABILENE + "20040301-0000.txt": NATIVE, GEANT + "20050505-1000.xml": XML},
            "not of the set",
        ),
        (
            {ABILENE + "20040301-0000.txt": NATIVE, "b/" + ABILENE + "20040301-0000.txt": NATIVE},
            "occurs twice",
        ),
        (
            {
                ABILENE + "20040301-0000.txt": NATIVE,
                ABILENE + "20040301-0005.txt": NATIVE.replace("  C (", "  D ("),
            },
            "nodes are others than before",
        ),
        (
            {ABILENE + "20040301-0000.txt": NATIVE, ABILENE + "20040301-0007.txt": NATIVE},
            "not a multiple of 300 s",
        ),
        ({"../" + ABILENE + "20040301-0000.txt": NATIVE}, "leads out of it"),
        ({"/etc/" + ABILENE + "20040301-0000.txt": NATIVE}, "leads out of it"),
    ],
)
def test_archives_that_make_no_sense_are_refused(tmp_path, files, complaint):
    with pytest.raises(FileError, match=complaint):
        read_sndlib(tar(tmp_path / "a.tgz", files))
    if files:
        with pytest.raises(FileError, match=complaint):
            read_sndlib(zipped(tmp_path / "a.zip", files))


@pytest.mark.parametrize("kind", ["tgz", "tar", "zip", "bz2", "xz"])
def test_cut_off_and_damaged_archives_are_errors_at_every_length(tmp_path, kind):
    files = {ABILENE + f"20040301-00{minute:02d}.txt": NATIVE for minute in range(0, 60, 5)}
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        zipped(path, files)
    else:
        tar(path, files, {"tgz": "w:gz", "tar": "w:"}.get(kind, f"w:{kind}"))
    whole = path.read_bytes()
    assert len(read_sndlib(path).matrices) == 12
    # a plain tar's end mark may be shorter than its padding
    end = len(whole) - (10240 if kind == "tar" else 1)
    for cut in range(0, end, max(1, end // 60)):
        path.write_bytes(whole[:cut])
        with pytest.raises(FileError, match=str(path)):
            read_sndlib(path)
    for at in range(8, len(whole) - 8, max(1, len(whole) // 60)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x5A
        path.write_bytes(bytes(damaged))
        try:
            read_sndlib(path)
        except FileError:
            continue


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("innocent.txt")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(FileError, match="a link or a device"):
        list(members(path))


LIMITS = Limits(members=5, member_bytes=100_000, total_bytes=300_000)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"a": bytes(200_000)}, "200000 bytes unpacked; at most 100000"),
        ({str(n): b"x" for n in range(6)}, "more than 5 files"),
        ({str(n): bytes(90_000) for n in range(4)}, "more than 300000 bytes unpacked"),
    ],
)
def test_archives_that_unpack_to_too_much_are_refused(tmp_path, files, complaint):
    for path in (tar(tmp_path / "a.tgz", files), zipped(tmp_path / "a.zip", files)):
        assert path.stat().st_size < 5000
        with pytest.raises(FileError, match=complaint):
            list(members(path, LIMITS))


def test_name_of_gigabytes_is_not_read_into_memory(tmp_path):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    path = tmp_path / "a.tgz"
    with gzip.open(path, "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(40):
            file.write(bytes(1 << 20))
    with pytest.raises(FileError, match="a header that is larger"):
        list(members(path, Limits(member_bytes=100_000)))


def test_many_small_files_are_not_taken_for_a_large_header(tmp_path):
    files = {str(number): bytes(900) for number in range(900)}
    assert len(list(members(tar(tmp_path / "a.tgz", files), Limits(member_bytes=1000)))) == 900


def test_a_zip_that_lies_about_its_sizes_or_has_a_password_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a": bytes(200_000)})
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (50).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    with pytest.raises(FileError, match="damaged"):
        list(members(path, LIMITS))
    content[entry + 8] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(FileError):
        list(members(path, LIMITS))


def test_a_file_without_a_name_is_no_reason_to_stumble(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("x"), b"x")
    content = path.read_bytes()
    entry = content.rindex(b"PK\x01\x02")
    nameless = bytearray(content[: entry + 46] + content[entry + 47 :])
    nameless[entry + 28] = 0
    path.write_bytes(bytes(nameless))
    with pytest.raises(FileError, match="damaged"):
        list(members(path))


def test_absent_and_foreign_files_are_named(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        list(members(tmp_path / "gone"))
    path = tmp_path / "text"
    path.write_text("hello" * 1000)
    with pytest.raises(FileError, match="a damaged archive, or none"):
        list(members(path))


def test_progress_tells_all_the_bytes_of_the_file(tmp_path):
    files = {ABILENE + f"20040301-00{minute:02d}.txt": NATIVE for minute in range(0, 60, 5)}
    for path in (tar(tmp_path / "a.tgz", files), tar(tmp_path / "a.tar", files, "w:")):
        steps = []
        read_sndlib(path, progress=steps.append)
        assert sum(steps) == path.stat().st_size


def test_what_is_written_in_the_native_format_is_read_back(tmp_path):
    rng = np.random.default_rng(1)
    tm = rng.random((6, 3, 3)) * 100
    tm[:, np.arange(3), np.arange(3)] = 0.0
    tm[2, 0, 1] = 0.0
    time_s = seconds(2004, 3, 1) + np.array([0, 300, 600, 1800, 2100, 2400])
    made = TrafficMatrices("x", ("A", "B", "C"), time_s, tm, synthetic=True)
    topology = Topology("t", (Node("A", 1.0, 2.0), Node("B"), Node("C")), ())
    path = tmp_path / "made.tgz"
    steps = []
    write_native(made, path, "abilene-made", topology, steps.append)
    reading = read_sndlib(path)
    np.testing.assert_allclose(reading.matrices.tm_mbps, tm, atol=1e-5)
    np.testing.assert_array_equal(reading.matrices.time_s, time_s)
    assert reading.matrices.synthetic
    assert sum(steps) == 6
    assert [one.name for one in tmp_path.iterdir()] == ["made.tgz"]
    first = path.read_bytes()
    write_native(made, path, "abilene-made", topology)
    assert path.read_bytes() == first


def test_what_the_native_format_cannot_hold_is_refused(tmp_path):
    tm = np.zeros((2, 2, 2))
    odd = TrafficMatrices("x", ("A", "B"), np.array([0, 5]), tm)
    with pytest.raises(FileError, match="whole minutes"):
        write_native(odd, tmp_path / "a.tgz", "x")
    odd = TrafficMatrices("x", ("A (", "B"), np.array([0, 300]), tm)
    with pytest.raises(FileError, match="no spaces and brackets"):
        write_native(odd, tmp_path / "a.tgz", "x")
    fine = TrafficMatrices("x", ("A", "B"), np.array([0, 300]), tm)
    with pytest.raises(FileError, match="No such file"):
        write_native(fine, tmp_path / "gone" / "a.tgz", "x")
    assert not list(tmp_path.iterdir())


def week(number):
    """Return the text of a file as its authors wrote it."""
    words = [b"-7"] * 720  # what is not measured is not even looked at
    words[::5] = [b"0"] * 144
    words[5 * (12 * 3 + 7)] = b"5"
    words[5 * 13] = b"99"  # a router to itself
    front, back = b" ".join(words[:5]), b" ".join(words[6:])
    return b"".join(
        b"%b %.6g %b\n" % (front, (at % 288) * 1000.0 + number, back) for at in range(2016)
    )


@pytest.fixture(scope="module")
def weekly():
    return {number: week(number) for number in (1, 2, 3)}


def day(time_s):
    return datetime.fromtimestamp(time_s, UTC).strftime("%m-%d")


def test_weekly_files_begin_where_their_authors_began_them():
    starts = [first_second(number) for number in range(1, 25)]
    assert len(FIRST_DAYS) == 24
    assert starts[0] == seconds(2004, 3, 1)
    lasts = [start + 7 * 86400 for start in starts]
    assert lasts[-1] == seconds(2004, 9, 11)
    pairs = zip(lasts, starts[1:], strict=False)
    between = {tuple(day(time_s) for time_s in pair) for pair in pairs if pair[0] < pair[1]}
    assert between == {
        ("03-15", "04-02"), ("04-16", "04-22"), ("04-29", "05-01"), ("08-20", "08-21"),
    }  # fmt: skip
    assert lasts[19] - starts[20] == 86400  # X21 begins with X20's last day
    assert 24 * 2016 - 288 == 48_096


def test_weekly_files_become_matrices_with_their_gaps(tmp_path, weekly):
    (tmp_path / "X01").write_bytes(weekly[1])
    (tmp_path / "X03.gz").write_bytes(gzip.compress(weekly[3], 1))
    (tmp_path / "A.txt").write_text("a routing matrix")
    reading = read_weeks(tmp_path)
    made = reading.matrices
    assert made.nodes == NODES
    assert made.nodes[0] == "ATLAM5"
    assert len(made) == 2 * 2016
    # 100 bytes per 5 minutes: the set's own figure in kb/s
    assert made.tm_mbps[7, 0, 1] * 1000 == pytest.approx(7001 * 100 * 8 / 300 / 1000)
    assert made.tm_mbps[0, 3, 7] == pytest.approx(5 * MBPS)
    assert not made.tm_mbps[:, 1, 1].any()
    (gap,) = gaps(made.time_s, made.step_s)
    assert (gap.start_s, gap.stop_s) == (seconds(2004, 3, 8), seconds(2004, 4, 2))
    assert gap.missing == 25 * 288
    assert reading.ignored == 1


@pytest.mark.slow
def test_the_day_that_two_weeks_hold_is_taken_once(tmp_path, weekly):
    text = weekly[1]
    lines = text.split(b"\n")
    follows = b"\n".join(lines[-289:-1] + lines[288:-1]) + b"\n"
    (tmp_path / "X20").write_bytes(text)
    (tmp_path / "X21").write_bytes(follows)
    reading = read_weeks(tmp_path)
    assert reading.repeated == 288
    assert len(reading.matrices) == 2 * 2016 - 288
    assert not gaps(reading.matrices.time_s, 300)
    (tmp_path / "X21").write_bytes(weekly[2])
    with pytest.raises(FileError, match="X21 and X20 disagree"):
        read_weeks(tmp_path)
    (tmp_path / "X20").unlink()
    assert len(read_weeks(tmp_path).matrices) == 2016


def test_broken_weekly_files_name_the_place(weekly):
    text = weekly[1]
    lines = text.split(b"\n")
    with pytest.raises(FileError, match="2015 lines, not 2016"):
        parse_week(b"\n".join(lines[:2015]), "X01")
    with pytest.raises(FileError, match="line 4: 719 numbers, not 720"):
        parse_week(b"\n".join([*lines[:3], lines[3].rsplit(b" ", 1)[0], *lines[4:]]), "X01")
    with pytest.raises(FileError, match=r"line 5: .*'x'"):
        parse_week(b"\n".join([*lines[:4], b"x " + lines[4].split(b" ", 1)[1], *lines[5:]]), "X01")
    with pytest.raises(FileError, match="line 5, column 1: negative or not finite"):
        parse_week(b"\n".join([*lines[:4], b"-1 " + lines[4].split(b" ", 1)[1], *lines[5:]]), "X")


def test_folders_and_packings_of_weekly_files_that_are_wrong_are_refused(tmp_path, weekly):
    with pytest.raises(FileError, match="none of X01 to X24"):
        read_weeks(tmp_path)
    (tmp_path / "X01.gz").write_bytes(gzip.compress(weekly[1], 1)[:-100])
    with pytest.raises(FileError, match=r"X01\.gz: damaged"):
        read_weeks(tmp_path)
    (tmp_path / "X01.gz").write_bytes(gzip.compress(weekly[1], 1))
    (tmp_path / "X01.txt").write_bytes(weekly[1])
    with pytest.raises(FileError, match="X01 occurs twice"):
        read_weeks(tmp_path)


def test_decompressors_do_not_go_beyond_what_is_there(tmp_path):
    for pack in (bz2.compress, lzma.compress, gzip.compress):
        path = tmp_path / "bomb"
        path.write_bytes(pack(bytes(4_000_000)))
        with pytest.raises(FileError):
            list(members(path, LIMITS))
