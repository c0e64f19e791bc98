"""A whole Foresteer with a name on a real BIND beside it; see tests.integration.lab."""

import asyncio
from typing import Any

from controller.client import ask as call
from tests.integration.dns_servers import BIND, Bind, ask
from tests.integration.lab import Lab
from tests.integration.names_lab import ZONE, Servers

WWW = f"www.{ZONE}"
AT_C, AT_D = ["192.0.2.3"], ["192.0.2.4"]
SERVERS = Servers()


def lab() -> Lab:
    """Return the lab, with BIND running and the name configured."""
    made = Lab(tick_s=1.0, delay=False)
    bind = Bind(SERVERS)
    asyncio.run(bind.start())
    (made.instance.directory / "config.yaml").write_text(
        "tick_s: 1.0\nlearning: {enabled: false}\nshifting: {interval_s: 0.5, step: 0.5}\n"
        f"dns:\n  servers: [{{name: bind, zone: {ZONE}, key_file: {bind.key_file},"
        f" address: 127.0.0.1, port: {BIND}}}]\n"
        f"  names: [{{service: web, name: {WWW}, addresses: {{C: {AT_C}, D: {AT_D}}}}}]\n"
    )
    return made


def declare(*, c_is_healthy: bool) -> None:
    instances = [
        {"name": f"web-{place}", "location": place, "address": f"10.{at}.0.1",
         "healthy": place == "D" or c_is_healthy}
        for at, place in ((3, "C"), (4, "D"))
    ]  # fmt: skip
    body = {"address": "10.99.0.1", "protocol": 6, "port": 80, "instances": instances}
    call("PUT", "services/web", body)


def followed(lab: Lab) -> dict[str, Any]:
    """Have the name follow where the service's instances can be used."""
    lab.start()
    found: dict[str, Any] = {"before": ask(BIND, WWW)}
    lab.until(lambda: lab.instance.state().get("ready", False), 30, "ready")
    declare(c_is_healthy=True)
    lab.until(lambda: bool(ask(BIND, WWW)), 20, "an answer")
    found["declared"] = ask(BIND, WWW)
    declare(c_is_healthy=False)
    found["followed_s"] = lab.until(lambda: ask(BIND, WWW) == AT_D, 20, "only D")
    lab.until(
        lambda: lab.instance.state()["outside"]["shifts"]["services"]["web"]["phase"] == "done",
        10,
        "the shift is done",
    )
    found["outside"] = lab.instance.state()["outside"]
    found["state"] = {name: lab.instance.state()[name] for name in ("rule_errors", "refused")}
    SERVERS.close()
    return found
