"""The table that ends a run in the terminal."""

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from controller.report.score import METHODS, Score
from controller.report.words import MEANINGS, TITLES, headline, number, share

WIDTH = 100


def render(score: Score) -> RenderableType:
    """Return the table and the figures around it; 72 columns are enough to show it."""
    run = score.run
    return Group(
        Text(headline(run), style="bold yellow" if run.synthetic else "bold"),
        Text(""),
        _methods(score),
        Text(""),
        Text("ratio: the busiest link's utilisation over the least possible one"),
        *(Text(f"{TITLES[name]}: {MEANINGS[name]}", style="dim") for name in METHODS),
        Text(""),
        _figures(score),
    )


def _methods(score: Score) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("method", no_wrap=True)
    for title in ("ratio", "p95", "busiest link", "p95"):
        table.add_column(title, justify="right", no_wrap=True)
    found = score.to_dict()["methods"]
    for name in METHODS:
        ratio, highest = found[name]["ratio"], found[name]["max_utilisation"]
        table.add_row(
            TITLES[name],
            number(ratio["mean"]),
            number(ratio["p95"]),
            share(highest["mean"], 1),
            share(highest["p95"], 1),
            style="bold" if name == "predictive" else "",
        )
    return table


def _figures(score: Score) -> Table:
    found = score.to_dict()
    traffic, loop = found["traffic"], found["loop"]
    times = loop["decide_ms"]
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in (
        ("delivered", (f"{share(traffic['delivered_ratio'])} of what was sent in intervals"
                      f" that some routing could carry")),
        ("steered", f"{share(traffic['steered_ratio'])} of what arrived came by a circuit"),
        ("packets", f"{traffic['sent_packets']:,} sent"),
        ("loop", (f"{found['ticks']} ticks, {loop['skipped_ticks']} skipped,"
                 f" {loop['rule_errors']} rule errors")),
        ("deciding", (f"{number(times['p50'], 0)} ms, at the 99th percentile"
                     f" {number(times['p99'], 0)} ms")),
        ("model", (f"link loads as counted are {share(score.link_load_error, 1)} off the model's"
                  f" (median)")),
    ):  # fmt: skip
        table.add_row(name, text)
    return table


def print_table(score: Score, console: Console | None = None) -> None:
    """Print it, on a console of at most WIDTH columns."""
    console = console or Console(highlight=False)
    console.width = min(console.width, WIDTH)
    console.print(render(score))
