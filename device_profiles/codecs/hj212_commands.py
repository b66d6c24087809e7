"""What is said over HJ 212 beside data: acknowledgements, requests, results, the clock, sub-packets (6.6, Annex C).

An acknowledgement is never acknowledged; whoever answers copies QN, PW and MN and says ST=91. Only builds and sorts
messages: when to send which is the session's business.
"""

from collections.abc import Callable

import msgspec

from device_profiles.codecs.hj212_segment import Item, Segment, encode_body, flag_of, format_time

REALTIME, STATE, DAY, RUN_TIME, MINUTE, HOUR, BOOT = "2011", "2021", "2031", "2041", "2051", "2061", "2081"
REQUEST_REPLY, RESULT, NOTICE_ACK, DATA_ACK, HEARTBEAT = "9011", "9012", "9013", "9014", "9015"
GET_CLOCK, SET_CLOCK, CLOCK_REQUEST = "1011", "1012", "1013"
GET_INTERVAL, SET_INTERVAL = "1061", "1062"

SYSTEM = "91"
"""ST of system interaction: requests' replies and acknowledgements (6.6.1 table 5)."""

ACKS = frozenset({REQUEST_REPLY, RESULT, NOTICE_ACK, DATA_ACK, "9021"})
"""Never to be acknowledged; 9021 is met in the field."""

ASKABLE = frozenset({MINUTE, HOUR, DAY, RUN_TIME})
"""Data that can be asked for by BeginTime and EndTime (Annex C)."""

READY = 1
"""QnRtn: ready to carry the request out (6.6.3)."""

QN_RTN = {
    1: "ready",
    2: "rejected",
    3: "wrong PW",
    4: "wrong MN",
    5: "wrong ST",
    6: "wrong Flag",
    7: "wrong QN",
    8: "wrong CN",
    9: "wrong CRC",
    100: "unknown",
}
EXE_RTN = {
    1: "done",
    2: "failed",
    3: "condition not met",
    4: "time-out",
    5: "busy",
    6: "system fault",
    100: "no data",
}

ACKED_BY_NOTICE = frozenset({CLOCK_REQUEST, HEARTBEAT})
"""Messages of a device that 9013 answers (Annex C; 9015: 2025)."""


def is_data(segment: Segment) -> bool:
    """True for what a device uploads: measurements, states, logs (2011 to 3999, answered by 9014)."""
    return segment.cn[:1] in ("2", "3") and len(segment.cn) == 4


def ack_of(message: Segment) -> Segment:
    """The acknowledgement of a device's message: 9013 for a notice, 9014 for data, in the sender's edition.

    Flag: the version alone, bit A not set (4, or 8 in 2025). A sub-packet of 2025 has its PNUM and PNO copied (Flag 10,
    Annex C); before that the acknowledgement carries no packet numbers.
    """
    parts = message.version >= 2 and message.pno is not None
    return Segment(
        cn=NOTICE_ACK if message.cn in ACKED_BY_NOTICE else DATA_ACK,
        qn=message.qn,
        st=SYSTEM,
        pw=message.pw,
        mn=message.mn,
        flag=flag_of(message.version, parts=parts),
        pnum=message.pnum if parts else None,
        pno=message.pno if parts else None,
    )


def request(cn: str, device: Segment, qn: str, body: tuple[Item, ...] = ()) -> Segment:
    """A request to the device that sent ``device``: its ST, PW, MN and edition, an answer wanted."""
    return Segment(
        cn=cn, qn=qn, st=device.st, pw=device.pw, mn=device.mn, flag=flag_of(device.version, ack=True), body=body
    )


def clock_setting(device: Segment, qn: str, now: int) -> Segment:
    """1012: the device's clock to ``now`` (UTC µs); PolId is copied from its 1013 where it named one (2017, C.5)."""
    pol_id = device.value("PolId")
    body: tuple[Item, ...] = ((("PolId", pol_id),),) if pol_id is not None else ()
    return request(SET_CLOCK, device, qn, (*body, (("SystemTime", format_time(now)),)))


def history_request(cn: str, device: Segment, qn: str, begin: int, end: int) -> Segment:
    """2051, 2061, 2031 or 2041 of a span, both ends UTC µs; ValueError for what cannot be asked for by time."""
    if cn not in ASKABLE:
        raise ValueError(f"{cn} cannot be asked for by time; one of: {', '.join(sorted(ASKABLE))}")
    return request(cn, device, qn, ((("BeginTime", format_time(begin)),), (("EndTime", format_time(end)),)))


def request_reply(asked: Segment, code: int = READY) -> Segment:
    """9011, a device's first answer to a request: whether it will do it."""
    return _answer(asked, REQUEST_REPLY, "QnRtn", code)


def result(asked: Segment, code: int = 1) -> Segment:
    """9012, a device's last answer to a request: what came of it."""
    return _answer(asked, RESULT, "ExeRtn", code)


def _answer(asked: Segment, cn: str, key: str, code: int) -> Segment:
    return Segment(
        cn=cn,
        qn=asked.qn,
        st=SYSTEM,
        pw=asked.pw,
        mn=asked.mn,
        flag=flag_of(asked.version),
        body=(((key, str(code)),),),
    )


def code_of_answer(answer: Segment) -> int | None:
    """QnRtn of a 9011, ExeRtn of a 9012; None where it says none."""
    text = answer.value("QnRtn" if answer.cn == REQUEST_REPLY else "ExeRtn") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else None


def split_segment(whole: Segment, next_qn: Callable[[], str], room: int = 950) -> list[Segment]:
    """A message in sub-packets (2017 tables C.49, C.50), each with a QN of its own (the first keeps the message's), its
    own DataTime and at most ``room`` bytes of body (6.3.3). The message itself comes back when it fits; ValueError when
    one item does not."""
    times = tuple(item for item in whole.body if item[0][0] == "DataTime")
    bodies: list[list[Item]] = [list(times)]
    for item in (item for item in whole.body if item[0][0] != "DataTime"):
        if _size([*bodies[-1], item]) > room and len(bodies[-1]) > len(times):
            bodies.append(list(times))
        bodies[-1].append(item)
        if _size(bodies[-1]) > room:
            raise ValueError(f"{item[0][0]} does not fit a sub-packet of {room} bytes")
    if len(bodies) == 1:
        return [whole]
    flag = flag_of(whole.version, ack=whole.wants_ack, parts=True)
    return [
        msgspec.structs.replace(
            whole,
            qn=whole.qn if number == 1 else next_qn(),
            flag=flag,
            pnum=len(bodies),
            pno=number,
            body=tuple(body),
        )
        for number, body in enumerate(bodies, 1)
    ]


def _size(body: list[Item]) -> int:
    return len(encode_body(tuple(body)).encode())


class Merger:
    """Puts sub-packets together by (MN, CN, DataTime, PNUM), never by QN: each has a QN of its own.

    Each sub-packet is usable alone and acknowledged alone, so nothing has to wait for this. Holds ``room`` unfinished
    messages, the newest; a part that comes again replaces itself.
    """

    def __init__(self, room: int = 16) -> None:
        self._room = room
        self._open: dict[tuple[str, str, str | None, int], dict[int, Segment]] = {}

    def add(self, part: Segment) -> Segment | None:
        """The whole message when this was its last missing part (with the first part's QN), else None."""
        if part.pnum is None or part.pno is None or not 1 <= part.pno <= part.pnum:
            return part
        key = (part.mn, part.cn, part.value("DataTime"), part.pnum)
        parts = self._open.pop(key, {})
        parts[part.pno] = part
        if len(parts) < part.pnum:
            self._open[key] = parts
            while len(self._open) > self._room:
                del self._open[next(iter(self._open))]
            return None
        ordered = [parts[number] for number in sorted(parts)]
        body = list(ordered[0].body)
        for later in ordered[1:]:
            body += [item for item in later.body if item[0][0] != "DataTime"]
        return msgspec.structs.replace(ordered[0], pnum=None, pno=None, body=tuple(body))
