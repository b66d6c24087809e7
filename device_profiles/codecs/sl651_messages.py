"""Messages of SL 651-2014 whatever their encoding, and what the centre says: confirmations, questions, the clock.

A confirmation repeats function and serial number of what it answers and carries the time; the centre's own questions
have the serial number 0 (6.6.2.4). Refuses to answer a link-keeping frame: it has no down-link (6.6.4.2).
"""

import re
from collections.abc import Sequence

import msgspec

from device_profiles.codecs import sl651_hex, sl651_text
from device_profiles.codecs.sl651 import ACK, ENQ, EOT, ESC, ETB, NAK, Frame
from device_profiles.codecs.sl651_body import (
    IMAGE,
    LINK,
    MANUAL,
    QUERY_ELEMENTS,
    QUERY_PERIOD,
    SET_CLOCK,
    Item,
    Message,
    Section,
)
from device_profiles.codecs.sl651_elements import ELEMENTS

FUNCTIONS: dict[int, tuple[str, str]] = {
    0x2F: ("链路维持报", "link keeping"),
    0x30: ("测试报", "test report"),
    0x31: ("均匀时段水文信息报", "uniform period report"),
    0x32: ("遥测站定时报", "timed report"),
    0x33: ("遥测站加报报", "additional report (event)"),
    0x34: ("遥测站小时报", "hourly report"),
    0x35: ("遥测站人工置数报", "manual entry"),
    0x36: ("遥测站图片报", "picture"),
    0x37: ("查询遥测站实时数据", "query: values now"),
    0x38: ("查询遥测站时段数据", "query: values of a period"),
    0x39: ("查询遥测站人工置数", "query: manual entry"),
    0x3A: ("查询遥测站指定要素数据", "query: certain elements"),
    0x40: ("修改基本配置表", "write basic configuration"),
    0x41: ("读取/自报基本配置表", "read basic configuration"),
    0x42: ("修改运行参数配置表", "write run parameters"),
    0x43: ("读取/自报运行参数配置表", "read run parameters"),
    0x44: ("查询水泵电机实时工作数据", "query: pump motors"),
    0x45: ("查询遥测终端软件版本", "query: software version"),
    0x46: ("查询遥测站状态和报警信息", "query: state and alarms"),
    0x47: ("初始化固态存储数据", "clear the memory"),
    0x48: ("恢复终端出厂设置", "factory settings"),
    0x49: ("修改密码", "change the password"),
    0x4A: ("设置遥测站时钟", "set the clock"),
    0x4B: ("设置遥测终端IC卡状态", "set the IC card's state"),
    0x4C: ("水泵开关/状态自报", "pumps: switch, state"),
    0x4D: ("阀门开关/状态自报", "valves: switch, state"),
    0x4E: ("闸门开关/状态自报", "gates: switch, state"),
    0x4F: ("水量定值控制", "fixed volume control"),
    0x50: ("查询遥测站事件记录", "query: event record"),
    0x51: ("查询遥测站时钟", "query: clock"),
}
"""Function codes (table B.1); E0 to FF are the user's own."""


def function_name(function: int) -> tuple[str, str]:
    """(zh, en) of a function."""
    if function >= 0xE0:
        return f"用户自定义 {function:02X}", f"user-defined {function:02X}"
    return FUNCTIONS.get(function, (f"保留 {function:02X}", f"reserved {function:02X}"))


def parse_message(frame: Frame) -> Message:
    """The message in a frame, or in the whole that an Assembler made of its packets. Sl651Error when it is none."""
    return sl651_text.read_body(frame) if frame.ascii else sl651_hex.read_body(frame)


def encode_message(message: Message) -> Frame:
    """The frame of a message; long ones are cut by ``sl651_packets.split_frame``. ValueError for what cannot be
    said."""
    write = sl651_text.write_body if message.ascii else sl651_hex.write_body
    return Frame(
        station=message.station,
        function=message.function,
        body=write(message),
        centre=message.centre,
        password=message.password,
        down=message.down,
        end=message.end,
        packet=message.packet,
        ascii=message.ascii,
    )


def split_stations(message: Message) -> list[Message]:
    """One message for each station that a relay speaks for (6.6.2.7); an ordinary message is itself.

    ``station`` is then who the values are of; a confirmation goes to the one that sent the frame.
    """
    if not message.sections:
        return [message]
    last = len(message.sections) - 1
    return [
        msgspec.structs.replace(
            message,
            station=one.station or message.station,
            sections=(one,),
            rest=message.rest if place == last else b"",
        )
        for place, one in enumerate(message.sections)
    ]


def confirm(message: Message, now: int, stay: bool = False) -> Message:
    """The confirmation of a message (tables 29 to 41). ValueError for link keeping, and for what the centre said.

    EOT: the station may sign off; ESC: it stays on line, because more is to come (ETB) or because of ``stay``; ACK:
    go on, in an answer of several frames (M4). In M3 the number is that of the last packet (table 23, note).
    """
    if message.down or message.function == LINK:
        raise ValueError(f"{function_name(message.function)[1]} is not answered")
    more = message.end == ETB
    end = ESC if stay or more else EOT
    if more and message.packet is None and message.function > IMAGE:
        end = ACK
    return msgspec.structs.replace(
        message, sent=now, sections=(), text=None, picture=None, seen=None, span=None, rest=b"", down=True, end=end
    )


def deny(packet: Frame, first: bytes, number: int, now: int) -> Message:
    """NAK: the station sends this packet again, one NAK for each (6.3.1.2 c). ValueError for a frame that is no packet.

    ``packet``: any of the same message; ``first``: what its first one holds, which alone has the serial number.
    """
    if packet.packet is None:
        raise ValueError("the frame is no packet")
    digits = first[:4].decode("ascii", "replace") if packet.ascii else first[:2].hex()
    serial = int(digits, 16) if re.fullmatch("[0-9A-Fa-f]{4}", digits) else 0
    return Message(
        station=packet.station,
        function=packet.function,
        serial=serial,
        sent=now,
        centre=packet.centre,
        password=packet.password,
        down=True,
        end=NAK,
        packet=(packet.packet[0], number),
        ascii=packet.ascii,
    )


def question(
    function: int,
    station: bytes,
    now: int,
    *,
    centre: int = 1,
    password: int = 0,
    elements: Sequence[int] = (),
    span: tuple[str, str] | None = None,
    step: bytes = b"",
    ascii: bool = False,
) -> Message:
    """A question of the centre (M4): 37 values now, 3A ``elements``, 38 ``elements`` (one) over a ``span`` of hours
    (YYMMDDHH) by a ``step``, 45, 46, 50, 51; 4A sets the clock to ``now``. ValueError for a question that is none."""
    _check_question(function, bool(elements), span is not None)
    items = tuple(
        Item(element=element, data=b"", define=-1 if ascii else define_of(element), step=step) for element in elements
    )
    return Message(
        station=station,
        function=function,
        serial=0,
        sent=now,
        sections=(Section(items=items),) if items else (),
        span=span,
        centre=centre,
        password=password,
        down=True,
        end=ENQ,
        ascii=ascii,
    )


def _check_question(function: int, elements: bool, span: bool) -> None:
    if (function == QUERY_PERIOD) != span or (function in (QUERY_ELEMENTS, QUERY_PERIOD)) != elements:
        raise ValueError(f"{function_name(function)[1]}: elements for 38 and 3A, a span for 38")
    if function <= MANUAL:
        raise ValueError(f"{function_name(function)[1]} is no question")


def set_clock(station: bytes, now: int, *, centre: int = 1, password: int = 0, ascii: bool = False) -> Message:
    """4A: the station takes the send time for its clock (table 67); more than 5 minutes off, it is told twice."""
    return question(SET_CLOCK, station, now, centre=centre, password=password, ascii=ascii)


def define_of(element: int) -> int:
    """The definition byte that table C.1 gives an element; of what it does not have, 0."""
    known = ELEMENTS.get(element)
    if known is None:
        return 0
    if known.kind in ("rain", "level"):
        return 0x60 if known.kind == "rain" else 0xC0
    if known.kind == "word":
        return 0x20
    return (known.digits + 1) // 2 << 3 | known.decimals
