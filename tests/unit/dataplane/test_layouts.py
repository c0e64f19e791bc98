"""One layout in two languages: maps.h and reasons.h against dataplane/maps.py, by the compiler."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dataplane import connections, loader, maps


def _offsets(dtype: Any) -> dict[str, int]:
    return {name: dtype.fields[name][1] for name in dtype.names}


# struct in C: its layout in Python, and where each field begins
LAYOUTS = {
    "port_config": (
        maps.PORT.size,
        {
            "engine": 0,
            "out_slot": 4,
            "max_frame": 8,
            "fallback": 12,
            "router_mac": 16,
            "customer": 22,
            "sample": 24,
        },
    ),
    "prefix_key": (maps.PREFIX_KEY.size, {"prefixlen": 0, "engine": 4, "address": 8}),
    "prefix6_key": (maps.PREFIX6_KEY.size, {"prefixlen": 0, "engine": 4, "address": 8}),
    "length_key": (maps.LENGTH_KEY.size, {"engine": 0, "address": 4, "length": 8}),
    "class_demand_key": (maps.CLASS_DEMAND_KEY.size, {"demand": 0, "class": 4}),
    "class_info": (maps.CLASS_INFO.size, {"application": 0, "priority": 2}),
    "flow_key": (
        maps.FLOW_KEY.size,
        {"saddr": 0, "daddr": 16, "ports": 32, "protocol": 36, "family": 37, "engine": 38},
    ),
    "edge_circuit": (
        maps.EDGE_CIRCUIT.size,
        {"active": 0, "engine": 4, "c1": 8, "c2": 12, "si": 16},
    ),
    "hop": (
        maps.HOP.size,
        {"action": 0, "engine": 4, "out_slot": 8, "dst_mac": 12, "src_mac": 18},
    ),
    "key_slot": (maps.KEY_SLOT.size, {"k0": 0, "k1": 8, "valid": 16, "serial": 20}),
    "customer_key": (maps.CUSTOMER_KEY.size, {"customer": 0, "epoch": 4}),
    "grant_key": (maps.GRANT_KEY.size, {"customer": 0, "circuit": 4}),
    "grant": (maps.GRANT.size, {"circuit": 0, "max_priority": 4}),
    "domain_state": (
        maps.DOMAIN.size,
        {"hash_seed": 0, "c3": 8, "revision": 12, "insert_rate": 16, "flags": 20, "lengths": 24},
    ),
    "neighbour_key": (maps.NEIGHBOUR_KEY.size, {"engine": 0, "family": 4, "address": 8}),
    "instance_key": (maps.INSTANCE_KEY.size, {"engine": 0, "instance": 4}),
    "neighbour": (maps.NEIGHBOUR.size, {"mac": 0, "vlan": 6, "out_slot": 8}),
    "service_key": (
        maps.SERVICE_KEY.size,
        {"engine": 0, "port": 4, "protocol": 6, "family": 7, "address": 8},
    ),
    "service": (maps.SERVICE.size, {"slot": 0, "class": 4}),
    "backend": (maps.BACKEND.size, {"active": 0, "slot": 4, "c1": 8}),
    "connection": (maps.CONNECTION.size, _offsets(connections.CONNECTION_DTYPE)),
    "replica": (maps.REPLICA.size, {"backend": 0, "primary": 4}),
    "fresh": (maps.FRESH_FLOW.size, {"hash": 0, "backend": 8, "seen": 12}),
    "budget": (maps.BUDGET.size, {"at_ns": 0, "tokens": 8}),
    "flow_entry": (64, _offsets(maps.FLOW_ENTRY_DTYPE)),
    "flow_set": (maps.FLOW_SET.size, {"entries": 0}),
    "flow_names": (maps.FLOW_NAMES.size, {"names": 0}),
    "tag_entry": (32, {"tag": 0, "serial": 4, "circuit": 8, "daddr": 28}),
    "tag_set": (maps.TAG_SET.size, {"entries": 0}),
    "tag_start": (maps.TAG_START.size, {"serial": 0, "c3": 16, "state": 24}),
    "event": (maps.EVENT.size, _offsets(maps.EVENT_DTYPE)),
    "sample": (
        maps.SAMPLE.size,
        {"time_ns": 0, "ifindex": 8, "length": 12, "verdict": 16, "captured": 20, "frame": 24},
    ),
    "counter": (16, {"packets": 0, "bytes": 8}),
}
CONSTANTS = {
    name: getattr(maps, name)
    for name in (
        "LAYOUT",
        "MAX_ENGINES",
        "MAX_CIRCUITS",
        "MAX_HOPS",
        "MAX_DEMANDS",
        "MAX_BACKENDS",
        "MAX_CLASSES",
        "BUCKETS",
        "REASON_SLOTS",
        "MAX_PORTS",
        "FLOW_SETS",
        "TAG_SETS",
        "TAG_STARTS",
        "FRESH",
        "SAMPLE_BYTES",
        "FALLBACK_PASS",
        "FALLBACK_RETURN",
        "FALLBACK_DROP",
        "HOP_NONE",
        "HOP_DELIVER",
        "HOP_FORWARD",
        "DOMAIN_RULES",
        "DOMAIN_REPLICAS",
        "DOMAIN_PORT_CLASSES",
        "DOMAIN_DSCP_CLASSES",
        "CONNECTION_OPEN",
        "CONNECTION_CLOSING",
        "EVENT_OPENED",
        "EVENT_CLOSED",
        "EVENT_ECHO",
    )
} | {"REASON_COUNT": len(maps.REASONS), "MAX_CONNECTIONS": maps.CONNECTIONS}
HEADERS = ("packet", "fallback", "circuit", "cache")
UNSIGNED = {
    "LENGTHS_MANY": maps.LENGTHS_MANY,
    "LENGTHS_MOST": maps.LENGTHS_MOST,
    "SAMPLE_CAME_IN": maps.SAMPLE_CAME_IN,
    "DEMAND_SLOT": maps.DEMAND_SLOT,
    "DEMAND_VIRTUAL": maps.DEMAND_VIRTUAL,
    "DEMAND_CLASSES": maps.DEMAND_CLASSES,
    "DEMAND_MORE": maps.DEMAND_MORE,
}

# what bcc brings along, so that an ordinary compiler takes the header
BCC = """
#include <stddef.h>
#include <stdio.h>
#include <linux/types.h>
#define __always_inline inline
struct table { struct counter *(*lookup)(__u32 *); };
#define BPF_PROG_ARRAY(name, entries) static const size_t name##_sizes[] = {4, 4, entries};
#define BPF_RINGBUF_OUTPUT(name, pages) static const size_t name##_sizes[] = {0, 0, pages};
#define BPF_HASH(name, key, value, entries) \\
    static const size_t name##_sizes[] = {sizeof(key), sizeof(value), entries};
#define BPF_LPM_TRIE(name, key, value, entries) \\
    static const size_t name##_sizes[] = {sizeof(key), sizeof(value), entries};
#define BPF_F_TABLE(kind, key, value, name, entries, flags) \\
    static const size_t name##_sizes[] = {sizeof(key), sizeof(value), entries};
#define BPF_ARRAY(name, value, entries) \\
    static const size_t name##_sizes[] = {4, sizeof(value), entries};
#define BPF_DEVMAP(name, entries) static const size_t name##_sizes[] = {4, 4, entries};
#define BPF_PERCPU_ARRAY(name, value, entries) \\
    static const size_t name##_sizes[] = {4, sizeof(value), entries}; \\
    static struct table name;
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Sizes, offsets, constants and map sizes as the C compiler sees them."""
    directory = tmp_path_factory.mktemp("layouts")
    lines = []
    for name, (_, fields) in LAYOUTS.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        lines += [
            f'printf("{name}.{field} %zu\\n", offsetof(struct {name}, {field}));'
            for field in fields
        ]
    lines += [f'printf("{name} %u\\n", (unsigned){name});' for name in CONSTANTS | UNSIGNED]
    for name in maps.MAP_NAMES:
        lines += [
            f'printf("{name}/{part} %zu\\n", {name}_sizes[{index}]);'
            for index, part in enumerate(("key", "value", "entries"))
        ]
    source = directory / "layouts.c"
    source.write_text(
        BCC + '#include "maps.h"\nint main(void) {\n' + "\n".join(lines) + "\nreturn 0;\n}\n"
    )
    program = directory / "layouts"
    subprocess.run(
        ["gcc", "-w", "-I", str(loader.BPF_DIR), "-o", str(program), str(source)], check=True
    )
    out = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in out.splitlines())}


@pytest.mark.parametrize("name", LAYOUTS)
def test_struct_has_the_size_and_offsets_that_python_packs(
    compiled: dict[str, int], name: str
) -> None:
    size, fields = LAYOUTS[name]
    assert compiled[name] == size
    assert {field: compiled[f"{name}.{field}"] for field in fields} == fields


def test_constants_are_the_same_in_both_languages(compiled: dict[str, int]) -> None:
    wanted = CONSTANTS | UNSIGNED
    assert {name: compiled[name] for name in wanted} == wanted


@pytest.mark.parametrize("name", maps.MAP_NAMES)
def test_map_has_the_key_and_value_sizes_that_python_reads(
    compiled: dict[str, int], name: str
) -> None:
    assert (compiled[f"{name}/key"], compiled[f"{name}/value"]) == maps.SIZES[name]


def test_every_map_of_the_programs_is_pinned_by_name() -> None:
    text = (loader.BPF_DIR / "maps.h").read_text()
    named = re.findall(r"^BPF_(?!F_)\w+\((\w+),", text, re.MULTILINE)
    named += re.findall(r"^BPF_F_TABLE\((?:[^,]+, ){3}(\w+),", text, re.MULTILINE)
    assert sorted(named) == sorted(maps.MAP_NAMES)


def test_reasons_have_the_same_names_in_the_same_order() -> None:
    text = (loader.BPF_DIR / "reasons.h").read_text()
    names = [name.lower() for name in re.findall(r"^\tREASON_(\w+),$", text, re.MULTILINE)]
    assert names == [*maps.REASONS, "count"]
    assert len(maps.REASONS) <= maps.REASON_SLOTS


def test_every_reason_is_counted_somewhere_in_the_programs() -> None:
    text = "".join(path.read_text() for path in loader.BPF_DIR.glob("*.bpf.c"))
    text += "".join((loader.BPF_DIR / f"{name}.h").read_text() for name in HEADERS)
    unused = [name for name in maps.REASONS if f"REASON_{name.upper()}" not in text]
    assert unused == []


def test_one_text_holds_every_program_and_each_header_once() -> None:
    text = loader.source()
    for program in loader.PROGRAMS:
        assert (
            len(re.findall(rf"^int {program}\(struct (xdp_md|__sk_buff)", text, re.MULTILINE)) == 1
        )
    for guard in ("MAPS", "PACKET", "REASONS", "SIPHASH", "STEERING"):
        assert text.count(f"#define FORESTEER_{guard}_H") == 1
    assert '#include "' not in text


def test_text_includes_nothing_but_uapi_headers() -> None:
    included = re.findall(r"^#include <([^>]+)>", loader.source(), re.MULTILINE)
    assert included
    assert all(name.startswith("uapi/linux/") for name in included)


def test_stub_kernel_source_serves_twice_and_leads_to_the_systems_headers(tmp_path: Path) -> None:
    for _ in range(2):
        assert loader.stub_kernel_source(tmp_path / "stub") == tmp_path / "stub"
    include = tmp_path / "stub" / "include"
    assert "CONFIG_BPF_SYSCALL" in (include / "linux/kconfig.h").read_text()
    assert "LINUX_VERSION_CODE" in (include / "linux/version.h").read_text()
    for name in ("linux/bpf.h", "linux/if_ether.h", "linux/ip.h", "linux/in.h", "asm/types.h"):
        assert (include / "uapi" / name).exists(), name


def test_programs_that_are_pinned_are_not_compiled_again(tmp_path: Path) -> None:
    for name in loader.PROGRAMS:
        (tmp_path / name).touch()
    version = loader.version_of(loader.source(), loader.load_flags(maps.CONNECTIONS))
    (tmp_path / f"version-{version}").mkdir()
    assert loader.ensure_loaded(tmp_path, tmp_path / "stub") is False


@pytest.mark.slow
def test_load_that_fails_gives_the_childs_words(tmp_path: Path) -> None:
    (tmp_path / "maps").touch()  # where the child wants a folder
    with pytest.raises(loader.LoadError, match=r"could not be loaded: .+"):
        loader.ensure_loaded(tmp_path, tmp_path / "no" / "such")
