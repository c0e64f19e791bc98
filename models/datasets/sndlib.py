"""One traffic matrix in SNDlib's native or XML format.

Both hold nodes, demands and, in the archives of dynamic traffic, the unit. A demand that is not
there is 0. Source: SNDlib's format pages and the read-me files of its dynamic traffic.
"""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

from headers.files import FileError

UNITS_MBPS = {
    "BITPERSEC": 1e-6,
    "KBITPERSEC": 1e-3,
    "MBITPERSEC": 1.0,
    "GBITPERSEC": 1e3,
    "BIT/S": 1e-6,
    "KBIT/S": 1e-3,
    "MBIT/S": 1.0,
    "GBIT/S": 1e3,
}
"""What a unit of the meta section is in Mb/s; without one the archives mean Mb/s."""

_SECTION = re.compile(r"([A-Z_]+)\s*\(")
_HEAD = "?SNDlib native format"


@dataclass(frozen=True, slots=True)
class Matrix:
    """What one file says: nodes in its order, and demands (source, destination, Mb/s)."""

    nodes: tuple[str, ...]
    demands: tuple[tuple[str, str, float], ...]
    synthetic: bool


def _value(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise FileError(f"{where}: {text[:40]!r} is no number") from error
    if "_" in text:  # Python's own, nobody else's
        raise FileError(f"{where}: {text[:40]!r} is no number")
    if not 0.0 <= value < math.inf:
        raise FileError(f"{where}: {text[:40]!r} is negative or not finite")
    return value


def _unit(meta: dict[str, str], where: str) -> float:
    unit = meta.get("unit", "MBITPERSEC")
    factor = UNITS_MBPS.get(unit.strip().upper())
    if factor is None:
        raise FileError(f"{where}: the unit {unit[:40]!r} is not known ({', '.join(UNITS_MBPS)})")
    return factor


def _lines(text: str, where: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, section and line of everything that lies within a section."""
    section = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#", 1)[0].strip()
        if not line or line.startswith("?"):
            continue
        if not section:
            begins = _SECTION.fullmatch(line)
            if begins is None:
                raise FileError(f"{where}, line {number}: {line[:40]!r} is outside any section")
            section = begins[1]
        elif line == ")":
            section = ""
        else:
            yield number, section, line
    if section:
        raise FileError(f"{where}: the file ends within {section}")


def _fields(line: str, opened: int, count: int, where: str, number: int) -> list[str]:
    """Return a record's words: ``name ( … ) …``, the parenthesis holding ``opened`` of them."""
    before, bracket, rest = line.partition("(")
    inside, closed, after = rest.partition(")")
    fields = [*before.split(), *inside.split(), *after.split()]
    if not (bracket and closed) or len(inside.split()) != opened or len(fields) < count:
        raise FileError(f"{where}, line {number}: {line[:60]!r} is no record of its section")
    return fields


def parse_native(text: str, where: str) -> Matrix:
    """Read one matrix in SNDlib's native format; ``where`` names it in errors.

    Raises:
        FileError: no such file, or a line that breaks the format: named with its number.
    """
    if not text.lstrip("\ufeff \r\n\t").startswith(_HEAD):
        raise FileError(f"{where}: does not begin with {_HEAD!r}")
    nodes: list[str] = []
    demands: list[tuple[int, str, str, float]] = []
    meta: dict[str, str] = {}
    for number, section, line in _lines(text, where):
        if section == "DEMANDS":
            _, src, dst, unit, amount, *_ = _fields(line, 2, 5, where, number)
            at = f"{where}, line {number}"
            demands.append((number, src, dst, _value(unit, at) * _value(amount, at)))
        elif section == "NODES":
            nodes.append(_fields(line, 2, 3, where, number)[0])
        elif section == "META":
            key, _, said = line.partition("=")
            meta[key.strip()] = said.strip()
    factor = _unit(meta, where)
    known = set(nodes)
    for number, src, dst, _ in demands:
        if src not in known or dst not in known:
            raise FileError(f"{where}, line {number}: {src}>{dst} names an unknown node")
    return _matrix(nodes, [(src, dst, v * factor) for _, src, dst, v in demands], meta, where)


def _matrix(
    nodes: list[str], demands: list[tuple[str, str, float]], meta: dict[str, str], where: str
) -> Matrix:
    if len(set(nodes)) < len(nodes) or len(nodes) < 2:
        raise FileError(f"{where}: {len(nodes)} nodes, of which {len(set(nodes))} are different")
    return Matrix(tuple(nodes), tuple(demands), "synthetic" in meta.get("origin", "").lower())


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]


def _texts(element: ET.Element) -> dict[str, str]:
    return {_local(child.tag): (child.text or "").strip() for child in element}


def parse_xml(content: bytes, where: str) -> Matrix:
    """Read one matrix in SNDlib's XML format; ``where`` names it in errors.

    Raises:
        FileError: not XML, or an element that breaks the format: named with its id.
    """
    # entities are what a small file becomes a large one with; SNDlib's files define none
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise FileError(f"{where}: the file defines entities: not one of SNDlib's")
    try:
        root = ET.fromstring(content)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise FileError(f"{where}: not XML: {error}") from error
    if _local(root.tag) != "network":
        raise FileError(f"{where}: the root is <{_local(root.tag)[:40]}>, not <network>")
    meta: dict[str, str] = {}
    nodes: list[str] = []
    found: list[tuple[str, dict[str, str]]] = []
    for element in root.iter():
        tag = _local(element.tag)
        if tag == "meta":
            meta = _texts(element)
        elif tag == "node":
            nodes.append(element.get("id", ""))
        elif tag == "demand":
            found.append((f"{where}, demand {element.get('id', '?')}", _texts(element)))
    factor = _unit(meta, where)
    known = set(nodes)
    demands = []
    for at, texts in found:
        src, dst = texts.get("source", ""), texts.get("target", "")
        if src not in known or dst not in known:
            raise FileError(f"{at}: {src!r} to {dst!r} names an unknown node")
        amount = _value(texts.get("demandValue", ""), at) * _value(
            texts.get("routingUnit", "1"), at
        )
        demands.append((src, dst, amount * factor))
    return _matrix(nodes, demands, meta, where)
