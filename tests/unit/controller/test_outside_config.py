"""The dns and bgp sections: off unless declared, and wrong ones are refused by key and line."""

from pathlib import Path

import pytest

from bus import Instance, SystemClock
from controller.config import Config, load_config
from controller.errors import ConfigError
from controller.outside import Outside
from controller.state import Plan

SERVER = "{name: b, zone: gslb.example., key_file: /k, address: 192.0.2.53}"
DNS = f"""
dns:
  servers: [{SERVER}]
  names:
    - service: web
      name: www.gslb.example.
      addresses: {{east: [192.0.2.1]}}
"""
BGP = """
bgp:
  allow: [203.0.113.0/24]
  neighbours:
    - {address: 10.0.1.2, local_address: 10.0.1.1, peer_as: 65010, location: east}
  prefixes:
    - {service: web, prefix: 203.0.113.0/24}
"""


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config(path)


def test_both_sections_are_read(tmp_path: Path) -> None:
    config = loaded(tmp_path, DNS + BGP)
    assert config.dns.servers_of(config.dns.names[0]) == config.dns.servers
    assert config.bgp.prefixes[0].how == "med"


async def test_nothing_is_done_unless_declared(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "instance")
    outside = Outside(Config(), instance, SystemClock())
    await outside.start()
    await outside.take(Plan(1, 1, 1, (), (), {}, {}, 0.0, "", ""), ())
    assert outside.status() == {}
    assert outside.external() == ()
    await outside.close()
    assert not list((instance.directory / "pids").iterdir())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DNS.replace("www.gslb.example.", "www.gslb.example"), "names.0.name"),
        (DNS.replace("www.gslb.example.", "www.example."), "is in no server's zone"),
        (DNS.replace("www.gslb.example.", "wwwgslb.example."), "is in no server's zone"),
        (DNS.replace("192.0.2.1]", "192.0.2.256]"), "names.0.addresses"),
        (DNS.replace("[192.0.2.1]", "[]"), "east has no address"),
        (DNS.replace("[192.0.2.1]", "[192.0.2.1, 192.0.2.1]"), "more than once"),
        (DNS.replace(", address: 192.0.2.53", ""), "needs an address"),
        (DNS.replace("key_file: /k", "key: secret"), "servers.0"),
        (DNS.replace(SERVER, f"{SERVER}, {SERVER}"), "server b is there more than once"),
        (DNS.replace("address: 192.0.2.53", "driver: powerdns"), "needs a url"),
        (
            DNS.replace("address: 192.0.2.53", "driver: powerdns, url: 'http://pdns.example'"),
            "in the clear",
        ),
        (DNS + "      servers: [c]\n", "there is no server 'c'"),
        (DNS + "      rest: {west: 1}\n", "west has no address"),
        (BGP.replace("[203.0.113.0/24]", "[203.0.113.0/25]"), "not within what allow holds"),
        (BGP.replace("allow: [203.0.113.0/24]", "allow: [203.0.113.1/24]"), "bgp.allow"),
        (BGP.replace("65010", "0"), "neighbours.0.peer_as"),
        (BGP.replace("prefix: 203.0.113.0/24", "prefix: 203.0.113.0/24, split_bits: 1"),
         "longer than /24"),
        (BGP.replace("prefix: 203", "communities: [x], prefix: 203"), "is no community"),
        (BGP + "  suppress: 1\n", "reuse must be below suppress"),
        (BGP + "  on_loss: maybe\n", "bgp.on_loss"),
        ("bgp: {prefixes: [{service: w, prefix: 192.0.2.0/24}]}", "need neighbours"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused_by_file_line_and_key(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml:\d+: (dns|bgp)") as caught:
        loaded(tmp_path, text)
    assert words in str(caught.value)


async def test_secrets_that_cannot_be_used_are_said_before_anything_starts(tmp_path: Path) -> None:
    text = DNS.replace("/k", str(tmp_path / "missing"))
    outside = Outside(loaded(tmp_path, text), Instance(tmp_path / "i"), SystemClock())
    with pytest.raises(ConfigError, match="missing: No such file"):
        await outside.start()
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text('x"; }')
    text = BGP.replace("location: east", f"location: east, password_file: {secret}")
    outside = Outside(loaded(tmp_path, text), Instance(tmp_path / "i"), SystemClock())
    with pytest.raises(ConfigError, match="plain signs"):
        await outside.start()
