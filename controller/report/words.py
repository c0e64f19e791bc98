"""How figures are worded, the same in the terminal and in the report's page."""

from controller.report.run import Run

TITLES = {
    "predictive": "Foresteer, by the model",
    "predictive_measured": "Foresteer, by the counters",
    "reactive": "Reactive, plain",
    "reactive2": "Reactive, two-stage",
    "ospf": "OSPF with ECMP",
}

MEANINGS = {
    "predictive": "this run's plans on the traffic that was sent",
    "predictive_measured": "this run as the switches' port counters saw it",
    "reactive": "linear program on the last interval's traffic",
    "reactive2": "the same, then slack spread over all links",
    "ospf": "shortest paths, equal costs share evenly",
}


def share(value: float | None, digits: int = 2) -> str:
    """Return a share as a percentage, or a dash."""
    return "–" if value is None else f"{value * 100:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number, or a dash."""
    return "–" if value is None else f"{value:,.{digits}f}"


def span(seconds: float) -> str:
    """Return a length of time in the largest unit that it is a whole number of."""
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'s' * (count != 1)}"
    return f"{seconds:g} s"


def headline(run: Run) -> str:
    """Return one line that says what was replayed, and whether it was made up."""
    kind = "SYNTHETIC traffic, generated" if run.synthetic else "recorded traffic"
    count = len(run.sent_bps)
    return (
        f"{run.name}: {len(run.nodes)} locations, {len(run.links)} links, "
        f"{count} interval{'s' * (count != 1)} of {span(run.step_s)}, {kind}"
    )
