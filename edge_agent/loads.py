"""How busy a site's links will be, worked out before anything is connected: bytes, silence and an assumed
turn-around. Says before deployment which line is over-committed, and which unit will be asked less often than wanted.
"""

from __future__ import annotations

from typing import Any

from device_profiles.codecs.modbus_pdu import Read, reply_size
from device_profiles.profiles import BusMap
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig
from edge_agent.links import LinkTarget, on_line
from edge_agent.polls import Poll, polls_of

#: Seconds that a Modbus unit takes to begin its answer: most do within five milliseconds, the slow ones within
#: thirty.
TURNAROUND = 0.01
#: Seconds that a meter takes: DL/T 645-2007, 5.3.2 allows 20 to 500 ms; most need some 80.
METER_TURNAROUND = 0.08
#: Bytes of an answer whose protocol cannot say how long it will be: a meter's item of four bytes, with its frame.
USUAL_REPLY = 24
#: Bytes of an RTU request and of what surrounds the PDU of a reply.
_REQUEST, _AROUND = 8, 3
#: Above this share of its time a line has no room for a retry or a unit that is silent.
CROWDED = 0.8


def exchange_seconds(poll: Poll, target: LinkTarget) -> float:
    """Time that one read takes on a link: question, turn-around, answer and two silent intervals."""
    if isinstance(poll.read, Read):
        length, turnaround = _REQUEST + _AROUND + reply_size(poll.read), TURNAROUND
    else:
        length = len(poll.read.exchange().request()) + (poll.read.reply_bytes or USUAL_REPLY)
        turnaround = METER_TURNAROUND
    return length * target.byte_seconds + 2 * target.silence_seconds + turnaround


def link_loads(config: AgentConfig) -> list[dict[str, Any]]:
    """One row a link: its units, reads in the plan, readings a second, seconds of one cycle through all of them, the
    share of time that it is busy, and warnings."""
    return [_load(link, [d for d in config.devices if d.link == link.name]) for link in config.links]


def _load(link: LinkConfig, devices: list[DeviceConfig]) -> dict[str, Any]:
    plans = [
        (poll, exchange_seconds(poll, _target(device, link))) for device in devices for poll in polls_of(device)
    ]
    readings = sum(len(poll.points) / poll.period for poll, _ in plans)
    busy = sum(seconds / poll.period for poll, seconds in plans)
    return {
        "link": link.name,
        "url": link.url,
        "units": len(devices),
        "reads": len(plans),
        "readings_s": round(readings, 3),
        "cycle_s": round(sum(seconds for _, seconds in plans), 3),
        "busy": round(busy, 4),
        "warnings": _warnings(link, devices, busy),
    }


def _target(device: DeviceConfig, link: LinkConfig) -> LinkTarget:
    return link.target if device.line is None else on_line(link.target, device.line)


def _warnings(link: LinkConfig, devices: list[DeviceConfig], busy: float) -> list[str]:
    found = []
    if busy > 1:
        found.append(
            f"{link.name} is over-committed: its plan needs {busy:.0%} of the time, so every period will be about "
            f"{busy:.1f} times as long; slow devices down (period), or use a second line or a higher speed"
        )
    elif busy > CROWDED:
        found.append(f"{link.name} is busy {busy:.0%} of the time: a silent unit or a retry will make polls late")
    for device in devices:
        target, factory = _target(device, link), device.profile.map
        if target.kind != "serial" or not isinstance(factory, BusMap):
            continue
        if (target.baud, target.parity) != (factory.line.baud, factory.line.parity):
            found.append(
                f"{device.name} is asked at {target.baud} 8{target.parity}{target.stop}; a {device.profile.model} "
                f"leaves the factory with {factory.line.baud} 8{factory.line.parity}{factory.line.stop}: is it set so?"
            )
    return found
