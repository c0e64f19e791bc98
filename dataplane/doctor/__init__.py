"""What is wrong with a host that should carry engines, and for each the command that mends it.

A check takes facts and returns findings; it looks at nothing itself. ``facts`` gathers them.
"""

from collections.abc import Sequence

from dataplane.doctor import host_checks, port_checks
from dataplane.doctor.facts import Facts, Port, Role, gather
from dataplane.doctor.finding import Check, Finding, Status

__all__ = ["CHECKS", "Facts", "Finding", "Port", "Role", "Status", "diagnose", "failed", "gather"]

CHECKS: tuple[Check, ...] = (
    host_checks.privileges,
    host_checks.kernel,
    host_checks.bpf_syscall,
    host_checks.jit,
    host_checks.bpffs,
    host_checks.memlock,
    host_checks.open_vswitch,
    host_checks.nats_server,
    host_checks.bcc,
    host_checks.kernel_headers,
    port_checks.ports_seen,
    port_checks.mtu,
    port_checks.xdp_possible,
    port_checks.foreign_programs,
    port_checks.redirect_peers,
    port_checks.merging,
    port_checks.checksums,
    port_checks.vlan_tags,
)


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """Return what every check finds, in the order of the checks, each thing once."""
    return tuple(dict.fromkeys(finding for check in CHECKS for finding in check(facts)))


def failed(findings: Sequence[Finding]) -> bool:
    """Return whether something must be mended before engines can run."""
    return any(finding.status is Status.FAILURE for finding in findings)
