"""What the neighbours announce, from the speaker's messages."""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from controller.act.bgp.damping import Damping, Flaps
from controller.state import ExternalPath
from headers.prefixes import Network

Message = Mapping[str, Any]
MOST_PREFIXES = 10_000
"""Taken from one neighbour; a full table is not what the decision stage wants."""


class Learned:
    """Sessions and prefixes by neighbour; ``locations``: where each is attached.

    ``ours``: whether a prefix is one of our own, which nobody else may announce to us.
    """

    def __init__(
        self,
        locations: Mapping[str, str],
        ours: Callable[[Network], bool],
        damping: Damping,
        counts: Counter[str],
    ) -> None:
        self._locations = locations
        self._ours = ours
        self._damping = damping
        self._counts = counts
        self._paths: dict[str, dict[str, ExternalPath]] = {name: {} for name in locations}
        self._flaps = dict.fromkeys(locations, Flaps())
        self.up: set[str] = set()

    def take(self, message: Message, now_s: float) -> None:
        """Take one message of the speaker's; what is damaged or not asked for is counted."""
        try:
            neighbour = str(message["neighbor"]["address"]["peer"])
            if neighbour not in self._paths:
                self._counts["unknown_neighbour"] += 1
            elif message["type"] == "state":
                self._state(neighbour, str(message["neighbor"]["state"]), now_s)
            elif message["type"] == "update":
                self._update(neighbour, message["neighbor"]["message"].get("update", {}))
        except (AttributeError, KeyError, TypeError, ValueError):
            self._counts["damaged"] += 1

    def away(self, now_s: float) -> None:
        """Forget everything: the speaker itself is gone."""
        for neighbour in list(self.up):
            self._state(neighbour, "gone", now_s)

    def paths(self, now_s: float) -> tuple[ExternalPath, ...]:
        """Return what the neighbours that are believed announce, in a fixed order."""
        return tuple(
            self._paths[neighbour][prefix]
            for neighbour in sorted(self._paths)
            if neighbour in self.up and neighbour not in self.suppressed(now_s)
            for prefix in sorted(self._paths[neighbour])
        )

    def suppressed(self, now_s: float) -> tuple[str, ...]:
        """Return the neighbours that are not believed, since their sessions come and go."""
        present = {name: one.now(self._damping, now_s) for name, one in self._flaps.items()}
        return tuple(sorted(name for name, one in present.items() if one.suppressed))

    def _state(self, neighbour: str, state: str, now_s: float) -> None:
        if state == "up":
            # all is said anew in a new session
            self._paths[neighbour].clear()
            self.up.add(neighbour)
            self._counts["sessions_up"] += 1
        elif neighbour in self.up and state != "connected":
            self._paths[neighbour].clear()
            self.up.discard(neighbour)
            self._counts["sessions_down"] += 1
            if state == "down":
                before = self._flaps[neighbour].now(self._damping, now_s)
                after = before.flapped(self._damping, now_s)
                self._flaps[neighbour] = after
                if after.suppressed and not before.suppressed:
                    self._counts["suppressed"] += 1

    def _update(self, neighbour: str, update: Message) -> None:
        own = self._paths[neighbour]
        for family in update.get("withdraw", {}).values():
            for one in family:
                own.pop(_prefix_of(one), None)
        attributes = update.get("attribute", {})
        for family in update.get("announce", {}).values():
            for next_hop, listed in family.items():
                self._announced(neighbour, next_hop, listed, attributes)

    def _announced(
        self, neighbour: str, next_hop: str, listed: Iterable[Any], attributes: Message
    ) -> None:
        own = self._paths[neighbour]
        as_path = _as_path(attributes.get("as-path", {}))
        med = attributes.get("med")
        communities = tuple(
            ":".join(str(part) for part in one) if isinstance(one, list) else str(one)
            for kind in ("community", "large-community")
            for one in attributes.get(kind, ())
        )
        for one in listed:
            prefix = _prefix_of(one)
            network = ipaddress.ip_network(prefix)
            if self._ours(network):
                self._counts["ours_from_outside"] += 1
            elif prefix not in own and len(own) >= MOST_PREFIXES:
                self._counts["too_many_prefixes"] += 1
            else:
                own[prefix] = ExternalPath(
                    prefix,
                    neighbour,
                    str(next_hop),
                    as_path,
                    None if med is None else int(med),
                    communities,
                    self._locations[neighbour],
                )


def _prefix_of(one: Any) -> str:
    return str(one["nlri"] if isinstance(one, Mapping) else one)


def _as_path(segments: Any) -> tuple[int, ...]:
    """Return all numbers of a path in order, sets flattened."""
    if isinstance(segments, Mapping):
        return tuple(int(number) for one in segments.values() for number in one["value"])
    return tuple(int(number) for number in segments)
