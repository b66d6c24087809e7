"""Transcripts: an exchange as a field engineer reads it, `>> hex` what we said and `<< hex` what came
back."""

from __future__ import annotations

from collections.abc import Iterable

from edge_agent.config import DeviceConfig, LinkConfig


class Tape:
    """Records both directions; bytes of one direction in a row make one line."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, bytearray]] = []

    def __call__(self, mark: str, data: bytes) -> None:
        """A `bus.Tape`: `mark` is ">>" or "<<"."""
        if self._lines and self._lines[-1][0] == mark == "<<":
            self._lines[-1][1].extend(data)
        else:
            self._lines.append((mark, bytearray(data)))

    def clear(self) -> list[str]:
        """The lines so far, and forget them."""
        lines = [f"{mark} {data.hex(' ').upper()}" for mark, data in self._lines]
        self._lines.clear()
        return lines


def title_of(device: DeviceConfig, link: LinkConfig) -> list[str]:
    """A transcript's comment lines: model, unit and link, then what the unit has of its own, one `key: value` each."""
    lines = [f"{device.profile.model}, unit {device.unit}, {link.url}"]
    if device.line is not None:
        lines.append(f"line: {device.line.baud} 8{device.line.parity}{device.line.stop}")
    if device.framing != "rtu":
        lines.append(f"framing: {device.framing}")
    return lines


def transcript(title: Iterable[str], lines: Iterable[str]) -> str:
    """A transcript file: comment lines, then the exchange."""
    return "".join(f"{line}\n" for line in [*(f"# {line}" for line in title), *lines])
