"""TLS and mutual TLS to a real Mosquitto: it carries batches, certificates change under way, and a wrong one is refused
in words that an operator can act on."""

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from device_profiles.tls_files import TlsFiles
from gateway.cli import cli
from gateway.config import GatewayConfig
from gateway.inspection import read_ledger
from tests.certificates import Authority
from tests.parts import Broker, free_port, mosquitto
from tests.rooms.gateway.doubles import Centre, make_config, running


@contextmanager
def secure_broker(folder: Path, authority: Authority, crl: Path | None = None) -> Iterator[tuple[Broker, int]]:
    """(broker with a plain listener for the test's centre, port of its TLS listener); it wants certificates."""
    port = free_port()
    certificate, key = folder / "broker.pem", folder / "broker.key"
    extra = (
        f"listener {port} 127.0.0.1\nrequire_certificate true\n"
        f"cafile {authority.ca}\ncertfile {certificate}\nkeyfile {key}\n"
    )
    if crl is not None:
        extra += f"crlfile {crl}\n"
    with mosquitto(folder / "broker", extra=extra) as broker:
        yield broker, port


def secured(config: GatewayConfig, port: int, tls: TlsFiles) -> GatewayConfig:
    return dataclasses.replace(config, uplink=dataclasses.replace(config.uplink, port=port, tls=tls))


def test_certificates_are_changed_under_way_and_nothing_is_lost(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("broker")
    certificate, key = authority.issue("pole")

    async def main(config: GatewayConfig, broker: Broker) -> None:
        async with Centre(broker.port).listening() as centre, running(config) as pole:
            agent = await pole.agent()
            handed = 0
            for turn in range(3):
                await agent.hand(10, count=10)
                handed += 100
                await centre.until_settled(handed)
                authority.issue("pole")  # the same files, another certificate
                await centre.until(lambda least=turn + 2: _connects(centre) >= least, "connected anew")  # type: ignore[misc]  # mypy cannot type a lambda with a default
            assert centre.readings() == 300
            await agent.part()

    with secure_broker(tmp_path, authority) as (broker, port):
        config = secured(make_config(tmp_path, resend=0.5), port, TlsFiles(ca=authority.ca, cert=certificate, key=key))
        asyncio.run(main(config, broker))
    ledger = read_ledger(config.spool.path)
    assert ledger.stored + ledger.duplicate == 300
    assert ledger.waiting == 0


def _connects(centre: Centre) -> int:
    """How often the gateway says that it has connected."""
    health = centre.states[-1].get("health") if centre.states else None
    return int(health["uplink"]["connects"]) if isinstance(health, dict) else 0


Spoil = Callable[[Path, Authority], dict[str, Path | None]]


def _expired_broker(folder: Path, authority: Authority) -> dict[str, Path | None]:
    authority.issue("broker", expired=True)
    return {}


def _other_name(folder: Path, authority: Authority) -> dict[str, Path | None]:
    authority.issue("broker", address="127.0.0.9")
    return {}


def _strange_ca(folder: Path, authority: Authority) -> dict[str, Path | None]:
    return {"ca": Authority(folder, "stranger").ca}


def _revoked_broker(folder: Path, authority: Authority) -> dict[str, Path | None]:
    return {"crl": authority.revoke("broker")}


def _ours_expired(folder: Path, authority: Authority) -> dict[str, Path | None]:
    authority.issue("pole", expired=True)
    return {}


def _ours_missing(folder: Path, authority: Authority) -> dict[str, Path | None]:
    return {"cert": None, "key": None}


def _ours_mismatched(folder: Path, authority: Authority) -> dict[str, Path | None]:
    return {"key": authority.issue("other")[1]}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_expired_broker, "its certificate has expired"),
        (_other_name, "its certificate is for another name"),
        (_strange_ca, "does not trust|do not trust|signed by"),
        (_revoked_broker, "its certificate has been revoked"),
        (_ours_expired, "our certificate has expired"),
        (_ours_missing, "wants a certificate of ours"),
        (_ours_mismatched, "do not belong together"),
    ],
)
def test_a_wrong_certificate_is_refused_in_words(tmp_path: Path, spoil: Spoil, said: str) -> None:
    authority = Authority(tmp_path)
    authority.issue("broker")
    authority.issue("pole")
    names = {"ca": authority.ca, "cert": tmp_path / "pole.pem", "key": tmp_path / "pole.key"}
    files = {**names, **spoil(tmp_path, authority)}
    with secure_broker(tmp_path, authority) as (_, port):
        site = write_site(tmp_path, port, {name: path for name, path in files.items() if path is not None})
        result = CliRunner().invoke(cli, ["check", str(site), "--connect"])
    assert result.exit_code == 1
    assert any(words in result.stderr for words in said.split("|")), result.stderr
    assert "Traceback" not in result.stderr


def test_our_certificate_on_the_brokers_list_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("broker")
    certificate, key = authority.issue("pole")
    with secure_broker(tmp_path, authority, authority.revoke("pole")) as (_, port):
        site = write_site(tmp_path, port, {"ca": authority.ca, "cert": certificate, "key": key})
        result = CliRunner().invoke(cli, ["check", str(site), "--connect"])
    assert result.exit_code == 1
    assert "our certificate has been revoked" in result.stderr


def test_a_gateway_with_a_broken_file_goes_on_trying(tmp_path: Path) -> None:
    """A certificate half written is no end: the next attempt reads the files anew."""
    authority = Authority(tmp_path)
    authority.issue("broker")
    certificate, key = authority.issue("pole")
    whole = certificate.read_bytes()
    certificate.write_bytes(whole[:100])

    async def main(config: GatewayConfig, broker: Broker) -> None:
        async with Centre(broker.port).listening() as centre, running(config) as pole:
            agent = await pole.agent()
            await agent.hand(3, count=10)
            certificate.write_bytes(whole)
            await centre.until_settled(30)
            await agent.part()

    with secure_broker(tmp_path, authority) as (broker, port):
        config = secured(make_config(tmp_path), port, TlsFiles(ca=authority.ca, cert=certificate, key=key))
        asyncio.run(main(config, broker))


def write_site(folder: Path, port: int, files: dict[str, Path]) -> Path:
    site = folder / "site.toml"
    tls = "".join(f'{name} = "{path}"\n' for name, path in files.items())
    site.write_text(
        f'[site]\nname = "kz-001"\n[gateway]\nsocket = "g.sock"\n'
        f'[uplink]\nurl = "mqtts://127.0.0.1:{port}"\n[uplink.tls]\n{tls}'
    )
    return site


def test_mistakes_in_the_table_are_told_together(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(
        '[site]\nname = "kz-001"\n[uplink]\nurl = "mqtts://127.0.0.1"\n'
        '[uplink.tls]\nca = "nowhere.pem"\ncert = "nowhere.pem"\nchain = "x"\n'
    )
    result = CliRunner().invoke(cli, ["check", str(site)])
    assert result.exit_code == 1
    assert "nowhere.pem cannot be read" in result.stderr
    assert "unknown key" in result.stderr
