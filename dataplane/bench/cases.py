"""What is measured: each case is a program or a way, with a set of frames."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dataplane.bench import traffic
from dataplane.bench.rig import BRIDGED, ROUTED, XDP, Rig, Way
from dataplane.bench.traffic import (
    MILLION,
    PLAIN_FRAME,
    STEERED_FRAME,
    TEN_THOUSAND,
    Block,
    Frames,
)
from dataplane.errors import DataplaneError


@dataclass(frozen=True, slots=True)
class Case:
    """One figure: frames of a block go through a program (None: what is there) on a way.

    ``alone``: whether the program can be timed by itself as well; ``renewing``: no flow comes
    twice; ``opening``: the figure is connections entered, not frames; ``large``: by the engine
    with the large connection table.
    """

    name: str
    program: str | None
    block: Block
    way: Way = XDP
    alone: bool = True
    renewing: bool = False
    opening: bool = False
    large: bool = False

    @property
    def generator(self) -> str:
        """Return the generator's program."""
        return "generate_new" if self.renewing else "generate"


class Table:
    """The generator's table while it is laid out: blocks one after another."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, Frames]] = []
        self.size = 0

    def add(self, frames: Frames, length: int) -> Block:
        """Append a block."""
        block = Block(self.size, len(frames), length)
        self.frames.append((self.size, frames))
        self.size += len(frames)
        return block

    def of(self, block: Block) -> Frames:
        """Return the frames of a block that has not been written yet."""
        return next(frames for base, frames in self.frames if base == block.base)

    def write(self, rig: Rig) -> None:
        """Copy all blocks to the generator, and forget the frames."""
        for base, frames in self.frames:
            rig.fill(base, frames)
        self.frames.clear()


@dataclass(frozen=True, slots=True)
class Traffic:
    """The blocks that cases draw on.

    ``plain``: a million address pairs; ``steered``: the same in steering headers; ``fresh``: new
    flows; ``established``: packets of a million connections of a virtual address; ``syn``: new
    ones; ``openings``: each new one's first two packets.
    """

    plain: Block
    steered: Block
    fresh: Block
    established: Block
    syn: Block
    openings: Block


def lay_out(tag_key: bytes, vip: int) -> tuple[Table, Traffic]:
    """Make all frames."""
    table = Table()
    plain = traffic.plain()

    def add(frames: Frames) -> Block:
        return table.add(frames, PLAIN_FRAME)

    return table, Traffic(
        plain=add(plain),
        steered=table.add(traffic.steered(plain, tag_key), STEERED_FRAME),
        fresh=add(traffic.fresh(None, None)),
        established=add(traffic.tcp_to_vip(MILLION, traffic.TCP_ACK, vip)),
        syn=add(traffic.fresh(traffic.TCP_SYN, vip)),
        openings=add(traffic.openings(vip)),
    )


SIZES: Mapping[str, int] = {"": 1, "_10k": TEN_THOUSAND, "_1m": MILLION}
"""What a case's name ends with, for how many random address pairs its frames are of."""
CONNECTIONS: Mapping[str, int] = {**SIZES, "_100k": 10 * TEN_THOUSAND}


def cases(blocks: Traffic) -> list[Case]:
    """Return all cases in the order of a round."""
    found = [Case("drop", "sink", blocks.plain.part(1))]
    for end, count in SIZES.items():
        plain, steered = blocks.plain.part(count), blocks.steered.part(count)
        found += [
            Case(f"redirect{end}", "redirect", plain),
            Case(f"redirect_steered{end}", "redirect", steered, alone=False),
            Case(f"steer_notag{end}", "steer_notag", steered),
            Case(f"steer_tag{end}", "steer", steered),
            Case(f"mark{end}", "mark", plain),
            Case(f"fib{end or '_1'}", "fib", plain),
            Case(f"kernel_forward{end}", None, plain, ROUTED),
        ]
    for end, count in CONNECTIONS.items():
        established = blocks.established.part(count)
        found += [
            Case(f"redirect_established{end}", "redirect", established, alone=False),
            # virtual addresses are mark's to find: balance is called by it
            Case(f"balance{end}", "mark", established, large=count == MILLION),
        ]
    found += [
        Case("balance_direct", "balance", blocks.established.part(1)),
        Case("redirect_new", "redirect", blocks.fresh, renewing=True),
        Case("mark_new", "mark", blocks.fresh, renewing=True),
        Case("balance_syn", "mark", blocks.syn, renewing=True),
        Case("balance_new", "mark", blocks.openings, renewing=True, alone=False, opening=True),
        Case("bridge", None, blocks.plain.part(1), BRIDGED),
    ]
    return found


OVS_NAMES = ("ovs_afxdp_lossfree", "ovs_afxdp_overload")
Chooser = Callable[[str], bool]


def _names(only: str) -> set[str]:
    return {name.strip() for name in only.split(",")}


def chooser(only: str | None) -> Chooser:
    """Return what says whether a case is wanted; ``only`` holds names with commas between."""
    if not only:
        return lambda _name: True
    return _names(only).__contains__


def check_names(only: str | None, known: Sequence[Case]) -> None:
    """Refuse names of no case.

    Raises:
        DataplaneError: with the names that there are.
    """
    names = [*(case.name for case in known), *OVS_NAMES]
    wrong = _names(only) - set(names) if only else set()
    if wrong:
        raise DataplaneError(f"no figure is called {', '.join(sorted(wrong))}: {', '.join(names)}")
