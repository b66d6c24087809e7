"""The agent's side of commands: an id is executed once in a process's life, within the profile's bounds, and what came
of it is remembered until it is surely at the gateway.

Routes each command to its unit's line and keeps nothing across a restart: what was under way then, the gateway settles
as unknown.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

from device_profiles.bounds import refusal_of
from device_profiles.clock import Clock
from device_profiles.codecs.modbus_pdu import Read, Request
from device_profiles.commands import (
    Command,
    CommandError,
    CommandOutcome,
    CommandResult,
    decode_command,
    encode_result,
    no_value,
)
from device_profiles.handover import CommandMessage, ResultMessage
from device_profiles.profiles import RegisterPoint
from device_profiles.quality import Reason
from device_profiles.reads import PlannedRead
from device_profiles.spans import points_within
from edge_agent.agenda import PolledUnit
from edge_agent.assembly import Agent, questions_of
from edge_agent.clock import stamp
from edge_agent.config import DeviceConfig
from edge_agent.errands import Ask, Errand
from edge_agent.poller import LinkPoller
from edge_agent.polls import ascii_request
from edge_agent.questions import Question

_log = logging.getLogger("kuimen.agent")

#: Commands under way at once; a pole has some dozens of things that can be switched.
UNDER_WAY = 64
#: Settled ids remembered. The gateway says an open command again after a loss of the connection, never a settled one.
REMEMBERED = 256


class Commands:
    """What the gateway wants done. `on_result` is called when there is something to say."""

    def __init__(self, agent: Agent, clock: Clock) -> None:
        self.on_result: Callable[[], None] = lambda: None
        self._agent = agent
        self._clock = clock
        self._under_way: set[str] = set()
        self._settled: OrderedDict[str, CommandResult] = OrderedDict()
        self._unsaid: deque[CommandResult] = deque(maxlen=REMEMBERED)

    def take(self, message: CommandMessage) -> None:
        """A command from the gateway. One that is known is not executed again: its result is said again."""
        try:
            command = decode_command(message.payload)
        except CommandError as trouble:
            _log.error("a command that cannot be read: %s", trouble)
            return
        if command.id in self._settled:
            self._unsaid.append(self._settled[command.id])
            self.on_result()
        elif command.id not in self._under_way:
            self._begin(command, self._clock.monotonic() + message.left)

    def unsaid(self) -> Iterator[ResultMessage]:
        """The results to say now; each is given once."""
        while self._unsaid:
            yield ResultMessage(encode_result(self._unsaid.popleft()))

    def say_again(self) -> None:
        """The connection is a new one: what was said on the last one may not have arrived."""
        self._unsaid = deque(self._settled.values(), maxlen=REMEMBERED)

    def _begin(self, command: Command, deadline: float) -> None:
        self._under_way.add(command.id)
        refusal = self._send(command, deadline)
        if refusal:
            self._settle(_refused(command, stamp(self._clock), refusal))

    def _send(self, command: Command, deadline: float) -> str:
        """Put the command on its unit's line; why it must not be, in words, where it must not."""
        config = self._agent.config
        device = next((device for device in config.devices if device.name == command.device), None)
        if device is None:
            return f"there is no device {command.device!r}"
        if refusal := refusal_of(device.profile, command.point, command.value):
            return refusal
        if device.profile.protocol != "modbus":
            return f"commands to a {device.profile.protocol} unit cannot be sent yet"
        if len(self._under_way) > UNDER_WAY:
            return f"more than {UNDER_WAY} commands at once"
        link = next(link for link in config.links if link.name == device.link)
        polled = [question for _, question in questions_of(device, link)]
        if not polled:
            return f"{device.name} is not polled: nobody could see what came of it"
        poller = next(poller for poller in self._agent.pollers if poller.name == link.name)
        point = device.profile.point(command.point)
        assert isinstance(point, RegisterPoint)
        unit, along = _unit_of(poller, device), _read_along(device, point)
        ask = _asker(device, polled[0])
        poller.send(Errand(command, unit, point, len(along), ask, deadline, self._clock, self._settle))
        return ""

    def _settle(self, result: CommandResult) -> None:
        """The command's one end."""
        if result.id not in self._under_way:
            return
        self._under_way.discard(result.id)
        self._settled[result.id] = result
        while len(self._settled) > REMEMBERED:
            self._settled.popitem(last=False)
        _log.info("command %s: %s %s", result.id[:8], result.outcome.word, result.text)
        self._unsaid.append(result)
        self.on_result()


def _refused(command: Command, at: int, why: str) -> CommandResult:
    return no_value(command.id, at, CommandOutcome.REFUSED, Reason.OUT_OF_RANGE, why)


def _unit_of(poller: LinkPoller, device: DeviceConfig) -> PolledUnit:
    """The unit as its line knows it, with its breaker."""
    known = (job.unit for job in poller.jobs if job.unit.name == device.name)
    return next(known, None) or PolledUnit(device.name, device.unit)


def _read_along(device: DeviceConfig, point: RegisterPoint) -> list[RegisterPoint]:
    """The points that a read of this one carries: itself, and other bits of its register."""
    return points_within(device.profile.modbus.points, point.table, point.address, point.registers)


def _asker(device: DeviceConfig, like: Question) -> Ask:
    """Questions to this unit, with the patience and the ways out of quarantine that its polls have."""

    def ask(request: Request, readings: int) -> Question:
        asked: Request | PlannedRead = ascii_request(device, request) if device.framing == "ascii" else request
        instead = like.instead if isinstance(request, Read) else ()
        return Question(
            unit=like.unit, read=asked, readings=readings, timeout=like.timeout, late=like.late, line=like.line,
            instead=instead,
        )  # fmt: skip

    return ask
