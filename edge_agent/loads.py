"""How busy a site's links will be, worked out before anything is connected: bytes, silence and an assumed
turn-around."""

from __future__ import annotations

from typing import Any

from device_profiles.codecs.modbus_pdu import reply_size
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig
from edge_agent.plan import Span

#: Seconds that a unit takes to begin its answer: most do within five milliseconds, the slow ones within
#: thirty.
TURNAROUND = 0.01
#: Bytes of an RTU request and of what surrounds the PDU of a reply.
_REQUEST, _AROUND = 8, 3


def exchange_seconds(span: Span, link: LinkConfig) -> float:
    """Time that one read takes on the link: question, turn-around, answer and two silent intervals."""
    target = link.target
    length = _REQUEST + _AROUND + reply_size(span.read)
    return length * target.byte_seconds + 2 * target.silence_seconds + TURNAROUND


def link_loads(config: AgentConfig) -> list[dict[str, Any]]:
    """One row a link: its units, reads in the plan, readings a second, and the share of time that it is
    busy."""
    return [_load(link, [d for d in config.devices if d.link == link.name]) for link in config.links]


def _load(link: LinkConfig, devices: list[DeviceConfig]) -> dict[str, Any]:
    plans = [(device, span) for device in devices for span in device.spans()]
    readings = sum(sum(map(span.covers, device.read_points)) / span.period for device, span in plans)
    busy = sum(exchange_seconds(span, link) / span.period for _, span in plans)
    return {
        "link": link.name,
        "url": link.url,
        "units": len(devices),
        "reads": len(plans),
        "readings_s": round(readings, 3),
        "busy": round(busy, 4),
    }
