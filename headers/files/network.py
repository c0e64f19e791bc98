"""Network files: a topology with what runs it — switches, ports, engines, prefixes.

JSON. It is how an emulated network, or an engineer, tells Foresteer what is where: ``locations``
(a switch by its datapath id, an engine between it and the hosts, the prefix of those hosts) and
directed ``links``. Links between switches are discovered; the file gives their capacities.
"""

import ipaddress
import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headers.errors import FileError

VERSION = 1
REPLICATION_PORT = 6610
_AGENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_IFNAME = re.compile(r"[A-Za-z0-9_.@-]{1,15}")


@dataclass(frozen=True, slots=True)
class Engine:
    """A forwarding engine: a two-port bridge with XDP on both ports.

    ``number``: 1 to 255, unique. ``netns_pid``: a process in the engine's network namespace (None:
    the agent's own). ``host_ports`` face hosts, ``fabric_port`` faces ``switch_port`` of the
    location's switch; ``fabric_peer``: the other end of the fabric port where it is a veth in the
    agent's own namespace, which then gets a program so that it can take redirected frames.
    ``customers``: host ports behind which a customer marks by itself, and the customer's number.
    ``agent``: the name of the agent that serves it; empty: whichever agent has the file.
    ``stage``: engines of one stage serve the same virtual addresses and hold each other's
    connections; empty: none. ``risk_groups``: names of what takes several engines down at once.
    """

    name: str
    number: int
    host_ports: tuple[str, ...]
    fabric_port: str
    switch_port: int
    netns_pid: int | None = None
    fabric_peer: str | None = None
    customers: tuple[tuple[str, int], ...] = ()
    agent: str = ""
    stage: str = ""
    risk_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """Where an agent takes other agents' datagrams: an IP address of its machine and a UDP port."""

    name: str
    host: str
    port: int = REPLICATION_PORT


@dataclass(frozen=True, slots=True)
class Location:
    """A place with a switch, the prefix of its hosts, their gateway's address, and an engine.

    ``region``: a name that policies speak of, empty where none was given.
    """

    name: str
    dpid: int
    prefix: str
    gateway: str
    engine: Engine
    lat: float | None = None
    lon: float | None = None
    region: str = ""


@dataclass(frozen=True, slots=True)
class NetworkLink:
    """A directed link: capacity in bit/s, IGP metric, propagation delay in ms where known.

    ``risk_groups``: names of what takes several links down at once. ``trusted``: encrypted or in
    the operator's own hands. ``price_per_gb`` is paid for what is above ``commitment_bps``.
    """

    src: str
    dst: str
    capacity_bps: float
    metric: float = 1.0
    delay_ms: float | None = None
    risk_groups: tuple[str, ...] = ()
    trusted: bool = True
    price_per_gb: float = 0.0
    commitment_bps: float = 0.0


@dataclass(frozen=True, slots=True)
class Network:
    """What is where: the inventory that the brain plans on and the agents attach to.

    ``max_frame``: the core's largest frame in bytes. ``drop_refused``: whether engines drop what
    they cannot verify, and do not route it as usual.
    """

    name: str
    locations: tuple[Location, ...]
    links: tuple[NetworkLink, ...]
    synthetic: bool = False
    max_frame: int = 1614
    drop_refused: bool = False
    agents: tuple[AgentAddress, ...] = ()


def _field(item: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    value = item.get(key) if isinstance(item, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise FileError(f"{where}: {key!r} is {value!r}")
    return value


def _optional(item: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    return None if item.get(key) is None else _field(item, key, kind, where)


def _number(item: Any, key: str, default: float | None, where: str) -> float:
    """Return a number above 0."""
    if default is not None and key not in item:
        return default
    value = float(_field(item, key, (int, float), where))
    if not 0 < value < math.inf:
        raise FileError(f"{where}: {key} must be above 0")
    return value


def _engine(item: Any, where: str) -> Engine:
    ports = _field(item, "host_ports", list, where)
    fabric = _field(item, "fabric_port", str, where)
    for port in (*ports, fabric):
        if not isinstance(port, str) or not _IFNAME.fullmatch(port):
            raise FileError(f"{where}: {port!r} is no interface name")
    number = _field(item, "number", int, where)
    if not 0 < number < 256:
        raise FileError(f"{where}: number {number} is not between 1 and 255")
    if len(ports) > 3:
        raise FileError(f"{where}: {len(ports)} host ports, at most 3 are possible")
    customers = []
    for pair in item.get("customers", ()):
        if not (
            isinstance(pair, (list, tuple))
            and len(pair) == 2
            and pair[0] in ports
            and isinstance(pair[1], int)
            and 0 < pair[1] < 1 << 16
        ):
            raise FileError(
                f"{where}: customers: {pair!r} is no host port with a customer's number"
            )
        customers.append((pair[0], pair[1]))
    return Engine(
        _field(item, "name", str, where),
        number,
        tuple(ports),
        fabric,
        _field(item, "switch_port", int, where),
        _optional(item, "netns_pid", int, where),
        _optional(item, "fabric_peer", str, where),
        tuple(customers),
        _word(item, "agent", where),
        _word(item, "stage", where),
        _risk_groups(item, where),
    )


def _word(item: Any, key: str, where: str) -> str:
    """Return a name that may be left out."""
    return str(_field({key: "", **item}, key, str, where))


def _agent(item: Any, where: str) -> AgentAddress:
    host = _field(item, "host", str, where)
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise FileError(f"{where}: {error}") from error
    name = _field(item, "name", str, where)
    if not _AGENT.fullmatch(name):
        raise FileError(f"{where}: {name!r} is no name of an agent")
    port = _field({"port": REPLICATION_PORT, **item}, "port", int, where)
    if not 0 < port < 1 << 16:
        raise FileError(f"{where}: port {port} is not between 1 and 65535")
    return AgentAddress(name, host, port)


def _location(item: Any, where: str) -> Location:
    prefix = _field(item, "prefix", str, where)
    gateway = _field(item, "gateway", str, where)
    try:
        if ipaddress.IPv4Address(gateway) not in ipaddress.IPv4Network(prefix):
            raise FileError(f"{where}: the gateway {gateway} is not in {prefix}")
    except ValueError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{where}: {error}") from error
    return Location(
        _field(item, "name", str, where),
        _field(item, "dpid", int, where),
        prefix,
        gateway,
        _engine(_field(item, "engine", dict, where), f"{where}: engine"),
        _optional(item, "lat", (int, float), where),
        _optional(item, "lon", (int, float), where),
        str(item.get("region", "")),
    )


def _risk_groups(item: Any, where: str) -> tuple[str, ...]:
    groups = item.get("risk_groups", ())
    if not isinstance(groups, (list, tuple)) or not all(
        isinstance(group, str) and group for group in groups
    ):
        raise FileError(f"{where}: 'risk_groups' is {groups!r}, not a list of names")
    return tuple(groups)


def _flag(item: Any, key: str, where: str) -> bool:
    """Return a flag that is true unless the file says otherwise."""
    value = item.get(key, True)
    if not isinstance(value, bool):
        raise FileError(f"{where}: {key!r} is {value!r}, neither true nor false")
    return value


def _not_negative(item: Any, key: str, where: str) -> float:
    value = float(_field({key: 0.0, **item}, key, (int, float), where))
    if not 0 <= value < math.inf:
        raise FileError(f"{where}: {key} must not be below 0")
    return value


def network_from_dict(data: Any, source: str) -> Network:
    """Build a Network from decoded JSON; ``source`` names it in errors.

    Raises:
        FileError: a field is missing or wrong, or a name, number, datapath id or prefix occurs
            twice, or a link names an unknown location.
    """
    if _field(data, "version", int, source) != VERSION:
        raise FileError(f"{source}: version {data['version']}; this program reads {VERSION}")
    locations = tuple(
        _location(item, f"{source}: location {number}")
        for number, item in enumerate(_field(data, "locations", list, source))
    )
    for what, values in (
        ("name", [x.name for x in locations]),
        ("dpid", [x.dpid for x in locations]),
        ("prefix", [x.prefix for x in locations]),
        ("engine number", [x.engine.number for x in locations]),
    ):
        if len(set(values)) < len(values):
            raise FileError(f"{source}: a {what} occurs more than once")
    agents = tuple(
        _agent(item, f"{source}: agent {number}")
        for number, item in enumerate(_field({"agents": [], **data}, "agents", list, source))
    )
    if len({agent.name for agent in agents}) < len(agents):
        raise FileError(f"{source}: an agent's name occurs more than once")
    names = {location.name for location in locations}
    links = []
    for number, item in enumerate(_field(data, "links", list, source)):
        where = f"{source}: link {number}"
        link = NetworkLink(
            _field(item, "src", str, where),
            _field(item, "dst", str, where),
            _number(item, "capacity_bps", None, where),
            _number(item, "metric", 1.0, where),
            _optional(item, "delay_ms", (int, float), where),
            _risk_groups(item, where),
            _flag(item, "trusted", where),
            _not_negative(item, "price_per_gb", where),
            _not_negative(item, "commitment_bps", where),
        )
        if link.src not in names or link.dst not in names:
            raise FileError(f"{where}: {link.src}>{link.dst} names an unknown location")
        links.append(link)
    return Network(
        _field(data, "name", str, source),
        locations,
        tuple(links),
        bool(data.get("synthetic", False)),
        int(_number(data, "max_frame", 1614, source)),
        bool(data.get("drop_refused", False)),
        agents,
    )


def network_to_dict(network: Network) -> dict[str, Any]:
    """Return what a network file holds, ready for JSON."""
    return {"version": VERSION, **asdict(network)}


def load_network(path: Path) -> Network:
    """Read a network file.

    Raises:
        FileError: it cannot be read, is no JSON, or breaks the format.
    """
    try:
        return network_from_dict(json.loads(path.read_text()), str(path))
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not JSON: {error}") from error


def save_network(network: Network, path: Path) -> None:
    """Write a network file, whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(network_to_dict(network), indent=1) + "\n")
    draft.replace(path)
