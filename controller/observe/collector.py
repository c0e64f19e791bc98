"""What is known of the network: inventory, switches, links, hosts, counters; and the Snapshot."""

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.observe.demands import DemandMeter, ServiceKey, Spread
from controller.observe.opened import Opened
from controller.observe.past import Past
from controller.observe.quality import Windows
from controller.state import EngineState, LinkState, PathQuality, Plan, Refused, Service, Snapshot
from headers.files.network import Network
from headers.messages import AgentStatus, Host, LinkProbes, NetworkLinks, PortCounters, SwitchInfo

HISTORY_MOST = 8064
"""Intervals of demands that are remembered at most: four weeks at five minutes."""

HISTORY_LEAST = 400
HISTORY_BYTES = 64 << 20
"""Between these two, as many as fit here."""

SAMPLES = 256
AGENT_LIFETIME_S = 3.0
PROBES_KEEP_S = 30.0
PORTS_MOST = 4096
CIRCUITS_KEEP_S, CIRCUITS_MOST = 120.0, 16_384
CLIENTS_KEEP_S, CLIENTS_MOST = 600.0, 4096
REFUSED_S = 60.0
"""How long a path that a switch refused is left alone."""

Port = tuple[int, int]
NOTHING: Mapping[Port, PathQuality] = {}


@dataclass(slots=True)
class Agent:
    """An agent as it last spoke: when (monotonic), and which engines it serves."""

    name: str
    engines: tuple[int, ...]
    started_s: float
    generation: int
    heard_s: float
    epoch: int = 0
    alarms: tuple[str, ...] = ()


@dataclass(slots=True)
class Collector:
    """The state of observation; everything else of the brain sees Snapshots."""

    network: Network
    step_s: float
    data_step_s: float
    switches: dict[int, SwitchInfo] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    out_port: dict[str, Port] = field(default_factory=dict)
    in_port: dict[str, Port] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    history: Past = field(init=False)
    samples: dict[Port, deque[tuple[float, int]]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=SAMPLES))
    )
    probes: Windows[Port] = field(default_factory=lambda: Windows(PROBES_KEEP_S, PORTS_MOST))
    circuits: Windows[int] = field(default_factory=lambda: Windows(CIRCUITS_KEEP_S, CIRCUITS_MOST))
    clients: Windows[tuple[str, str]] = field(
        default_factory=lambda: Windows(CLIENTS_KEEP_S, CLIENTS_MOST)
    )
    refused: Counter[str] = field(default_factory=Counter)
    meter: DemandMeter = field(init=False)
    numbered: int = 0
    refused_s: dict[Refused, float] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    opened: Opened = field(default_factory=Opened)

    def __post_init__(self) -> None:
        self.meter = DemandMeter(self.network)
        count = max(len(self.network.locations), 1)
        fit = HISTORY_BYTES // (8 * count**2)
        self.history = Past(count, min(max(fit, HISTORY_LEAST), HISTORY_MOST))

    @property
    def nodes(self) -> tuple[str, ...]:
        """The locations' names, in matrix order."""
        return tuple(location.name for location in self.network.locations)

    def link_names(self) -> list[str]:
        """Return a name for every link of the inventory; parallel ones get a number."""
        seen: dict[str, int] = defaultdict(int)
        names = []
        for link in self.network.links:
            base = f"{link.src}>{link.dst}"
            seen[base] += 1
            names.append(base if seen[base] == 1 else f"{base}/{seen[base]}")
        return names

    def take_network(self, news: NetworkLinks) -> bool:
        """Take what the southbound says; return whether a link went down or came up.

        What is not heard of keeps its last state: a switch or southbound that is away says nothing
        of the links, and traffic goes on.
        """
        self.switches = {switch.dpid: switch for switch in news.switches}
        for host in news.hosts:
            self.hosts[host.address] = host
        place = {location.dpid: location.name for location in self.network.locations}
        known: dict[str, list[tuple[Port, Port]]] = defaultdict(list)
        lost = {((a, b), (c, d)) for a, b, c, d in news.lost}
        for a, b, c, d in sorted((*news.links, *news.lost)):
            if a in place and c in place:
                known[f"{place[a]}>{place[c]}"].append(((a, b), (c, d)))
        wanted = Counter(f"{link.src}>{link.dst}" for link in self.network.links)
        for base, ends in known.items():
            # a cable that moved to another port leaves its old ends behind as lost
            old = [pair for pair in ends if pair in lost]
            for pair in old[: max(0, len(ends) - wanted[base])]:
                ends.remove(pair)
        before = set(self.down), dict(self.out_port)
        for name in self.link_names():
            base, _, number = name.partition("/")
            ends = known.get(base, [])
            position = int(number or 1) - 1
            if position < len(ends):
                self.out_port[name], self.in_port[name] = ends[position]
            if name in self.out_port:
                ends_of = self.out_port[name], self.in_port[name]
                if ends_of in lost or not all(self._port_up(port) for port in ends_of):
                    self.down.add(name)
                else:
                    self.down.discard(name)
        return before != (self.down, self.out_port)

    def _port_up(self, port: Port) -> bool:
        switch = self.switches.get(port[0])
        if switch is None:
            return True
        found = [p for p in switch.ports if p.number == port[1]]
        return bool(found) and found[0].up

    def take_counters(self, counters: PortCounters) -> None:
        """Take a switch's port counters."""
        for row in counters.rows:
            self.samples[row.dpid, row.port].append((counters.time_s, row.tx_bytes))

    def take_probes(self, probes: LinkProbes) -> None:
        """Take what came of the southbound's probes of links."""
        for row in probes.rows:
            self.probes.add((row.dpid, row.port), probes.time_s, row.rtt_ms)

    def take_status(self, status: AgentStatus, now_s: float) -> None:
        """Take what an agent measured: echoes on circuits, handshakes of clients."""
        for row in status.measured:
            self.circuits.add(row.spi, now_s, row.rtt_ms)
        places = {x.engine.number: x.name for x in self.network.locations}
        for shake in status.handshakes:
            place = places.get(shake.engine)
            if place is None:
                self.refused["handshake_elsewhere"] += 1
                continue
            self.clients.add((shake.client, place), now_s, shake.rtt_ms)
            if shake.instance:
                self.opened.add(now_s, shake.instance, shake.count)
                self.clients.add((shake.client, f"{place}/{shake.instance}"), now_s, shake.rtt_ms)

    def opened_shares(self, service: str, now_s: float) -> Mapping[str, float]:
        """Return by location where a service's new connections go; empty where too few are seen."""
        known = next((one for one in self.services if one.name == service), None)
        return {} if known is None else self.opened.shares(known, now_s)

    def link_rates(self, since_s: float, until_s: float) -> dict[str, float]:
        """Return each link's mean rate in bit/s between two times, where there are samples."""
        rates = {}
        for name, port in self.out_port.items():
            inside = [s for s in self.samples[port] if since_s <= s[0] <= until_s]
            if len(inside) < 2 or inside[-1][0] <= inside[0][0]:
                continue
            if any(after[1] < before[1] for before, after in itertools.pairwise(inside)):
                continue  # the counter began anew in between
            (t0, b0), (t1, b1) = inside[0], inside[-1]
            rates[name] = (b1 - b0) * 8 / (t1 - t0)
        return rates

    def take_refused(self, refused: Iterable[Refused], now_s: float) -> None:
        """Remember paths that switches refused."""
        self.refused_s = {one: at for one, at in self.refused_s.items() if now_s - at < REFUSED_S}
        self.refused_s.update(dict.fromkeys(refused, now_s))

    def served(self, now_s: float) -> set[int]:
        """Return the numbers of the engines whose agent was heard of lately."""
        return {
            number
            for agent in self.agents.values()
            if now_s - agent.heard_s < AGENT_LIFETIME_S
            for number in agent.engines
        }

    def complete(self, now_s: float) -> bool:
        """Whether every switch, link and engine of the inventory is there."""
        served = self.served(now_s)
        return (
            all(location.dpid in self.switches for location in self.network.locations)
            and all(location.engine.number in served for location in self.network.locations)
            and len(self.out_port) == len(self.network.links)
            and not self.down
        )

    def links(
        self, rates: Mapping[str, float], measured: Mapping[Port, PathQuality] = NOTHING
    ) -> tuple[LinkState, ...]:
        """Return the links' states; one that was never discovered is not up."""
        return tuple(
            LinkState(
                name,
                link.src,
                link.dst,
                link.capacity_bps,
                link.metric,
                link.delay_ms,
                name in self.out_port and name not in self.down,
                rates.get(name, 0.0),
                measured.get(self.out_port[name]) if name in self.out_port else None,
                risk_groups=link.risk_groups,
                trusted=link.trusted,
                price_per_gb=link.price_per_gb,
                commitment_bps=link.commitment_bps,
            )
            for name, link in zip(self.link_names(), self.network.links, strict=True)
        )

    def snapshot(self, time_s: float, now_s: float, rates: Mapping[str, float]) -> Snapshot:
        """Return the next numbered Snapshot; demands are the newest row of the history."""
        self.numbered += 1
        past = self.history.rows()
        alive = self.served(now_s)
        engines = tuple(
            EngineState(x.engine.name, x.name, x.engine.number in alive, 0)
            for x in self.network.locations
        )
        return Snapshot(
            self.numbered,
            time_s,
            self.step_s,
            self.data_step_s,
            self.nodes,
            self.links(rates, self.probes.all(now_s)),
            past[-1],
            past,
            engines,
            refused=tuple(one for one, at in self.refused_s.items() if now_s - at < REFUSED_S),
            circuit_quality=self.circuits.all(now_s),
            client_quality=self.clients.all(now_s),
            regions={x.name: x.region for x in self.network.locations if x.region},
            services=self.reachable(),
        )

    def spread(self, plan: Plan | None) -> Spread:
        """Return which share of each engine's traffic to a service a plan sends to which location.

        Connections that were there before a shift stay where they are: until they have ended this
        says more of what is to come than of what is.
        """
        shares: dict[ServiceKey, dict[str, float]] = {}
        engines = {location.name: location.engine.number for location in self.network.locations}
        known = {service.name: service for service in self.services}
        for split in plan.services if plan else ():
            service, engine = known.get(split.service), engines.get(split.src)
            if service is None or engine is None:
                continue
            where = {one.name: one.location for one in service.instances}
            key = engine, service.address, service.protocol, service.port
            of_places = shares.setdefault(key, defaultdict(float))
            for name, share in zip(split.instances, split.shares, strict=True):
                if name in where:
                    of_places[where[name]] += share
        return shares

    def reachable(self) -> tuple[Service, ...]:
        """Return the services; an instance whose host was never seen takes no connections."""
        return tuple(
            replace(
                service,
                instances=tuple(
                    replace(one, healthy=one.healthy and one.address in self.hosts)
                    for one in service.instances
                ),
            )
            for service in self.services
        )
