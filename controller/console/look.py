"""Looking: status, links, demands, forecasts, circuits, engines, decisions, alarms."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from controller.console import terms
from controller.console.terms import call, every, moment, percent, quoted, rate

WORST = 5


@click.command()
@terms.options
def status(instance: Path | None, *, as_json: bool) -> None:
    """Is it well? One screen; exit code 3 where it is not."""
    found = _status(instance)
    if as_json:
        terms.say(found, as_json=True)
    else:
        click.echo("\n".join(status_lines(found)))
    if not found["well"]:
        raise SystemExit(terms.UNWELL)


def _status(instance: Path | None) -> dict[str, Any]:
    how = call("GET", "status", instance=instance)
    topology = call("GET", "topology", instance=instance)
    alarms = call("GET", "alarms?limit=5", instance=instance)["alarms"]
    last = call("GET", "decisions?limit=1", instance=instance)["decisions"]
    wrong = {part: why for part, why in how["components"].items() if why != "ok"}
    down = [link["name"] for link in topology["links"] if not link["up"]]
    busy = sorted(topology["links"], key=lambda x: -(x["forecast"] or 0.0))[:WORST]
    well = bool(how["ready"]) and not wrong and not down
    return {"well": well, "wrong": wrong, "down": down, "busiest": busy, "alarms": alarms,
            "decision": last[0] if last else None, "status": how}  # fmt: skip


def status_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what ``status`` prints."""
    how, decision = found["status"], found["decision"]
    details = how["details"]
    data = how["data"] or {"name": "no network", "synthetic": False}
    head = "well" if found["well"] else "NOT WELL"
    frozen = ", FROZEN" if details.get("frozen") else ""
    first = (
        f"{head}: {data['name']}{' (synthetic traffic)' if data['synthetic'] else ''}, mode"
        f" {how['mode']}{frozen}, tick {how['tick']}, {how['skipped_ticks']} skipped,"
        f" {how['rule_errors']} rule errors"
    )
    lines = [first]
    lines += [f"  {part}: {why}" for part, why in found["wrong"].items()]
    if not how["ready"]:
        lines.append("  the network does not hold the plan yet, or not all of it")
    if found["down"]:
        lines.append(f"  down: {', '.join(found['down'])}")
    if decision is not None:
        lines.append(f"last decision, {moment(decision['time_s'])}: {decision['reason']}")
        lines += [f"  rule {text}" for text in decision["rules"]]
    lines.append("busiest links, expected (observed):")
    lines += [
        f"  {link['name']:<24} {percent(link['forecast']):>8} ({percent(link['observed'])})"
        for link in found["busiest"]
    ]
    lines += [f"alarm: {_alarm(one)}" for one in found["alarms"]]
    lines += [f"alarm: {text}" for text in details.get("alarms", ())]
    return lines


def _alarm(one: Mapping[str, Any]) -> str:
    when = f" in {one['expected_s']:.0f} s" if one["expected_s"] else ""
    return f"{one['kind']} {one['name']}: {one['what']}{when}, severity {one['severity']:.1f} of 5"


@click.command()
@click.option("--every", "period", type=click.FloatRange(0.2, 3600), default=2.0,
              show_default=True, help="Seconds between looks.")  # fmt: skip
@click.option("--times", type=click.IntRange(1), help="Stop after so many looks.")
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
def watch(period: float, times: int | None, instance: Path | None) -> None:
    """Show the status again and again, until Ctrl-C."""
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False, screen=False) as live:
        looks = 0
        while times is None or looks < times:
            if looks:
                time.sleep(period)
            live.update(Text("\n".join(status_lines(_status(instance)))), refresh=True)
            looks += 1


@click.command("links")
@terms.options
def links(instance: Path | None, *, as_json: bool) -> None:
    """Links: capacity, load and expected utilisation."""
    found = call("GET", "topology", instance=instance)["links"]
    if as_json:
        terms.say(found, as_json=True)
        return
    terms.table(
        (
            {**x, "load": rate(x["rate_bps"]), "capacity": rate(x["capacity_bps"]),
             "now": percent(x["observed"]), "next": percent(x["forecast"])}
            for x in found
        ),
        (("link", "name"), ("up", "up"), ("capacity", "capacity"), ("load", "load"),
         ("observed", "now"), ("expected", "next"), ("delay ms", "delay_ms")),
    )  # fmt: skip


@click.command("demands")
@click.option("--from", "src", help="Of this location only.")
@click.option("--to", "dst", help="To this location only.")
@terms.options
def demands(src: str | None, dst: str | None, instance: Path | None, *, as_json: bool) -> None:
    """Demands between locations: what is, what is expected, and by which circuits they go."""
    asked = "&".join(f"{k}={quoted(v)}" for k, v in (("src", src), ("dst", dst)) if v)
    found = every(f"splits?{asked}" if asked else "splits", "splits", instance=instance)
    if as_json:
        terms.say(found, as_json=True)
        return
    terms.table(
        (
            {"demand": f"{x['src']}>{x['dst']}", "now": rate(x["observed_bps"]),
             "next": rate(x["forecast_bps"]),
             "way": [f"{percent(p['share'])} {_way(p['links'])}" for p in x["parts"]]}
            for x in found
        ),
        (("demand", "demand"), ("observed", "now"), ("expected", "next"), ("ways", "way")),
    )  # fmt: skip


def _way(names: list[str]) -> str:
    ends = [name.partition("/")[0].split(">") for name in names]
    return "-".join([ends[0][0], *(end[1] for end in ends)]) if ends else "plain route"


@click.command("forecast")
@click.argument("what", metavar="SRC>DST|KIND")
@click.option("--name", help="Of a kind: this series only.")
@terms.options
def forecast(what: str, name: str | None, instance: Path | None, *, as_json: bool) -> None:
    """Quantiles of a demand (SRC>DST), or of the series of a kind."""
    src, arrow, dst = what.replace("→", ">").partition(">")
    if arrow:
        found = call("GET", f"forecast/{quoted(src)}/{quoted(dst)}", instance=instance)
        if not as_json:
            _fan(found["horizons_steps"], "steps", found["levels"], found["quantiles_bps"])
    else:
        more = f"&name={quoted(name)}" if name else ""
        found = call("GET", f"forecasts?kind={quoted(what)}{more}", instance=instance)
        for one in () if as_json else found["series"]:
            click.echo(f"{one['name']} (now {terms.cell(one['value'])} {found['unit']})")
            _fan(found["horizons_s"], "s", found["levels"], one["quantiles"])
    if as_json:
        terms.say(found, as_json=True)


def _fan(horizons: list[Any], unit: str, levels: list[float], rows: list[list[Any]]) -> None:
    heads = [(f"{100 * level:.0f} %", str(at)) for at, level in enumerate(levels)]
    terms.table(
        (
            {"ahead": f"{horizon} {unit}", **{str(at): value for at, value in enumerate(row)}}
            for horizon, row in zip(horizons, rows, strict=True)
        ),
        (("ahead", "ahead"), *heads),
    )


@click.command("circuits")
@click.option("--from", "src", help="From this location only.")
@click.option("--to", "dst", help="To this location only.")
@terms.options
def circuits(src: str | None, dst: str | None, instance: Path | None, *, as_json: bool) -> None:
    """Circuits in force: path, backup, and the share of their demand that they carry."""
    asked = "&".join(f"{k}={quoted(v)}" for k, v in (("src", src), ("dst", dst)) if v)
    found = every(f"circuits?{asked}" if asked else "circuits", "circuits", instance=instance)
    if as_json:
        terms.say(found, as_json=True)
        return
    terms.table(
        (
            {**x, "way": _way(x["links"]), "around": _way(x["backup"]) if x["backup"] else "",
             "part": percent(x["share"])}
            for x in found
        ),
        (("circuit", "spi"), ("name", "name"), ("path", "way"), ("backup", "around"),
         ("share", "part"), ("generation", "generation")),
    )  # fmt: skip


def _listing(
    name: str, path: str, key: str, columns: tuple[tuple[str, str], ...], text: str
) -> Any:
    @click.command(name, help=text)
    @terms.options
    def command(instance: Path | None, *, as_json: bool) -> None:
        found = every(path, key, instance=instance)
        if as_json:
            terms.say(found, as_json=True)
        else:
            for one in found:
                for field in ("time_s", "created_s", "expires_s", "start_s"):
                    if isinstance(one.get(field), (int, float)):
                        one[field] = moment(one[field])
            terms.table(found, columns)

    return command


engines = _listing(
    "engines", "engines", "engines",
    (("engine", "name"), ("location", "location"), ("agent", "alive"),
     ("circuits from", "circuits_from"), ("to", "circuits_to")),
    "Forwarding engines, and whether their agents are there.",
)  # fmt: skip


@click.command("exits")
@terms.options
def exits(instance: Path | None, *, as_json: bool) -> None:
    """Prefixes that neighbouring networks announce, and where traffic to them leaves."""
    found = every("exits", "exits", instance=instance)
    if as_json:
        terms.say(found, as_json=True)
        return
    terms.table(
        (
            {**x, "by": [f"{place} ({address})" for place, address in x["gateways"].items()],
             "from": [f"{src} by {place}" for src, place in x["sources"].items()]}
            for x in found
        ),
        (("prefixes", "prefixes"), ("gateways", "by"), ("sources", "from"),
         ("unmarked", "location")),
    )  # fmt: skip


@click.command("shadows")
@terms.options
def shadows(instance: Path | None, *, as_json: bool) -> None:
    """Who holds whose connections too, and how far that is."""
    found = every("shadows", "engines", instance=instance)
    if as_json:
        terms.say(found, as_json=True)
        return
    rows = []
    for one in found:
        ends = [stream for stream in one["streams"] if stream["role"] == "shadow"]
        for name in one["shadows"] or [""]:
            end: dict[str, Any] = next((x for x in ends if x["shadow"] == name), {})
            rows.append({**end, "engine": one["engine"], "stage": one["stage"],
                         "shadow": name + (" (shares a risk)" if name in one["shared"] else ""),
                         "problem": one["problem"]})  # fmt: skip
    terms.table(
        rows,
        (("engine", "engine"), ("stage", "stage"), ("shadow", "shadow"), ("phase", "phase"),
         ("held", "held"), ("lag ms", "lag_ms"), ("behind ms", "behind_ms"),
         ("diverged", "diverged"), ("problem", "problem")),
    )  # fmt: skip


locations = _listing(
    "locations", "locations", "locations",
    (("location", "name"), ("region", "region"), ("prefix", "prefix"), ("lat", "lat"),
     ("lon", "lon")),
    "Locations with their prefixes.",
)  # fmt: skip
decisions = _listing(
    "decisions", "decisions", "decisions",
    (("when", "time_s"), ("tick", "tick"), ("cause", "event"), ("moved", "moved_buckets"),
     ("why", "reason"), ("rules", "rules")),
    "The last decisions, newest first; `foresteer explain decision` says more of one.",
)  # fmt: skip
alarms = _listing(
    "alarms", "alarms", "alarms",
    (("kind", "kind"), ("series", "name"), ("what", "what"), ("in s", "expected_s"),
     ("severity", "severity"), ("certain", "certain")),
    "What is odd of late, the worst first.",
)  # fmt: skip
audit = _listing(
    "audit", "audit?limit=1000", "lines",
    (("when", "time_s"), ("who", "who"), ("role", "role"), ("from", "client"),
     ("did", "method"), ("what", "path"), ("status", "status"), ("why not", "detail")),
    "Changes and refusals, newest first.",
)  # fmt: skip
