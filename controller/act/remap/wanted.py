"""From a plan's splits per source and instance to one share per location."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from controller.act.remap.channel import Shares
from controller.state import Service, ServiceSplit


def by_location(
    splits: Iterable[ServiceSplit],
    services: Iterable[Service],
    weights: Mapping[str, float] | None = None,
) -> dict[str, Shares]:
    """Return each service's shares by the location of its instances.

    ``weights``: how much each source location counts, 1 where it is not named: a name or a prefix
    has one answer for all sources, so it is their mean. Services that none may use are left out.
    """
    places = {
        (service.name, instance.name): instance.location
        for service in services
        for instance in service.instances
    }
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for split in splits:
        weight = 1.0 if weights is None else weights.get(split.src, 1.0)
        for instance, share in zip(split.instances, split.shares, strict=True):
            location = places.get((split.service, instance))
            if location is not None:
                sums[split.service][location] += weight * share
    found: dict[str, Shares] = {}
    for service, shares in sums.items():
        total = sum(shares.values())
        if total > 0:
            found[service] = {name: share / total for name, share in sorted(shares.items())}
    return found
