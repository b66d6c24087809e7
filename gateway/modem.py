"""An NB-IoT modem on a serial port as a way for datagrams: registration, one UDP socket, signal, restarts.

``run`` keeps the modem; clients ``connect`` through it, one at a time. A socket layer that is hung is restarted, with
growing pauses. Refuses to restart a modem that only finds no network: operators throttle those who do.
"""

import asyncio
import logging

from device_profiles.codecs.at_modem import AtError, Urc
from device_profiles.codecs.at_modem_answers import Signal, parse_imei, parse_registration
from gateway.datagrams import Place
from gateway.modem_config import ModemConfig
from gateway.modem_dialects import make_dialect
from gateway.modem_health import ModemHealth, settings_of
from gateway.modem_line import ModemLine, ModemTrouble, Silent
from gateway.modem_way import Way

log = logging.getLogger(__name__)

QUEUE = 32
"""Datagrams that wait for the modem; more are lost, as on any network, and counted."""

START_SECONDS = 2.0
"""For the first answer; a modem that sleeps or finds its speed loses the first commands."""
START_TURNS = 5
SEARCH_SECONDS = 5.0
"""Between two questions for the network; an unsolicited line is faster."""
SLOW_SECONDS = 85.0
"""For AT+CFUN=1 and AT+CGATT=1, which some modules answer after more than a minute."""
OPEN_SECONDS = 60.0
"""For +QIOPEN (BC26 TCP/IP manual)."""
FAULTS = 3
"""Refusals of the socket layer in a row, with a network, after which it counts as hung."""
DEAF = 5
"""Clients in a row that sent and heard nothing, after which a socket layer that takes everything counts as hung."""
DEAF_PAUSE = 600.0
"""Between two restarts for that, at first: it may be the other side that is away."""
FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0
"""Between two restarts, doubling; back to the first when a datagram has come in."""
REOPEN_PAUSE = 2.0
"""Before a port is tried again, doubling up to half a minute."""


class Modem:
    """One modem. ``health`` is kept up to date. Give ``run`` a task of its own."""

    def __init__(self, config: ModemConfig) -> None:
        self.health = ModemHealth()
        self._config = config
        self._dialect = make_dialect(config.kind)
        self._way: Way | None = None
        self._stale: list[int] = []  # sockets that nobody uses any more
        self._wake = asyncio.Event()
        self._arrived = self._unregistered = self._reborn = False
        self._faults = self._not_sent = self._deaf = 0
        self._pause, self._may_restart = FIRST_PAUSE, 0.0
        self._opening: asyncio.Future[bool] | None = None

    # -- for clients -------------------------------------------------------------------------------------------------

    async def connect(self, receiver: asyncio.DatagramProtocol, place: Place) -> Way:
        """See ``Network.connect``; an earlier client's socket is closed."""
        if self._way is not None:
            self.leave(self._way)
        way = self._way = Way(self, receiver, place)
        self._wake.set()
        try:
            async with asyncio.timeout(self._config.patience):
                await way.opened
        except TimeoutError:
            self.leave(way)
            raise OSError(f"modem {self._config.port}: {self.health.words()}") from None
        except BaseException:
            self.leave(way)
            raise
        return way

    def queue(self, way: Way, data: bytes) -> None:
        """Let a client's datagram wait for the modem."""
        if way is not self._way or len(way.waiting) >= QUEUE or len(data) > self._dialect.longest:
            self.health.unsent += 1
            return
        way.waiting.append(data)
        self._wake.set()

    def leave(self, way: Way) -> None:
        """A client goes; its socket is closed when the modem has time for it."""
        if way is self._way:
            self._way = None
            self._deaf += way.sent and not way.heard
            self._retire(way)
            self.health.unsent += len(way.waiting)
            self._wake.set()

    def _retire(self, way: Way) -> None:
        if way.number >= 0:
            self._stale.append(way.number)
        way.number = -1

    # -- the modem's life --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the modem until cancelled: port, start, network, datagrams; whatever fails is tried again."""
        pause = REOPEN_PAUSE
        while True:
            self._arrived = self._unregistered = self._reborn = False
            try:
                async with ModemLine(self._config.port, self._config.baud, self._heard) as line:
                    try:
                        await self._live(line)
                    finally:
                        self.health.timeouts += line.timeouts
                        self._count(line)
            except ModemTrouble as trouble:
                self._down(str(trouble))
            if self.health.state != "closed":  # it has lived: not the same trouble again
                pause = REOPEN_PAUSE
            self.health.state = "closed"
            await asyncio.sleep(pause)
            pause = min(2 * pause, 30.0)

    def _down(self, why: str) -> None:
        """Tell client and log that the way is gone."""
        if why != self.health.trouble:
            log.warning("modem: %s", why)
        self.health.trouble = why
        way = self._way
        if way is not None and way.number >= 0:
            self._retire(way)
            self.health.unsent += len(way.waiting)
            way.waiting.clear()
            way.receiver.error_received(OSError(why))

    async def _live(self, line: ModemLine) -> None:
        """From a port to datagrams, again after each start of the modem. ModemTrouble ends it."""
        while True:
            self.health.state = "starting"
            await self._start(line)
            while not self._reborn:
                await self._search(line)
                await self._serve(line)
            self._reborn = False
            self._down("the modem started anew")

    async def _start(self, line: ModemLine) -> None:
        await self._greet(line)
        self.health.starts += 1
        self.health.trouble = ""
        config = self._config
        for text in ["ATE0", "AT+CMEE=1", *self._dialect.settings(), *settings_of(config)]:
            reply = await line.command(text)
            if not reply.ok and text.startswith(("AT+CGDCONT", "AT+CPSMS=1", "AT+QICFG")):
                log.warning("modem: refuses %s: %s", text, reply.error)
        for question, wish in (("AT+CFUN?", "AT+CFUN=1"), ("AT+CGATT?", "AT+CGATT=1")):
            await self._want(line, question, wish)
        try:
            self.health.imei = parse_imei((await line.command("AT+CGSN=1")).lines)
        except AtError:
            self.health.imei = None
        self._stale = []

    async def _want(self, line: ModemLine, question: str, wish: str) -> None:
        """Radio on, attached: said only when it is not so. Without a network some answer late, or never."""
        name, _, value = wish.removeprefix("AT").partition("=")
        if value in (await line.command(question)).named(name):
            return
        try:
            await line.command(wish, SLOW_SECONDS)
        except Silent:
            await self._greet(line)

    async def _greet(self, line: ModemLine) -> None:
        """The first answer, or the way back after a lost one: a reply that is surely this question's."""
        for turn in range(START_TURNS):
            try:
                await line.command("AT+CFUN?", START_SECONDS, wants="+CFUN")
            except Silent:
                if turn == START_TURNS - 1:
                    raise Silent("the modem does not answer: wrong port or baud, or no power") from None
            else:
                self._reborn = False
                return

    async def _search(self, line: ModemLine) -> None:
        """Until registered, however long it takes. A modem that finds no network is left alone."""
        self._unregistered = False
        while not self._reborn:
            reply = await line.command("AT+CEREG?")
            for text in reply.named("+CEREG"):
                self._registration(text, asked=True)
            if self.health.registration in ("home", "roaming"):
                self._unregistered = False
                return
            self.health.state = "searching"
            await self._rest(SEARCH_SECONDS)

    async def _serve(self, line: ModemLine) -> None:
        """Carry datagrams while there is a network."""
        self.health.state = "registered"
        loop = asyncio.get_running_loop()
        look = 0.0
        while not (self._reborn or self._unregistered):
            if loop.time() >= look:
                await self._look(line)
                look = loop.time() + self._config.watch
                continue
            try:
                busy = await self._carry(line)
            except Silent:
                await self._greet(line)  # and the question whether it still registered
                look = 0.0
                await self._fault(line, "the modem fell silent")
            except ModemTrouble as trouble:
                if self._reborn or not await self._registered(line):
                    break
                await self._fault(line, str(trouble))
            else:
                if not busy:
                    await self._rest(look - loop.time())
        if self._unregistered:
            self._down("the network is lost")
            self.health.trouble = ""

    async def _rest(self, seconds: float) -> None:
        """Until something happens, at most ``seconds``."""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    async def _look(self, line: ModemLine) -> None:
        """Registration and signal."""
        if not await self._registered(line):
            return
        try:
            signal = await self._dialect.signal(line)
        except Silent:
            raise
        except ModemTrouble:
            signal = Signal()
        self.health.take(signal)
        self._count(line)

    def _count(self, line: ModemLine) -> None:
        self.health.rejects = dict(line.dialog.rejects.counts)

    async def _registered(self, line: ModemLine) -> bool:
        reply = await line.command("AT+CEREG?")
        for text in reply.named("+CEREG"):
            self._registration(text, asked=True)
        return not self._unregistered

    # -- datagrams ---------------------------------------------------------------------------------------------------

    async def _carry(self, line: ModemLine) -> bool:
        """One step: close, open, read or send. False when there is nothing to do."""
        if self._not_sent >= FAULTS:
            self._not_sent = 0
            raise ModemTrouble("datagrams do not leave")
        if self._deaf >= DEAF:
            self._deaf, self._faults = 0, FAULTS - 1
            self._pause = max(self._pause, DEAF_PAUSE)
            raise ModemTrouble("datagrams leave and nothing ever comes back")
        if self._stale:
            await self._dialect.close(line, self._stale.pop())
            return True
        way = self._way
        if way is None:
            return False
        if way.number < 0:
            await self._open(line, way)
            return True
        if self._arrived:
            self._arrived = False
            async for sender, data in self._dialect.read(line, way.number):
                self._deliver(way, sender, data)
            return True
        return await self._send(line, way)

    async def _open(self, line: ModemLine, way: Way) -> None:
        opening = self._opening = asyncio.get_running_loop().create_future()
        number, ready = await self._dialect.open(line, way.place)
        if not ready:
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    ready = await opening
            except TimeoutError:
                ready = False
        if not ready:
            raise ModemTrouble("the modem cannot open a socket")
        self.health.sockets += 1
        self.health.state, self.health.trouble = "open", ""
        if way is not self._way:
            self._stale.append(number)
            return
        way.number = number
        self._arrived = False
        if not way.opened.done():
            way.opened.set_result(None)

    async def _send(self, line: ModemLine, way: Way) -> bool:
        if not way.waiting:
            return False
        data = way.waiting.popleft()
        try:
            reports = await self._dialect.send(line, way.number, way.place, data)
        except ModemTrouble:
            self.health.unsent += 1
            raise
        if not reports:
            self._faults = 0
        way.sent = True
        self.health.sent += 1
        self.health.bytes_sent += len(data)
        return True

    def _deliver(self, way: Way, sender: Place | None, data: bytes) -> None:
        self._faults, self._pause = 0, FIRST_PAUSE
        if sender not in (None, way.place):
            self.health.strangers += 1
            return
        way.heard = True
        self.health.received += 1
        self.health.bytes_received += len(data)
        if way is self._way:
            way.receiver.datagram_received(data, way.place)

    async def _fault(self, line: ModemLine, why: str) -> None:
        """The socket layer refuses although there is a network: another socket, and at last another start."""
        self._faults += 1
        self._down(why)
        if self._faults < FAULTS:
            await self._rest(1.0)
            return
        now = asyncio.get_running_loop().time()
        if now < self._may_restart:
            await self._rest(min(self._may_restart - now, 5.0))
            return
        self._faults = 0
        self._may_restart = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self.health.restarts += 1
        log.warning("modem: its sockets are hung (%s): %s", why, self._dialect.restart)
        try:
            await line.command(self._dialect.restart, 10.0)
        except Silent:
            log.info("modem: did not confirm its restart")
        self._reborn = True

    # -- unsolicited lines -------------------------------------------------------------------------------------------

    def _heard(self, urc: Urc) -> None:
        if urc.name == "+CEREG":
            self._registration(urc.text, asked=False)
        elif urc.name in ("NEUL", "RDY", "PORT LOST"):
            self._reborn = True
        elif urc.name == "+NPSMR":
            self.health.sleeping = urc.text.endswith("1")
        else:
            self._socket_news(urc)
        self._wake.set()

    def _socket_news(self, urc: Urc) -> None:
        news = self._dialect.news(urc)
        way = self._way
        if news is None:
            return
        if news.what in ("sent", "not sent"):
            self._report(news.what == "sent")
        elif news.what == "opened" or (news.what == "closed" and way is not None and way.number < 0):
            if self._opening is not None and not self._opening.done():
                self._opening.set_result(news.what == "opened")
        elif way is not None and news.socket == way.number:
            if news.what == "arrived":
                self._arrived = True
            else:
                way.number = -1  # closed by the network: the next step opens another

    def _report(self, sent: bool) -> None:
        self.health.reported += sent
        self.health.unsent += not sent
        self._not_sent = 0 if sent else self._not_sent + 1
        if sent:
            self._faults = 0

    def _registration(self, text: str, asked: bool) -> None:
        try:
            found = parse_registration(text, asked)
        except AtError:
            return
        if found.word != self.health.registration:
            log.info("modem: %s", found.word)
        self.health.registration = found.word
        self.health.cell = found.cell or self.health.cell
        self._unregistered = not found.registered
