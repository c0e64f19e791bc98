"""What the brain hears anyway, as samples of series: counters, echoes, links, classes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from controller.observe.series import SeriesStore
from controller.observe.series_counters import RateMeter
from controller.observe.series_ring import Labels
from controller.state import LinkState
from headers.files.network import Network
from headers.messages import AgentStatus, CounterReport, PortCounters


class SeriesFeed:
    """Turns reports into samples of a store; what is not understood is left out."""

    def __init__(self, store: SeriesStore, network: Network) -> None:
        self.store = store
        self.meter = RateMeter()
        self._engine = {x.engine.number: x.name for x in network.locations}
        self._prefix = {x.prefix: x.name for x in network.locations}
        self.services = False
        """Whether any engine counts services, so that fast counters are worth asking for."""

    def links(self, links: Iterable[LinkState], measured: Mapping[str, float]) -> None:
        """Take the links' loads of the last interval, in bit/s, and what was free."""
        for link in links:
            rate = measured.get(link.name)
            if rate is None or not link.up:
                continue
            labels = Labels(link.src, link.dst, link.capacity_bps)
            self.store.put("link_load", link.name, rate, labels=labels)
            free = max(link.capacity_bps - rate, 0.0)
            self.store.put("link_free", link.name, free, labels=labels)

    def ports(self, counters: PortCounters, out_port: Mapping[str, tuple[int, int]]) -> None:
        """Take the switches' port counters: the share of a link's packets that was dropped."""
        rows = {(row.dpid, row.port): row for row in counters.rows}
        for name, port in out_port.items():
            row = rows.get(port)
            if row is None:
                continue
            sent = self.meter.rate(("sent", port), counters.time_s, row.tx_packets)
            lost = self.meter.rate(("lost", port), counters.time_s, row.tx_dropped)
            if sent is not None and lost is not None and sent + lost > 0.0:
                self.store.put("link_loss", name, lost / (sent + lost))

    def agent(self, status: AgentStatus, now_s: float) -> None:
        """Take an agent's connections, and what echoes between its engines told."""
        if status.connections or status.events:
            self.store.put("connections", status.agent, status.connections)
            new = self.meter.rate(("events", status.agent), now_s, status.events)
            if new is not None:
                self.store.put("connection_rate", status.agent, new)
        for echo in status.echoes:
            source, target = self._engine.get(echo.engine), self._engine.get(echo.target)
            if source is None or target is None:
                continue
            name, labels = f"{source}>{target}", Labels(source, target)
            if echo.received and not echo.down:
                self.store.put("path_latency", name, echo.round_trip_s, labels=labels)
            key = (status.agent, echo.engine, echo.target)
            sent = self.meter.rate(("echoes", *key), now_s, echo.sent)
            received = self.meter.rate(("answers", *key), now_s, echo.received)
            if sent is not None and received is not None and sent > 0.0:
                share = min(max(1.0 - received / sent, 0.0), 1.0)
                self.store.put("path_loss", name, share, labels=labels)

    def classes(self, reports: Iterable[CounterReport]) -> None:
        """Take the demands by application class, and each class's share of all traffic."""
        total: dict[int, float] = defaultdict(float)
        for report in reports:
            for row in report.demands:
                ends = self._engine.get(row.engine), self._prefix.get(row.prefix)
                if ends[0] is None or ends[1] is None or ends[0] == ends[1]:
                    continue
                key = ("class", report.agent, row.engine, row.prefix, row.application_class)
                rate = self.meter.rate(key, report.time_s, row.bytes)
                if rate is None:
                    continue
                bps, number = rate * 8.0, row.application_class
                total[number] += bps
                if number:  # the rest is in the demand itself
                    name = f"{ends[0]}>{ends[1]}/{number}"
                    self.store.put("class_demand", name, bps, labels=Labels(ends[0], ends[1]))
        everything = sum(total.values())
        if everything > 0.0:
            for number, bps in total.items():
                self.store.put("class_mix", str(number), bps / everything)

    def engines(self, reports: Iterable[CounterReport]) -> None:
        """Take the fast counters: services per engine, and each engine's packets."""
        for report in reports:
            for number, reasons in report.reasons.items():
                engine = self._engine.get(number)
                seen = sum(reasons.values())
                packets = self.meter.rate(("engine", report.agent, number), report.time_s, seen)
                if engine is not None and packets is not None:
                    self.store.put("engine_packets", engine, packets, labels=Labels(engine, engine))
            for row in report.services:
                self.services = True
                engine = self._engine.get(row.engine)
                if engine is None:
                    continue
                name = f"{row.address}:{row.protocol}:{row.port}@{engine}"
                labels = Labels(engine, engine)
                key = ("service", report.agent, row.engine, row.address, row.protocol, row.port)
                load = self.meter.rate((*key, "bytes"), report.time_s, row.bytes)
                packets = self.meter.rate((*key, "packets"), report.time_s, row.packets)
                if load is not None and packets is not None:
                    self.store.put("service_load", name, load * 8.0, labels=labels)
                    self.store.put("service_packets", name, packets, labels=labels)
                self.store.put("connections", name, row.connections, labels=labels)
