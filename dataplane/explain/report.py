"""An explanation as a value, as text, and as what JSON holds."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dataplane.explain.checks import Check, KeyOf, State, checks, customer_of
from dataplane.explain.engines import Fate, Plane
from dataplane.explain.fields import Field, Layer, dissect
from dataplane.pcap import Frame
from dataplane.twin.packets import L2_PLAIN, L2_VLAN, ether_type
from headers.packet.steering import ETHERTYPE

LONGEST_FRAME = 65_549
"""The longest IP packet behind an Ethernet header: what was cut off is made up to this length."""

_SHOWN_BYTES = 128


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of one frame.

    ``length``: on the wire; ``captured``: how many bytes of it there are. ``summary``: what it is.
    ``checks``: empty where there is no steering header. ``fates``: what engines here would do.
    """

    length: int
    captured: int
    summary: str
    layers: tuple[Layer, ...]
    checks: tuple[Check, ...]
    fates: tuple[Fate, ...]
    remarks: tuple[str, ...]

    @property
    def counted(self) -> str:
        """Return the reason that a refused header is counted under; "" where none is known."""
        return next((x.reason for x in self.checks if x.state is State.WRONG), "")

    def as_dict(self) -> dict[str, Any]:
        """Return the same for JSON; frames in hexadecimal digits."""
        fates = [{**dataclasses.asdict(x), "frame": x.frame.hex()} for x in self.fates]
        return {**dataclasses.asdict(self), "fates": fates, "counted": self.counted}

    def lines(self) -> Iterator[str]:
        """Return the same for a person, line by line."""
        cut = f", {self.captured} of them here" if self.captured != self.length else ""
        yield f"{self.length} bytes{cut}: {self.summary}"
        for layer in self.layers:
            yield layer.name
            yield from (_field_line(each) for each in layer.fields)
        if self.checks:
            yield "Checks at a fabric port, in order"
            for check in self.checks:
                yield f"  {check.state.value:5}  {check.reason}: {check.text}"
        for fate in self.fates:
            yield f"At {fate.engine}:{fate.port}, {fate.program}"
            yield f"  counted: {', '.join(fate.reasons) or 'nothing'}"
            yield f"  verdict: {fate.verdict}: {fate.text}"
            if fate.verdict != "drop":
                yield f"  as: {_hex(fate.frame)}"
        yield from self.remarks


def _hex(data: bytes) -> str:
    more = f" and {len(data) - _SHOWN_BYTES} bytes more" if len(data) > _SHOWN_BYTES else ""
    return data[:_SHOWN_BYTES].hex() + more


def _field_line(field: Field) -> str:
    last = field.offset + field.size - 1
    where = f"{field.offset}-{last}" if field.size > 1 else str(field.offset)
    note = f"  ({field.note})" if field.note else ""
    return f"  {where:>9}  {field.name:<21} {field.value}{note}".rstrip()


def explain(
    frame: Frame,
    *,
    key_of: KeyOf | None = None,
    plane: Plane | None = None,
    port: str = "",
    why: str = "",
) -> Explanation:
    """Explain a frame, with keys and tables where they are at hand.

    What was not captured of a frame is taken as zeros. ``why`` there is no ``plane``: a remark.

    Raises:
        DataplaneError: no such port.
    """
    data, remarks = frame.data, []
    missing = min(frame.length, LONGEST_FRAME) - len(data)
    if missing > 0:
        remarks.append(f"{missing} bytes were not captured: checks and engines see zeros there")
        data = data.ljust(len(data) + missing, b"\0")
    kind, l2 = ether_type(data)
    summary, done = "too short for Ethernet", tuple[Check, ...]()
    if kind == ETHERTYPE:
        done = checks(data, l2, key_of, plane.tables if plane else None)
        wrong = next((x for x in done if x.state is State.WRONG), None)
        what = "steered" if not data[l2 : l2 + 1] or not data[l2] & 0x20 else "an echo"
        summary = f"{what}, refused as {wrong.reason}" if wrong else f"{what}, no fault found"
        customer = customer_of(data, l2, plane.tables) if plane else None
        if customer is not None:
            summary = f"steered by customer {customer}, at that customer's port"
        if l2 == L2_VLAN:
            remarks.append("behind an 802.1Q tag: at a fabric port it counts as plain, and passes")
    elif len(data) >= L2_PLAIN:
        summary = "no steering header: at a fabric port it counts as plain, and passes"
    fates: tuple[Fate, ...] = ()
    if plane is None:
        remarks.append(f"Only the header is explained: {why or 'no tables were given'}")
    elif len(data) >= L2_PLAIN:
        fates = plane.fates(data, port)
    return Explanation(
        frame.length,
        len(frame.data),
        summary,
        dissect(frame.data),
        done,
        fates,
        tuple(remarks),
    )
