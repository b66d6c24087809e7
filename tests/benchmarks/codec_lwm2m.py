"""LwM2M TLV and CoAP on one core, beside npm's ``lwm2m-codec`` 0.1.1 in Node and aiocoap's messages, on the same bytes.

Node finds the library where NODE_PATH says (``npm install lwm2m-codec@0.1.1`` anywhere); without it the row says so.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from timeit import repeat

from device_profiles.codecs import coap
from device_profiles.codecs.lwm2m_tlv import Path, decode_tlv
from tests.benchmarks.processes import Row, row, say

TARGET = 3.0
ROUNDS = 10_000
NODE_ROUNDS = 50_000
DEVICE = (
    "C800144F70656E204D6F62696C6520416C6C69616E6365C801164C69676874776569676874204D324D20436C69656E74"
    "C80209333435303030313233C303312E30860641000141010588070842000ED842011388870841007D42010384C10964"
    "C10A0F830B410000C40D5182428FC60E2B30323A3030C11055"
)
"""LwM2M TS 1.0, 6.4.3.2."""

PAYLOADS: list[tuple[str, str, Path]] = [
    ("16 values of the Device object", DEVICE, (3, 0)),
    ("a temperature with its unit", "E4164441F80000E1164563", (3303, 0)),
]
POST = bytes.fromhex("4102123401B77061726B696E670D02383631323334303530313233343536112AFF018F01FF4C00340E48FD")
"""A parking sensor's POST of ten bytes."""

SCRIPT = """
const codec = require('lwm2m-codec');
const [hex, path, rounds] = process.argv.slice(1);
const data = Buffer.from(hex, 'hex');
for (let i = 0; i < rounds; i++) codec.decode('tlv', path, data);
const begin = process.hrtime.bigint();
for (let i = 0; i < rounds; i++) codec.decode('tlv', path, data);
console.log(rounds / (Number(process.hrtime.bigint() - begin) / 1e9));
"""


def rate(work: Callable[[], object], rounds: int) -> float:
    """Calls a second, the best of five."""
    return rounds / min(repeat(work, number=rounds, repeat=5))


def in_node(data: str, path: Path, rounds: int) -> float | None:
    """Payloads a second that the library decodes once it is warm; None where Node or the library is missing."""
    node = shutil.which("node")
    if node is None:
        return None
    where = "/" + "/".join(map(str, path))
    done = subprocess.run(
        [node, "-e", SCRIPT, data, where, str(rounds)], capture_output=True, text=True, timeout=120, check=False
    )
    return float(done.stdout) if done.returncode == 0 else None


def aiocoaps() -> Callable[[], object] | None:
    """The same message decoded by aiocoap; None where it is not installed."""
    try:
        from aiocoap.message import Message
    except ImportError:
        return None
    return lambda: Message.decode(POST)


def compared(name: str, mine: float, peer: float | None) -> Row:
    """How many times as fast as the peer."""
    if peer is None:
        return row(name, 0.0, "not installed", f"≥ {TARGET:g}")
    return row(name, mine / peer, "ratio", f"≥ {TARGET:g}", mine / peer >= TARGET)


def measure(quick: bool = False) -> list[Row]:
    """Payloads a second, and how many times the peers'."""
    rounds = ROUNDS // 10 if quick else ROUNDS
    rows: list[Row] = []
    for name, hexadecimal, base in PAYLOADS:
        say(f"LwM2M TLV: {name}")
        data = bytes.fromhex(hexadecimal)
        mine = rate(lambda data=data, base=base: decode_tlv(data, base), rounds)  # type: ignore[misc]  # bound at once
        rows.append(row(f"LwM2M TLV: {name}, decoded and typed", mine, "payloads/s"))
        peer = in_node(hexadecimal, base, NODE_ROUNDS // 10 if quick else NODE_ROUNDS)
        rows.append(compared(f"LwM2M TLV: times npm lwm2m-codec in Node, {name}", mine, peer))
    mine = rate(lambda: coap.decode(POST), rounds)
    peer_ = aiocoaps()
    rows.append(row("CoAP: a POST of ten bytes decoded", mine, "messages/s"))
    rows.append(compared("CoAP: times aiocoap's messages", mine, None if peer_ is None else rate(peer_, rounds)))
    return rows


if __name__ == "__main__":
    for line in measure():
        print(line)
