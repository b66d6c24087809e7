"""SenML on one core: packs read, checked and resolved, beside PyPI's ``senml`` 0.1.0 (JSON only) on the same bytes.

The peer reads with json.loads and checks nothing: no version, no duplicate, no type, no relative time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from timeit import repeat

from device_profiles.codecs.lwm2m import SENML_CBOR, SENML_JSON, Content, decode_content
from device_profiles.codecs.senml import encode_cbor, parse_cbor, parse_json, resolve
from device_profiles.codecs.senml_plain import read_json
from tests.benchmarks.processes import Row, row, say

TARGET = 3.0
ROUNDS = 5_000
NOW = 1_795_262_400.0

RFC = (
    b'[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},'
    b'{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","t":-3,"v":1.4},'
    b'{"n":"current","t":-2,"v":1.5},{"n":"current","t":-1,"v":1.6},{"n":"current","v":1.7}]'
)
"""RFC 8428, 5.1.3."""

SEND = b'[{"bn":"/3303/0/","bt":1795230245,"n":"5700","v":21.25},{"n":"5601","v":-3.5},{"n":"5602","v":38.75}]'


def rate(work: Callable[[], object], rounds: int) -> float:
    """Calls a second, the best of five."""
    return rounds / min(repeat(work, number=rounds, repeat=5))


def theirs() -> Callable[[], object] | None:
    """The same pack read and made absolute by the library; None where it is not installed."""
    try:
        from senml.senml import SenMLDocument  # type: ignore[import-not-found]  # no dependency of ours
    except ImportError:
        return None

    def read() -> object:
        document = SenMLDocument.from_json(json.loads(RFC))
        return [one.to_absolute(document.base) for one in document.measurements]

    return read


def measure(quick: bool = False) -> list[Row]:
    """Packs a second."""
    rounds = ROUNDS // 10 if quick else ROUNDS
    say(f"SenML: {rounds} packs")
    cbor = encode_cbor(parse_json(RFC))
    mine = rate(lambda: read_json(RFC, NOW), rounds)
    send = Content(format=SENML_JSON, payload=SEND)
    small = Content(format=SENML_CBOR, payload=encode_cbor(parse_json(SEND)))
    rows = [
        row("SenML JSON: RFC 8428's pack of 7 records, checked and resolved", mine, "packs/s"),
        row("SenML CBOR: the same", rate(lambda: resolve(parse_cbor(cbor), NOW), rounds), "packs/s"),
        row("LwM2M Send of 3 values in SenML JSON, typed", rate(lambda: decode_content(send), rounds), "packs/s"),
        row("LwM2M Send of 3 values in SenML CBOR, typed", rate(lambda: decode_content(small), rounds), "packs/s"),
    ]
    peer = theirs()
    name = "SenML JSON: times the library senml 0.1.0, which checks nothing"
    if peer is None:
        return [*rows, row(name, 0.0, "not installed", f"≥ {TARGET:g}")]
    times = mine / rate(peer, rounds)
    return [*rows, row(name, times, "ratio", f"≥ {TARGET:g}", times >= TARGET)]


if __name__ == "__main__":
    for line in measure():
        print(line)
