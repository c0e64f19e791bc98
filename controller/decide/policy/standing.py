"""What service policies leave of a service's locations, and what they wish."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from controller.decide.candidates import Floats
from controller.decide.policy.match import Matcher
from controller.decide.policy.ways import Ways
from controller.layers import Global, ServicePolicy
from controller.state import Instance, Service

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """A service under its policies, the most important first.

    ``hosts`` [K]: numbers of the locations with healthy instances, sorted. ``instances``: those,
    by host. ``capacity`` [K]: theirs together. ``allowed`` [N, K]: whether clients at a location
    may be sent there. ``roomy`` [N, K]: whether the way has the bandwidth that is wished for.
    """

    service: Service
    policies: tuple[ServicePolicy, ...]
    hosts: tuple[int, ...]
    instances: tuple[tuple[Instance, ...], ...]
    capacity: Floats
    allowed: Bools
    roomy: Bools
    pinned: Bools
    nearest: bool
    over: str = ""
    nodes: tuple[str, ...] = ()
    regions: Sequence[str] = field(default=())

    def why_not(self, source: int, host: int, ways: Ways) -> str:
        """Return which policy refuses a location to a source's clients, and why."""
        for policy in self.policies:
            why = _refusal(policy, source, host, ways, self.nodes, self.regions)
            if why:
                who = f"service policy {policy.name}" if policy.name else "the global policy"
                return f"refused by {who}: {why}"
        if not np.isfinite(ways.latency_ms[source, host]):
            return f"there is no way from {self.nodes[source]} to {self.nodes[host]}"
        return ""


def standing_of(
    service: Service,
    policies: Matcher[ServicePolicy],
    general: Global,
    nodes: tuple[str, ...],
    regions: Sequence[str],
    ways: Ways,
) -> Standing:
    """Return what holds for a service; of wishes, the policy of the highest priority decides.

    Of equal priorities the first by name does.
    """
    index = {name: number for number, name in enumerate(nodes)}
    found = policies.about(service)
    found += _of_all(general)
    found.sort(key=lambda policy: (-policy.priority, policy.name))
    by_host: dict[int, list[Instance]] = {}
    for one in sorted(service.instances, key=lambda one: one.name):
        if one.healthy and one.capacity > 0 and one.location in index:
            by_host.setdefault(index[one.location], []).append(one)
    hosts = tuple(sorted(by_host))
    columns = np.array(hosts, dtype=np.intp)
    allowed = np.isfinite(ways.latency_ms[:, columns])
    roomy = np.ones_like(allowed)
    for policy in found:
        allowed &= _allows(policy, columns, ways, nodes, regions)
        roomy &= ways.free_bps[:, columns] >= policy.min_bandwidth_bps
    wish = next((policy for policy in found if policy.name), None)
    pins = next((policy.pin for policy in found if policy.pin), ())
    return Standing(
        service,
        tuple(found),
        hosts,
        tuple(tuple(by_host[host]) for host in hosts),
        np.array([sum(one.capacity for one in by_host[host]) for host in hosts]),
        allowed,
        roomy,
        np.array([not pins or nodes[host] in pins for host in hosts], dtype=np.bool_),
        wish.nearest if wish else True,
        next((policy.name for policy in found if policy.over_granular), ""),
        nodes,
        regions,
    )


def _of_all(general: Global) -> list[ServicePolicy]:
    """Return the global layer's security as a policy of the lowest priority, if it asks for any."""
    if not general.trusted_only and general.max_latency_ms is None:
        return []
    return [
        ServicePolicy(
            "",
            priority=-1,
            trusted_only=general.trusted_only,
            max_latency_ms=general.max_latency_ms,
        )
    ]


def _allows(
    policy: ServicePolicy,
    columns: NDArray[np.intp],
    ways: Ways,
    nodes: tuple[str, ...],
    regions: Sequence[str],
) -> Bools:
    good = np.array(
        [not _misplaced(policy, nodes[host], regions[host]) for host in columns], dtype=np.bool_
    )
    result = np.broadcast_to(good, (len(nodes), len(columns))).copy()
    if policy.max_latency_ms is not None:
        result &= ways.latency_ms[:, columns] <= policy.max_latency_ms
    if policy.trusted_only:
        result &= ways.trusted[:, columns]
    return result


def _misplaced(policy: ServicePolicy, location: str, region: str) -> str:
    if policy.allowed_locations and location not in policy.allowed_locations:
        return f"{location} is not among its allowed locations"
    if location in policy.forbidden_locations:
        return f"{location} is a forbidden location"
    if policy.allowed_regions and region not in policy.allowed_regions:
        return f"{location} is not in its allowed regions"
    if region and region in policy.forbidden_regions:
        return f"{location} is in the forbidden region {region}"
    return ""


def _refusal(
    policy: ServicePolicy,
    source: int,
    host: int,
    ways: Ways,
    nodes: tuple[str, ...],
    regions: Sequence[str],
) -> str:
    misplaced = _misplaced(policy, nodes[host], regions[host])
    if misplaced:
        return misplaced
    takes = float(ways.latency_ms[source, host])
    if policy.max_latency_ms is not None and takes > policy.max_latency_ms:
        return (
            f"{nodes[source]} to {nodes[host]} takes {takes:.1f} ms, and"
            f" {policy.max_latency_ms:.1f} ms are allowed"
        )
    if policy.trusted_only and not ways.trusted[source, host]:
        return f"the way from {nodes[source]} to {nodes[host]} is not trusted"
    return ""
