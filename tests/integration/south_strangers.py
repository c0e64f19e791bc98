"""Who else knocks at the southbound's door; the tests say who gets in."""

import contextlib
import socket
import subprocess
from typing import Any

from tests.integration.south_lab import PORT, South, shell, until
from tests.integration.south_scenarios import ready, states


def strangers(south: South) -> dict[str, Any]:
    """A switch that nobody knows, a switch twice, and a state that names neither."""
    brain = ready(south)
    brain.apply(states(south))
    south.bridge(9)
    until(lambda: brain.refused("unknown_dpid") > 0, "the stranger is refused")
    seen: dict[str, Any] = {"flows": len(south.flows("s9")), "switches": sorted(brain.switches())}
    shell("ovs-vsctl del-br s9")
    shell(
        "ovs-vsctl add-br t1 -- set bridge t1 datapath_type=netdev fail_mode=secure"
        " protocols=OpenFlow13 other_config:datapath-id=0000000000000001"
        f" other_config:disable-in-band=true -- set-controller t1 tcp:127.0.0.1:{PORT}"
    )
    shell("ip link set s5-1 down")  # some news, which carries the counters

    def told() -> bool:
        shell("ip link set s5-1 up; ip link set s5-1 down")
        return brain.refused("duplicate_dpid") > 0

    until(told, "the second one is refused")
    seen["twice"] = sorted(brain.switches())
    seen["t1"] = len(south.flows("t1"))
    return seen


def replayed(south: South) -> dict[str, Any]:
    """Send a discovery frame that was recorded a while ago, where it was and elsewhere."""
    brain = ready(south)
    brain.apply(states(south))
    assert brain.network is not None
    before = set(brain.network.links)
    (out, into), (other, _) = south.cables["1-2"], south.cables["2-3"]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as tap:
        tap.bind((f"s{into[0]}-{into[1]}", 0))
        frame = tap.recv(2048)
    seen: dict[str, Any] = {"from": int.from_bytes(frame[19:27], "big")}
    # a frame sent at one end of a cable arrives at the other
    for name, end in (("there", out), ("elsewhere", other)):
        count = brain.refused("discovery_replayed")
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind((f"s{end[0]}-{end[1]}", 0))

            def told(sender: socket.socket = sender, count: int = count) -> bool:
                sender.send(frame)
                shell("ip link set s5-1 up; ip link set s5-1 down")
                return brain.refused("discovery_replayed") > count

            until(told, "it is counted")
        seen[name] = set(brain.network.links) == before
    return seen


def secure(south: South) -> dict[str, Any]:
    """OpenFlow over TLS, with certificates of both sides, and without."""
    folder = south.directory / "pki"
    folder.mkdir()

    def run(command: str) -> None:
        subprocess.run(command, shell=True, check=True, capture_output=True, cwd=folder)

    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    for name in ("ca", "other"):
        run(f"openssl req -x509 {key} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem")
    for name in ("controller", "switch"):
        run(f"openssl req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr")
        run(
            f"openssl x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial"
            f" -out {name}.pem"
        )
    shell(f"ovs-vsctl set-ssl {folder}/switch.key {folder}/switch.pem {folder}/ca.pem")
    brain = ready(
        south,
        "--ofp-ssl-listen-port", "6654",
        "--ctl-privkey", f"{folder}/controller.key",
        "--ctl-cert", f"{folder}/controller.pem",
        "--ca-certs", f"{folder}/ca.pem",
        controller="ssl:127.0.0.1:6654",
    )  # fmt: skip
    applied = brain.apply(states(south))
    seen: dict[str, Any] = {
        "applied": [[s.dpid, s.error, s.mismatches] for s in applied.switches],
        "flows": len(south.flows("s1")),
    }
    # nobody without a certificate of ours, and nobody in plain
    for name, with_key in (("stranger", "-cert other.pem -key other.key"), ("nobody", "")):
        seen[name] = shell(
            f"cd {folder} && timeout 5 openssl s_client -connect 127.0.0.1:6654 {with_key}"
            " -quiet </dev/null 2>&1 | tail -3"
        )
    with socket.create_connection(("127.0.0.1", 6654)) as plain:
        plain.settimeout(8)
        plain.sendall(bytes.fromhex("0400000800000001"))
        with contextlib.suppress(ConnectionError):
            seen["plain"] = plain.recv(99).hex()

    def told() -> bool:
        shell("ip link set s5-1 up; ip link set s5-1 down")
        return brain.refused("tls_handshake") >= 3

    until(told, "they are counted")
    seen["switches"] = sorted(brain.switches())
    return seen
