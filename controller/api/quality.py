"""What probes and handshakes say of links, circuits and clients, as plain values for JSON."""

from dataclasses import asdict
from typing import Any

from controller.api.view import Round
from controller.state import PathQuality


def _plain(measured: PathQuality) -> dict[str, Any]:
    """Return a quality; its round trip is null where nothing came back."""
    return {**asdict(measured), "rtt_ms": measured.rtt_ms if measured.loss < 1 else None}


def qualities(last: Round) -> dict[str, Any]:
    """Return what is measured of links by name, circuits by number, and clients' ways."""
    seen = last.snapshot
    return {
        "tick": last.number,
        "links": {x.name: _plain(x.quality) for x in seen.links if x.quality is not None},
        "circuits": {str(spi): _plain(one) for spi, one in sorted(seen.circuit_quality.items())},
        "clients": [
            {"client": client, "place": place, **_plain(one)}
            for (client, place), one in sorted(seen.client_quality.items())
        ],
    }
