"""What the specification and the page for the person on call say, held against the code."""

import ipaddress
import re
from pathlib import Path

import pytest

from bus.keys import customer_secret, hkdf, tag_key
from dataplane import maps
from dataplane.maps import MAP_NAMES, MAX_CIRCUITS, MAX_HOPS, REASONS
from dataplane.twin.packets import Parsed, flow_hash
from headers.packet import SteeringHeader, siphash24

PAGE = (Path(__file__).resolve().parents[2] / "docs/steering-header.md").read_text()
REFUSED = {
    *("malformed", "version", "nsh_ttl", "unknown_circuit", "epoch", "tag", "no_neighbour"),
    *("foreign_nsh", "nested", "truncated", "ip_ttl", "too_long", "no_circuit", "unsteered"),
    *("no_demand", "fragment", "no_service", "no_backend", "not_granted", "no_key", "plain"),
}


def blocks(kind: str) -> list[dict[str, str]]:
    found = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [dict(line.split(None, 1) for line in block.splitlines()) for block in found]


EXAMPLES = blocks("example")


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def test_page_has_examples_of_both_families_and_of_an_echo() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_example_is_right_to_the_byte(example: dict[str, str]) -> None:
    key = hkdf(bytes.fromhex(example["secret"]), example["info"].encode(), 16)
    assert key.hex() == example["key"]
    wire = bytes.fromhex(example["wire"])
    header = SteeringHeader.decode(wire)
    assert header.encode() == wire
    if header.oam:
        rest = bytes.fromhex(example["body"])
    else:
        rest = packed(example["source"]) + packed(example["dest"])
    # straight from the wire: SPI without its top bit and SI, then C1 to C3
    message = (int.from_bytes(wire[4:7], "big") & 0x7FFFFF).to_bytes(4, "big") + wire[8:20] + rest
    assert message.hex() == example["message"]
    assert f"{siphash24(key, message):016x}" == example["siphash"]
    assert example["siphash"][-8:] == example["tag"] == wire[20:].hex()
    assert header.tag == int(example["tag"], 16)


def test_keys_are_derived_by_the_strings_on_the_page() -> None:
    secret = bytes(range(32))
    strings = re.findall(r"^\| [^|]+ \| [^|]+ \| `(foresteer [^`]+)`", PAGE, re.MULTILINE)
    tag, customer, customers_tag, seed, _discovery = strings
    own = customer_secret(secret, 9)
    assert tag_key(secret, 3) == hkdf(secret, tag.replace("E", "3").encode(), 16)
    assert own == hkdf(secret, customer.replace("N", "9").encode(), 32)
    assert tag_key(own, 3) == hkdf(own, customers_tag.replace("E", "3").encode(), 16)
    (block,) = blocks("flow-hash")
    number = int.from_bytes(hkdf(secret, seed.encode(), 8), "little")
    assert f"{number:016x}" == block["seed"]


def test_flow_hash_on_the_page_is_the_programs() -> None:
    (block,) = blocks("flow-hash")
    sport, dport = map(int, block["ports"].split())
    packet = Parsed(
        4,
        packed(block["source"]),
        packed(block["dest"]),
        int(block["protocol"]),
        9,
        0,
        sport,
        dport,
    )
    assert f"{flow_hash(int(block['seed'], 16), packet):016x}" == block["hash"]


def test_every_reason_of_the_page_is_counted_and_every_failure_is_on_the_page() -> None:
    section = PAGE.split("## 10. Failures")[1].split("## 11.")[0]
    named = set(re.findall(r"`([a-z_]+)`", section)) - {"drop_refused"}
    assert named >= REFUSED
    assert set(REASONS) >= named


def test_limits_on_the_page_are_the_tables() -> None:
    assert f"circuit {MAX_CIRCUITS - 1:,} and at SI {MAX_HOPS - 1}" in PAGE


ON_CALL = (Path(__file__).resolve().parents[2] / "docs/data-plane.md").read_text()


def test_person_on_call_finds_every_counter_and_every_table() -> None:
    named = set(re.findall(r"`([a-z0-9_]+)`", ON_CALL))
    assert named >= set(REASONS)
    assert named >= set(MAP_NAMES)


def test_limits_that_the_person_on_call_finds_are_the_tables() -> None:
    header = (Path(maps.__file__).parent / "bpf/maps.h").read_text()
    rows = dict(re.findall(r"^\| ([a-z][^|]+?) \| ([^|]+?) \|$", ON_CALL, re.MULTILINE))

    def entries(name: str) -> str:
        found = re.search(rf"\b{name}, (?:[^,;]+, )*(\d+)[,)]", header)
        assert found, name
        return f"{int(found[1]):,}"

    assert rows["prefixes, IPv4 and IPv6 each"] == entries("prefixes") == entries("prefixes6")
    assert rows["flow rules"] == entries("rules")
    assert rows["hosts"] == entries("neighbours")
    assert rows["services"] == entries("services")
    assert rows["customers' keys; grants"] == f"{entries('customers')}; {entries('grants')}"
    assert rows["circuits"] == f"{maps.MAX_CIRCUITS - 1:,}"
    assert rows["engines in a domain"] == str(maps.MAX_ENGINES - 1)
    assert rows["engines on a circuit, behind the edge"] == str(maps.MAX_HOPS - 1)
    assert rows["application classes"] == str(maps.MAX_CLASSES - 1)
    assert rows["instances here; backends"] == (
        f"{entries('instances')}; {maps.MAX_BACKENDS - 1:,}"
    )
    tables = "bucket tables (demands, classes with their own, services, backends) on a machine"
    assert rows[tables] == f"{maps.MAX_DEMANDS:,}"
    assert rows["connections"].startswith(f"{maps.CONNECTIONS:,};")
