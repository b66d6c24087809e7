"""Which port a Modbus TCP link really has where the street says "any": chosen once a folder, then always the same.

Refuses to move: a port that somebody else has taken since is a mistake to be told, not to be dodged, because the
poles' site files name it.
"""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from firmware_sim.street import PolePlan, Street, TcpPlan

HERE = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for taken in sockets:
            taken.bind((HERE, 0))
        return [taken.getsockname()[1] for taken in sockets]


def settle_ports(street: Street, directory: Path) -> Street:
    """The street with a real port on every Modbus TCP link; `ports.json` in `directory` remembers the choice."""
    book = directory / "ports.json"
    known: dict[str, int] = json.loads(book.read_text(encoding="utf-8")) if book.exists() else {}
    wanted = [
        f"{pole.name}/{link.name}"
        for pole in street.poles
        for link in pole.links
        if isinstance(link, TcpPlan) and link.port == 0
    ]
    missing = [name for name in wanted if name not in known]
    if missing:
        known.update(zip(missing, free_ports(len(missing)), strict=True))
        directory.mkdir(parents=True, exist_ok=True)
        book.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return replace(street, poles=tuple(_settled(pole, known) for pole in street.poles))


def _settled(pole: PolePlan, known: dict[str, int]) -> PolePlan:
    links = tuple(
        replace(link, port=known[f"{pole.name}/{link.name}"]) if isinstance(link, TcpPlan) and link.port == 0 else link
        for link in pole.links
    )
    return replace(pole, links=links)
