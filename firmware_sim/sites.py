"""The site files of a street's poles and the centre file that go with it: one truth, written, never typed twice.

Refuses to say anything about a unit's registers: site files name profiles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.ports import HERE
from firmware_sim.street import CallerPlan, LinkPlan, ListenerPlan, PolePlan, SerialPlan, Street, TcpPlan, UnitPlan

Scalar = str | int | float | bool | Sequence[str] | Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Centre:
    """Where the poles and the page find the centre."""

    mqtt: str = "mqtt://127.0.0.1:1883"
    root: str = "kuimen/v1"
    api: str = "127.0.0.1:8081"
    dashboards: str = "127.0.0.1:8080"


def write_sites(street: Street, directory: Path, centre: Centre) -> list[Path]:
    """Write `DIR/<pole>/site.toml` for each pole and `DIR/centre.toml`; returns the paths, the centre's last.

    The street's ports must be settled (see `ports`).
    """
    written = []
    for pole in street.poles:
        path = directory / pole.name / "site.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(site_text(street, pole, directory.absolute(), centre), encoding="utf-8")
        for listener in pole.listeners:
            _write_secret(path.parent, listener)
            for caller in listener.callers:
                _write_secret(path.parent, caller)
        written.append(path)
    path = directory / "centre.toml"
    path.write_text(centre_text(street, centre), encoding="utf-8")
    return [*written, path]


def site_text(street: Street, pole: PolePlan, directory: Path, centre: Centre) -> str:
    """One pole's site file; its serial lines lie in `directory`."""
    site: dict[str, Scalar] = {"name": pole.name}
    if pole.title:
        site["title"] = pole.title
    if street.profiles:
        site["profiles"] = [str(folder) for folder in street.profiles]
    parts = [
        f"# Written by `kuimen sim sites` from the street {street.name!r}; edit the street instead.\n",
        _table("[site]", site),
        _table("[gateway]", {"socket": "agent.sock"}),
        _table("[gateway.spool]", {"path": "spool.db", "quota_mb": 512}),
        _table("[uplink]", {"url": centre.mqtt, "root": centre.root}),
    ]
    for link in pole.links:
        parts.append(_table("[[links]]", _link(link, pole, directory)))
        parts += [_table("[[devices]]", _device(unit, link)) for unit in link.units]
    for listener in pole.listeners:
        parts.append(_table("[[listeners]]", _listener(listener)))
        parts += [_table("[[callers]]", _caller(caller, listener)) for caller in listener.callers]
    return "\n".join(parts)


def centre_text(street: Street, centre: Centre) -> str:
    """The centre file: intake, store, API and page."""
    return "\n".join(
        [
            f"# Written by `kuimen sim sites` from the street {street.name!r}.\n",
            _table("[intake]", {"url": centre.mqtt, "root": centre.root, "shards": "0-63"}),
            _table("[store]", {"kind": "duckdb", "path": "centre.duckdb"}),
            _table("[api]", {"listen": centre.api}),
            _table("[dashboards]", {"listen": centre.dashboards, "api": f"http://{centre.api}"}),
        ]
    )


def _link(link: LinkPlan, pole: PolePlan, directory: Path) -> dict[str, Scalar]:
    where = ""
    if isinstance(link, SerialPlan):
        path = link.path(directory, pole.name)
        where = f"serial://{path}?baud={link.baud}&parity={link.parity}&stop={link.stop}"
    elif isinstance(link, TcpPlan):
        where = f"tcp://127.0.0.1:{link.port}"
    return {"name": link.name, "url": where, "timeout_ms": link.timeout_ms, "retries": link.retries}


def _device(unit: UnitPlan, link: LinkPlan) -> dict[str, Scalar]:
    device: dict[str, Scalar] = {"name": unit.device}
    if unit.code:
        device["code"] = unit.code
    if unit.title:
        device["title"] = unit.title
    device |= {"profile": unit.profile.model, "link": link.name, "unit": unit.address}
    if unit.period is not None:
        device["period"] = unit.period
    if unit.line is not None:
        device |= {"baud": unit.line.baud, "parity": unit.line.parity, "stop": unit.line.stop}
    return device


def _listener(listener: ListenerPlan) -> dict[str, Scalar]:
    row: dict[str, Scalar] = {
        "name": listener.name,
        "protocol": listener.protocol,
        "listen": f"{listener.transport}://{HERE}:{listener.port}",
        "unknown": listener.unknown,
        **listener.options,
    }
    if listener.secret is not None:
        row["secret"] = {"file": str(_secret_file(listener))}
    return row


def _caller(caller: CallerPlan, listener: ListenerPlan) -> dict[str, Scalar]:
    row: dict[str, Scalar] = {"listener": listener.name, "id": caller.id, "name": caller.device}
    if caller.code:
        row["code"] = caller.code
    if caller.title:
        row["title"] = caller.title
    row |= {"profile": caller.profile.model, "report": max(1.0, caller.period)}
    if caller.secret is not None:
        row["secret"] = {"file": str(_secret_file(caller))}
    return row


def _secret_file(owner: CallerPlan | ListenerPlan) -> Path:
    """Where its secret lies, beside the site file."""
    return Path("secrets") / (owner.device if isinstance(owner, CallerPlan) else f"listener-{owner.name}")


def _write_secret(directory: Path, owner: CallerPlan | ListenerPlan) -> None:
    """A secret is never in the site file itself, and only its owner may read it."""
    if owner.secret is None:
        return
    path = directory / _secret_file(owner)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(owner.secret + "\n", encoding="utf-8")


def _table(header: str, values: Mapping[str, Scalar]) -> str:
    return header + "\n" + "".join(f"{key} = {_value(value)}\n" for key, value in values.items())


def _value(value: Scalar) -> str:
    """A TOML value; JSON's strings, numbers and lists are TOML's too."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(text)}" for key, text in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
