"""Bytes on the wire per reading, from the agent's own batches: payload, topic, MQTT, TCP and IPv4 headers.

A pole with every model of the library is polled over simulated time: physics of the profiles, deadbands and report
periods as they are, batches sealed at 500 readings. Refuses to count a batch that is not full; what comes down
(receipts, TCP acknowledgements) is not in it.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.benchmarks.processes import Row, row, say

if TYPE_CHECKING:
    from edge_agent.agenda import Job
    from edge_agent.assembly import Agent
    from firmware_sim.physics import Signal

READINGS = 500
TARGET = 6.0
UNITS_A_MODEL = 3
START_US = 1_790_000_000_000_000
ANSWERED_AFTER_US = (20_000, 120_000)
"""A reply on a 9600 baud line comes this long after its poll was due: its time stamp has no round digits."""
MSS = 1448
"""Payload of a TCP segment on Ethernet with time stamps: 1500 - 20 - 32."""
SEGMENT = 20 + 32
"""IPv4 and TCP headers of a segment, time stamps included (RFC 791, RFC 9293, RFC 7323)."""
TOPIC = "kuimen/v1/up/63/500236-kz-001/batch"


class StandingClock:
    """A clock that is moved by hand: `at` in UTC µs."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        """UTC µs."""
        return self.at

    def monotonic(self) -> float:
        """Seconds since the start."""
        return (self.at - START_US) / 1e6


def publish_bytes(payload: int, topic: str = TOPIC) -> int:
    """An MQTT 3.1.1 PUBLISH at QoS 0 (3.3): fixed header, remaining length, topic with its length, payload."""
    remaining = 2 + len(topic) + payload
    length = 1
    while remaining >= 128**length:
        length += 1
    return 1 + length + remaining


def on_the_wire(payload: int) -> int:
    """The PUBLISH in TCP segments with their headers."""
    message = publish_bytes(payload)
    return message + SEGMENT * -(-message // MSS)


def _site(folder: Path) -> Path:
    from device_profiles.loader import load_library
    from device_profiles.problems import Problems

    library = load_library([], Problems())
    models = sorted(model for model, profile in library.items() if profile.protocol == "modbus")
    names = [(model, n) for model in models for n in range(UNITS_A_MODEL)]
    parts = [f'[site]\nname = "wire"\n\n[agent]\nbatch_readings = {READINGS}\n']
    for at, (model, n) in enumerate(names):
        parts.append(f'\n[[links]]\nname = "l{at}"\nurl = "tcp://127.0.0.1:{2000 + at}"\n')
        parts.append(f'[[devices]]\nname = "{model}-{n}"\nprofile = "{model}"\nlink = "l{at}"\nunit = 1\n')
    path = folder / "site.toml"
    path.write_text("".join(parts))
    return path


class SimulatedPole:
    """An agent whose every question is answered by the profiles' physics, at once and without a wire."""

    def __init__(self, agent: Agent, clock: StandingClock) -> None:
        from device_profiles.spans import BIT_TABLES
        from firmware_sim.physics import Signal

        self._agent, self._clock, self._bits = agent, clock, BIT_TABLES
        self._chance = Random(1)
        profiles = {device.name: device.profile for device in agent.config.devices}
        self._signals: dict[tuple[str, str], Signal] = {
            (name, point.name): Signal(point, profile.simulate.get(point.name), f"{name}/{point.name}", START_US)
            for name, profile in profiles.items()
            for point in profile.modbus.points
        }

    def poll(self, seconds: float) -> Iterator[bytes]:
        """Poll for so long; every full batch's payload as it goes to the broker."""
        from device_profiles.handover import BatchMessage, Reader

        outbox, reader = self._agent.outbox, Reader()
        jobs = [job for poller in self._agent.pollers for job in poller.jobs]
        queue = [(START_US + self._delay(), place, START_US, job) for place, job in enumerate(jobs)]
        heapq.heapify(queue)
        while queue[0][0] < START_US + seconds * 1e6:
            at, place, due, job = heapq.heappop(queue)
            self._clock.at = at
            values, codes = job.decoder.decode(self._reply(job))
            now = self._clock.monotonic()
            job.report.answered(values, codes, at, now, self._agent.ledger, outbox)
            due += int(job.period * 1e6)
            heapq.heappush(queue, (due + self._delay(), place, due, job))
            while outbox.can_seal():
                sealed = outbox.seal()
                outbox.accepted(sealed.seq)
                (message,) = reader.feed(sealed.frame)
                assert isinstance(message, BatchMessage)
                yield message.payload

    def _delay(self) -> int:
        return self._chance.randrange(*ANSWERED_AFTER_US)

    def _reply(self, job: Job) -> bytes:
        from device_profiles.codecs.modbus_pdu import Read
        from device_profiles.profiles import RegisterPoint
        from device_profiles.spans import encode_registers

        read, points = job.question.read, [p for p in job.decoder.points if isinstance(p, RegisterPoint)]
        assert isinstance(read, Read)
        first = read.address
        values = {point.name: self._signals[job.unit.name, point.name].at(self._clock.at) for point in points}
        cells = {place: word for (_, place), word in encode_registers(points, values).items()}
        count = read.count
        if points[0].table in self._bits:
            number = sum(cells.get(first + bit, 0) << bit for bit in range(count))
            return number.to_bytes((count + 7) // 8, "little")
        return b"".join(cells.get(first + at, 0).to_bytes(2, "big") for at in range(count))


def batches(seconds: float) -> list[tuple[int, int]]:
    """(readings, payload bytes) of each full batch of the simulated pole."""
    from device_profiles.envelope import decode_batch
    from edge_agent.assembly import assemble
    from edge_agent.config import load_config

    with tempfile.TemporaryDirectory(prefix="kuimen-wire-") as name:
        config = load_config(_site(Path(name)))
    clock = StandingClock(START_US)
    pole = SimulatedPole(assemble(config, clock, 1 << 20), clock)
    sizes = [(decode_batch(payload).count, len(payload)) for payload in pole.poll(seconds)]
    return [size for size in sizes if size[0] >= READINGS]


def run(quick: bool = False) -> list[Row]:
    """Bytes a reading, of the payload and of everything on the wire."""
    say("wire: a pole with every model of the library, simulated")
    found = batches(300.0 if quick else 1800.0)
    readings = sum(count for count, _ in found)
    payload = sum(size for _, size in found) / readings
    wire = sum(on_the_wire(size) for _, size in found) / readings
    say(f"wire: {len(found)} batches of {readings / len(found):.0f} readings")
    return [
        row("wire: bytes per reading, 500 a batch", wire, "bytes", f"<= {TARGET:g}", wire <= TARGET),
        row("wire: of which payload", payload, "bytes"),
    ]
