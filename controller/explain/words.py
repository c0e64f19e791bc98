"""Facts in plain words."""

from collections.abc import Mapping, Sequence
from typing import Any

from controller.decide.reasons import percent, rate, when

Facts = Mapping[str, Any]


def way(links: Sequence[str]) -> str:
    """Return a path as the locations it passes; parallel links keep their number."""
    if not links:
        return "nowhere"
    stations = [links[0].partition(">")[0]]
    for link in links:
        end, slash, number = link.partition(">")[2].partition("/")
        stations.append(f"{end}({number})" if slash else end)
    return "-".join(stations)


def skill(facts: Facts | None) -> str:
    """Return what is known of a forecast's skill."""
    if facts is None:
        return "Nothing is known yet of how good such forecasts are."
    text = f"Believed most: {facts['used']}"
    if facts["over_ewma"] is not None:
        share = 100 * (1 - facts["over_ewma"])
        than = "less" if share >= 0 else "more"
        text += f"; lately the forecast's loss was {abs(share):.0f} % {than} than EWMA's"
    text += f", over {facts['scored']} intervals."
    return text + (" Forecasts have become worse lately." if facts["drift"] else "")


def effect(facts: Facts | None) -> str:
    """Return what came of a decision."""
    if facts is None:
        return "What came of it is not known (yet)."
    text = (
        f"On the traffic that came the worst link had {percent(facts['utilisation'])}; the least"
        f" possible was {percent(facts['optimum'])} (regret {100 * facts['regret']:.1f} %), and"
        f" reacting on the last matrix would have made {percent(facts['reactive'])} (regret"
        f" {100 * facts['regret_of_reacting']:.1f} %)."
    )
    return text + (f" {rate(facts['lost_bps'])} were lost." if facts["lost_bps"] > 0 else "")


def demand(facts: Facts) -> list[str]:
    """Return what is to be said of a demand, a line each."""
    forecast = facts["forecast_bps"]
    lines = [
        f"{facts['demand']} in decision {facts['decision']}:",
        (
            f"  Last seen at {rate(facts['last_bps'])}. Forecast {when(facts['horizon_steps'])}:"
            f" {rate(forecast['median'])}, with 80 % certainty {rate(forecast['low'])} to"
            f" {rate(forecast['high'])}; planned for {rate(facts['planned_bps'])} (quantile"
            f" {facts['planned_quantile']:g}{', raised by a surge' * facts['surge']})."
        ),
        f"  {skill(facts['skill'])}",
    ]
    if facts["robust"]:
        lines.append(f"  Planned for more than the forecast: {facts['robust']}.")
    if not facts["optimised"]:
        lines.append("  It is not steered: it meets no busy link and follows the plain route.")
    lines += ["  Alternatives, at the loads as planned:"]
    for one in facts["alternatives"]:
        terms = ", ".join(
            f"{name} {value:.3g}" for name, value in one["weighted"].items() if value > 0
        )
        lines.append(
            f"  {'*' if one['share'] > 0 else ' '} {percent(one['share']):>6}"
            f" {way(one['links'])}: cost {one['cost']:.3g} ({terms or 'nothing'}); worst link"
            f" {one['worst_link']} with {percent(one['worst_utilisation'])}; with all of it here"
            f" {one['alone_link']} would have {percent(one['alone_utilisation'])}"
            + (f"; not allowed: {one['not_allowed']}" if one["not_allowed"] else "")
        )
    if not facts["alternatives"]:
        lines.append("    none: there is no way")
    lines.append(f"  {_why(facts)}")
    lines.append(f"  {_moved(facts)}")
    lines += [f"  The decision: {facts['reason']}", f"  {effect(facts['effect'])}"]
    return lines


def _why(facts: Facts) -> str:
    used = [one for one in facts["alternatives"] if one["share"] > 0]
    if not used:
        return "It has no circuit: it follows the plain route."
    best = min(facts["alternatives"], key=lambda one: one["alone_utilisation"])
    if len(used) > 1:
        return (
            f"It is split, since together its paths leave more room: all of it on one path would"
            f" fill a link to {percent(best['alone_utilisation'])} at least."
        )
    (one,) = used
    others = [x for x in facts["alternatives"] if x is not one]
    if not others:
        return "There is no other way."
    if one["alone_utilisation"] <= min(x["alone_utilisation"] for x in others) * (1 + 1e-9):
        return "It is where it fills the worst link least."
    if one["held_share"] > 0:
        return "It stays where it was: no other path is better by enough to move traffic for."
    return "It is where it leaves the busiest links most room, all demands taken together."


def _moved(facts: Facts) -> str:
    if facts["first"]:
        return "It is the first plan: nothing was there to move."
    if not facts["moved"]:
        return "Nothing of it moved against the plan before."
    gained = [one for one in facts["moved"] if one["change"] > 0]
    lost = [one for one in facts["moved"] if one["change"] < 0]
    parts = [f"{percent(one['change'])} more on {way(one['links'])}" for one in gained]
    parts += [f"{percent(-one['change'])} less on {way(one['links'])}" for one in lost]
    return f"Against the plan before: {', '.join(parts)}."


def circuit(facts: Facts) -> list[str]:
    """Return what is to be said of a circuit, a line each."""
    name = f" ({facts['name']})" if facts["name"] else ""
    state = "in force" if facts["in_force"] else f"gone since; last in {facts['decision']}"
    lines = [
        f"Circuit {facts['spi']}{name}, {facts['src']} to {facts['dst']}, {state}:",
        f"  Path {way(facts['links'])}, its worst link at {percent(facts['worst_utilisation'])}.",
        f"  Backup {way(facts['backup'])}." if facts["backup"] else "  It has no backup path.",
        (
            f"  Generation {facts['generation']}; there since decision {facts['since_decision']}"
            f"{' or earlier' * facts['since_or_earlier']}."
        ),
    ]
    if facts["reserved_bps"] > 0:
        lines.append(f"  {rate(facts['reserved_bps'])} are kept free for it.")
    lines += [f"  Carries {percent(one['share'])} of {one['demand']}." for one in facts["carries"]]
    if facts["stands_by_for"]:
        lines.append(f"  Stands by for {', '.join(facts['stands_by_for'])}.")
    if not facts["carries"] and not facts["stands_by_for"]:
        lines.append("  Nobody uses it.")
    firewall = facts["firewall"]
    if firewall is None:
        lines.append("  It has no firewall rules: everything passes.")
        return lines
    for rule in firewall["rules"]:
        what = [
            f"{key.replace('_', ' ')} {rule[key]}"
            for key in ("source", "destination", "protocol", "source_port", "destination_port")
            if rule[key]
        ]
        verb = "allow" if rule["allow"] else "deny"
        lines.append(
            f"  {rule['priority']:4d} {rule['name']}: {verb} {', '.join(what) or 'everything'}"
        )
    lines.append(f"       all else: {'allow' if firewall['allow_rest'] else 'deny'}")
    return lines


def _service(facts: Facts) -> str:
    shares = [f"{percent(share)} to {name}" for name, share in facts["shares"].items()]
    why = f" ({facts['reason']})" if facts["reason"] else ""
    return (
        f"Connections from {facts['src']} to {facts['service']} now go"
        f" {', '.join(shares) or 'nowhere'}{why}."
    )


def decision(facts: Facts) -> list[str]:
    """Return what is to be said of a decision, a line each."""
    forecast, outcome = facts["forecast"], facts["outcome"]
    lines = [
        f"Decision {facts['decision']} (tick {facts['tick']}, caused by: {facts['trigger']}):",
        f"  {facts['reason']}",
        (
            f"  Found by: {facts['method']}, {facts['iterations']} iterations,"
            f" {facts['decide_ms']:.0f} ms."
        ),
        (
            f"  Planned for quantile {forecast['quantile']:g} {when(forecast['horizon_steps'])}"
            f"{', model ' + forecast['model'] if forecast['model'] else ''}."
            f" {skill(forecast['skill'])}"
        ),
    ]
    if not facts["computed"]:
        lines.append("  No plan came in time: the one before stood.")
    if not facts["observed"]:
        lines.append("  Demands were not all measured: some are the last known values.")
    if facts["links_down"]:
        lines.append(f"  Links down: {', '.join(facts['links_down'])}.")
    lines += [f"  Note: {note}." for note in facts["notes"]]
    lines += [f"  Rule {text}." for text in facts["rules"]]
    lines += [f"  Rule without effect: {text}." for text in facts["refused_rules"]]
    lines += [f"  {_service(one)}" for one in facts["services"]]
    lines += [
        f"  Left alone, since switches refused it: {way(one['links'])} ({one['reason']})."
        for one in facts["refused_paths"]
    ]
    lines += [
        f"  Moves {percent(one['share'])} of {one['demand']}, {rate(one['bps'])}."
        for one in facts["moves"]
    ]
    worst = facts["expected"]
    if worst["worst_link"]:
        lines.append(f"  Expected: {worst['worst_link']} with {percent(worst['max_utilisation'])}.")
    lines.append(f"  {effect(facts['effect'])}")
    lines.append(
        f"  Acting: {outcome['buckets_moved']} buckets moved, {outcome['circuits_added']} circuits"
        f" made and {outcome['circuits_removed']} removed, {outcome['rule_errors']} differences"
        f" found, {outcome['act_ms']:.0f} ms."
    )
    lines += [f"  Error: {error}." for error in outcome["errors"]]
    lines += [
        f"  Refused by a switch: {way(one['links'])} ({one['reason']})."
        for one in outcome["refused"]
    ]
    return lines
