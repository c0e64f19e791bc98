"""What runs in the benchmark's own namespaces: ``python -m dataplane.bench.inside JSON``."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataplane.bench.namespace import settle
from dataplane.errors import DataplaneError

if TYPE_CHECKING:
    from dataplane.bench.system import Load, UnderLoad

_NICENESS = -20


def _say(text: str) -> None:
    """Tell how far it is, where somebody looks on."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text:40}\r")
        sys.stderr.flush()


def dataplane(scratch: Path, options: Mapping[str, Any]) -> None:
    """Measure the data plane and its peers, print the table, write the JSON."""
    from dataplane.bench import cases as catalogue
    from dataplane.bench.engines import LARGE, TAG_KEY, VIP_NUMBER, EngineOnBench
    from dataplane.bench.measure import Bench, Load, run_rounds, spread, switch_sample
    from dataplane.bench.ovs import Switch
    from dataplane.bench.report import Result
    from dataplane.bench.rig import Rig
    from dataplane.bench.traffic import TEN_THOUSAND
    from dataplane.bench.ways import set_up_bridge, set_up_routes

    wanted = catalogue.chooser(options["only"])
    with_switch = wanted("ovs_afxdp_lossfree") or wanted("ovs_afxdp_overload")
    processors = os.sched_getaffinity(0)
    core = max(processors)
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    table, blocks = catalogue.lay_out(TAG_KEY, VIP_NUMBER)
    rig = Rig(scratch / "pins", scratch / "stub", table.size)
    stub = scratch / "stub"
    engine = EngineOnBench(rig, stub)
    established = table.of(blocks.established)
    engine.enter(established[: catalogue.CONNECTIONS["_100k"]])
    large = None
    if wanted("balance_1m"):
        large = EngineOnBench(rig, stub, LARGE, no_tag=False)
        large.enter(established)
    table.write(rig)
    set_up_routes(rig)
    set_up_bridge(rig)
    os.sched_setaffinity(0, {core})
    load = Load()
    bench = Bench(rig, engine, large, options["seconds"])
    every = catalogue.cases(blocks)
    catalogue.check_names(options["only"], every)
    chosen = [case for case in every if wanted(case.name)]
    block = blocks.plain.part(TEN_THOUSAND)
    if not with_switch:
        run_rounds(bench, chosen, options["rounds"], None, load, _say)
    else:
        with Switch(scratch / "ovs", {core}) as switch:
            switch.stop()
            run_rounds(bench, chosen, options["rounds"], (switch, block), load, _say)
            others = processors - {core}
            if others:
                switch.move({min(others)})
                switch_sample(bench, switch, block, "_own_core")
    mpps, ns = bench.figures.medians()
    lost = {name: sorted(x)[len(x) // 2] for name, x in bench.figures.lost.items()}
    spreads = {name: spread(x) for name, x in bench.figures.mpps.items()}
    result = Result(mpps, ns, lost, spreads, options["rounds"], load.warning())
    sys.stdout.write(result.table() + "\n")
    if options["json"]:
        result.write(Path(options["json"]))


def _under_load(
    scratch: Path, options: Mapping[str, Any], capacity: int, run: Callable[["UnderLoad"], "Load"]
) -> None:
    """Measure an engine and its agent under load, print what came of it, write the JSON."""
    from dataplane.bench.system import UnderLoad

    processors = os.sched_getaffinity(0)
    core = max(processors)
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    under = UnderLoad(scratch, options["connections"], capacity, core, processors - {core})
    try:
        load = run(under)
    finally:
        under.agent.close()
    sys.stdout.write(load.text() + "\n")
    if options["json"]:
        Path(options["json"]).write_text(json.dumps(load.values(), indent=2) + "\n")


def system(scratch: Path, options: Mapping[str, Any]) -> None:
    """Send requests over many open connections while some open and close."""
    from dataplane.bench.system import SYSTEM_TABLE

    rate, seconds, share = (options[name] for name in ("rate", "seconds", "new"))
    _under_load(scratch, options, SYSTEM_TABLE, lambda x: x.requests(rate, seconds, share))


def flood(scratch: Path, options: Mapping[str, Any]) -> None:
    """Send new connections' first packets beside established ones."""
    from dataplane.maps import CONNECTIONS

    rate, seconds, beside = (options[name] for name in ("rate", "seconds", "beside"))
    _under_load(scratch, options, CONNECTIONS, lambda x: x.flood(rate, seconds, beside))


def stage(scratch: Path, options: Mapping[str, Any]) -> None:
    """Have engines of a stage fail under connections; write what came of it as JSON."""
    import asyncio

    from dataplane.bench.stage.report import measure

    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    found = asyncio.run(
        measure(scratch, options["kills"], options["detections"], options["watch_s"], _say)
    )
    Path(options["json"]).write_text(json.dumps(found))


JOBS = {"dataplane": dataplane, "system": system, "flood": flood, "stage": stage}


def main() -> int:
    """Do the job that the arguments name."""
    try:
        JOBS[sys.argv[1]](settle(), json.loads(sys.argv[2]))
    except DataplaneError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
