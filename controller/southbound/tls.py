"""OpenFlow over TLS: both sides show a certificate, and every switch gets a handshake of its own.

Ryu's server takes its TLS settings apart with the first connection and has none for the second.
"""

import logging
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

from ryu.controller import controller
from ryu.lib import hub

LOG = logging.getLogger("foresteer.southbound")
HANDSHAKE_S = 5.0


def context(keyfile: str, certfile: str, ca_certs: str | None = None, **_: Any) -> ssl.SSLContext:
    """Return what a server needs to speak TLS 1.2 or later; with ``ca_certs`` only to those.

    Raises:
        OSError: a file cannot be read, or is none (ssl.SSLError).
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    made.load_cert_chain(certfile, keyfile)
    if ca_certs is not None:
        made.load_verify_locations(ca_certs)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def install(refused: Counter[str]) -> None:
    """Have Ryu's controller serve TLS by this module; handshakes that fail are counted."""

    class Server(hub.StreamServer):
        def __init__(
            self, address: tuple[str, int], handle: Callable[[Any, Any], None], **tls: Any
        ) -> None:
            if not tls:
                super().__init__(address, handle)
                return
            made = context(**tls)

            def wrap(plain: Any, peer: Any) -> None:
                try:
                    plain.settimeout(HANDSHAKE_S)
                    secure = made.wrap_socket(plain, server_side=True)
                except OSError as error:
                    refused["tls_handshake"] += 1
                    LOG.error("no TLS with %s: %s", peer[0], error)
                    plain.close()
                    return
                handle(secure, peer)

            super().__init__(address, wrap)

    controller.StreamServer = Server
