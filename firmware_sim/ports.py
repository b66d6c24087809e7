"""Which port a Modbus TCP link or a listener really has where the street says "any": chosen once a folder, then always
the same.

Refuses to move: a port that somebody else has taken since is a mistake to be told, not to be dodged, because the
poles' site files name it.
"""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from firmware_sim.street import ListenerPlan, PolePlan, SerialPlan, Street, TcpPlan

HERE = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, neither with TCP nor with UDP, all different."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            stream = stack.enter_context(socket.socket())
            stream.bind((HERE, 0))
            port = stream.getsockname()[1]
            datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                datagrams.bind((HERE, port))
            except OSError:
                continue  # stays taken until the end, so that another one is found
            found.append(port)
    return found


def settle_ports(street: Street, directory: Path) -> Street:
    """The street with a real port everywhere; `ports.json` in `directory` remembers the choice."""
    book = directory / "ports.json"
    known: dict[str, int] = json.loads(book.read_text(encoding="utf-8")) if book.exists() else {}
    wanted = [
        _place(pole, link)
        for pole in street.poles
        for link in (*pole.links, *pole.listeners)
        if not isinstance(link, SerialPlan) and link.port == 0
    ]
    missing = [name for name in wanted if name not in known]
    if missing:
        known.update(zip(missing, free_ports(len(missing)), strict=True))
        directory.mkdir(parents=True, exist_ok=True)
        book.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return replace(street, poles=tuple(_settled(pole, known) for pole in street.poles))


def _place(pole: PolePlan, link: TcpPlan | ListenerPlan) -> str:
    """Its name in `ports.json`."""
    return f"{pole.name}/{link.name}" if isinstance(link, TcpPlan) else f"{pole.name}/listeners/{link.name}"


def _settled(pole: PolePlan, known: dict[str, int]) -> PolePlan:
    links = tuple(
        replace(link, port=known[_place(pole, link)]) if isinstance(link, TcpPlan) and link.port == 0 else link
        for link in pole.links
    )
    listeners = tuple(
        listener if listener.port else replace(listener, port=known[_place(pole, listener)])
        for listener in pole.listeners
    )
    return replace(pole, links=links, listeners=listeners)
