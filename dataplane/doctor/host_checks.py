"""Checks of the host itself: privileges, kernel, file system, and the software beside us."""

import errno
import resource

from dataplane.doctor.facts import Facts
from dataplane.doctor.finding import Findings, failure, none, ok, warning

# capability numbers of linux/capability.h
CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF = 12, 21, 39
OLDEST_KERNEL = (5, 9)  # XDP links; ring buffers are of 5.8, batched reads of 5.6
LIVE_FRAMES_KERNEL = (5, 18)
NO_MEMLOCK_KERNEL = (5, 11)  # from here on maps count to the control group
OLDEST_OVS = (2, 8)  # NSH


def _has(facts: Facts, *capabilities: int) -> bool:
    return any(facts.capabilities >> number & 1 for number in capabilities)


def privileges(facts: Facts) -> Findings:
    """CAP_BPF loads programs, CAP_NET_ADMIN attaches them, CAP_SYS_ADMIN enters namespaces."""
    missing = [
        name
        for name, there in (
            ("CAP_BPF", _has(facts, CAP_BPF, CAP_SYS_ADMIN)),
            ("CAP_NET_ADMIN", _has(facts, CAP_NET_ADMIN)),
            ("CAP_SYS_ADMIN", _has(facts, CAP_SYS_ADMIN)),
        )
        if not there
    ]
    if missing:
        yield failure(
            "privileges", f"{', '.join(missing)} missing: run it as root", "sudo foresteer doctor"
        )
    else:
        yield ok("privileges", "programs can be loaded, attached and pinned")


def kernel(facts: Facts) -> Findings:
    """Programs are attached by links of kernel 5.9; the benchmark needs live frames of 5.18."""
    if facts.kernel < OLDEST_KERNEL:
        yield failure(
            "kernel", f"{facts.release} is older than 5.9", "apt-get install linux-image-amd64"
        )
    elif facts.kernel < LIVE_FRAMES_KERNEL:
        yield warning(
            "kernel",
            f"{facts.release} forwards, but cannot run `foresteer bench dataplane` (5.18)",
            "apt-get install linux-image-amd64",
        )
    else:
        yield ok("kernel", facts.release)


def bpf_syscall(facts: Facts) -> Findings:
    """bpf(2) must be there, and nothing like seccomp before it."""
    if facts.bpf_errno == errno.EBADF:
        yield ok("bpf", "the system call answers")
    elif facts.bpf_errno == errno.EPERM:
        yield failure(
            "bpf",
            "the system call is refused: no privilege, or a container's seccomp profile",
            "docker run --cap-add BPF --cap-add NET_ADMIN --cap-add SYS_ADMIN"
            " --security-opt seccomp=unconfined …"
            if _has(facts, CAP_BPF, CAP_SYS_ADMIN)
            else "sudo foresteer doctor",
        )
    else:
        yield failure(
            "bpf",
            f"the kernel has no bpf system call (error {facts.bpf_errno}): CONFIG_BPF_SYSCALL",
            "apt-get install linux-image-amd64",
        )


def jit(facts: Facts) -> Findings:
    """An interpreted program costs several times what a compiled one does."""
    if facts.jit is None:
        yield none("jit", "net.core.bpf_jit_enable is not shown in this network namespace")
    elif facts.jit:
        yield ok("jit", "programs are compiled to machine code")
    else:
        yield warning(
            "jit",
            "programs are interpreted, at a fraction of the rate",
            "sysctl -w net.core.bpf_jit_enable=1",
        )


def bpffs(facts: Facts) -> Findings:
    """Pins outlive the agent on a bpffs of their own."""
    if not facts.bpffs_known:
        yield failure(
            "bpffs",
            "the kernel has no bpf file system: CONFIG_BPF_SYSCALL",
            "apt-get install linux-image-amd64",
        )
    elif facts.pins_mounted:
        yield ok("bpffs", f"mounted at {facts.pins}")
    elif facts.agent_running:
        yield failure(
            "bpffs",
            f"the agent runs, but no bpffs is mounted at {facts.pins} here:"
            " its pins are in another mount namespace",
            f"mkdir -p {facts.pins} && mount -t bpf bpf {facts.pins}",
        )
    elif _has(facts, CAP_SYS_ADMIN):
        yield ok("bpffs", f"the agent will mount it at {facts.pins}")
    else:
        yield failure(
            "bpffs",
            f"not mounted at {facts.pins}, and this user may not mount it",
            f"sudo mkdir -p {facts.pins} && sudo mount -t bpf bpf {facts.pins}",
        )


def memlock(facts: Facts) -> Findings:
    """Before kernel 5.11 maps counted as locked memory."""
    if facts.kernel >= NO_MEMLOCK_KERNEL:
        yield none("memlock", "maps do not count as locked memory since kernel 5.11")
    elif facts.memlock == resource.RLIM_INFINITY:
        yield ok("memlock", "no limit")
    else:
        yield failure(
            "memlock",
            f"maps must fit in {facts.memlock} bytes of locked memory",
            "ulimit -l unlimited",
        )


def open_vswitch(facts: Facts) -> Findings:
    """Switches match on NSH since Open vSwitch 2.8."""
    if facts.ovs_version is None and not facts.ovs_trouble:
        yield none("open vswitch", "not installed: this host carries no switch")
        return
    number = ".".join(map(str, facts.ovs_version or ())) or "unknown"
    if facts.ovs_version is not None and facts.ovs_version < OLDEST_OVS:
        yield failure(
            "open vswitch",
            f"version {number} knows no NSH; 2.8 does",
            "apt-get install openvswitch-switch",
        )
    elif facts.ovs_trouble:
        yield warning(
            "open vswitch",
            f"version {number} does not answer: {facts.ovs_trouble}",
            "service openvswitch-switch start",
        )
    else:
        yield ok("open vswitch", f"version {number} answers")


def nats_server(facts: Facts) -> Findings:
    """The bus is a nats-server."""
    if facts.nats_server:
        yield ok("nats-server", facts.nats_server)
    else:
        yield failure(
            "nats-server", "not installed: there is no bus", "apt-get install nats-server"
        )


def bcc(facts: Facts) -> Findings:
    """The compiler is Debian's package; PyPI's of the same name is something else."""
    if not facts.bcc_trouble:
        yield ok("bcc", "importable")
    elif facts.bcc_of_debian:
        yield failure(
            "bcc",
            f"installed, but not for the interpreter in {facts.interpreter}: {facts.bcc_trouble}",
            f"/usr/bin/python3 -m venv --system-site-packages {facts.interpreter}",
        )
    else:
        yield failure(
            "bcc", f"not importable: {facts.bcc_trouble}", "apt-get install python3-bpfcc"
        )


def kernel_headers(facts: Facts) -> Findings:
    """The programs include the kernel's user-space headers."""
    if facts.kernel_headers:
        yield ok("kernel headers", "the user-space headers are there")
    else:
        yield failure("kernel headers", "linux/bpf.h is missing", "apt-get install linux-libc-dev")
