"""The elements of SL 651-2014 (table C.1) as data: identifier, ASCII name, what it is, unit, digits and decimals.

The digits and decimals are those of the table, for encoding only: what a station sends is read by its own definition
byte. Refuses nothing; an identifier that is not here is read all the same and has no name.
"""

from typing import Final

import msgspec


class Element(msgspec.Struct, frozen=True):
    """One row. ``id``: the identifier, 0xFF00 + xx for a user's extension; ``unit``: UCUM, empty for codes.

    ``kind``: "number" (BCD), "rain" and "level" (12 values of an hour), "word" (4 bytes of bits), "clock" (HH.mm),
    "text", "picture", "raw".
    """

    id: int
    name: str
    zh: str
    en: str
    unit: str
    digits: int = 0
    decimals: int = 0
    kind: str = "number"


TIME, ADDRESS, TEXT, PICTURE, RAIN, BATCH, STEP, WORD = 0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xFD, 0x04, 0x45
LEVELS = range(0xF5, 0xFD)
EXTENSION = 0xFF
"""Lead bytes with a meaning of their own (table C.1, notes a to g; table 26)."""

_SINGLE = (
    Element(TEXT, "RGZS", "人工置数", "manual entry", "", kind="text"),
    Element(PICTURE, "PIC", "图片信息", "picture", "", kind="picture"),
    Element(RAIN, "DRP", "1小时内每5分钟时段雨量", "rain every 5 minutes", "mm", decimals=1, kind="rain"),
    Element(BATCH, "DATA", "流速批量数据", "batch of velocities", "", kind="raw"),
    Element(0x01, "AC", "断面面积", "section area", "m2", 8, 2),
    Element(0x02, "AI", "瞬时气温", "air temperature", "Cel", 3, 1),
    Element(0x03, "C", "瞬时水温", "water temperature", "Cel", 3, 1),
    Element(0x05, "DT", "时段长", "duration", "h", 4, 2, "clock"),
    Element(0x06, "ED", "日蒸发量", "evaporation of the day", "mm", 5, 1),
    Element(0x07, "EJ", "当前蒸发", "evaporation since the day began", "mm", 5, 1),
    Element(0x08, "FL", "气压", "air pressure", "hPa", 5),
    Element(0x09, "GH", "闸门开启高度", "gate opening", "m", 5, 2),
    Element(0x0A, "GN", "输水设备、闸门编号", "gate number", "", 3),
    Element(0x0B, "GS", "输水设备类别", "kind of outlet", "", 1),
    Element(0x0C, "GT", "闸门开启孔数", "gates open", "", 3),
    Element(0x0D, "GTP", "地温", "ground temperature", "Cel", 3, 1),
    Element(0x0E, "H", "地下水瞬时埋深", "depth to groundwater", "m", 6, 2),
    Element(0x0F, "HW", "波浪高度", "wave height", "m", 5, 2),
    Element(0x18, "MST", "湿度", "air humidity", "%", 4, 1),
    Element(0x19, "NS", "开机台数", "pumps running", "", 2),
    Element(0x1A, "P1", "1小时时段降水量", "rain in 1 hour", "mm", 5, 1),
    Element(0x1B, "P2", "2小时时段降水量", "rain in 2 hours", "mm", 5, 1),
    Element(0x1C, "P3", "3小时时段降水量", "rain in 3 hours", "mm", 5, 1),
    Element(0x1D, "P6", "6小时时段降水量", "rain in 6 hours", "mm", 5, 1),
    Element(0x1E, "P12", "12小时时段降水量", "rain in 12 hours", "mm", 5, 1),
    Element(0x1F, "PD", "日降水量", "rain of the day before", "mm", 5, 1),
    Element(0x20, "PJ", "当前降水量", "rain since the day began", "mm", 5, 1),
    Element(0x21, "PN01", "1分钟时段降水量", "rain in 1 minute", "mm", 5, 1),
    Element(0x22, "PN05", "5分钟时段降水量", "rain in 5 minutes", "mm", 5, 1),
    Element(0x23, "PN10", "10分钟时段降水量", "rain in 10 minutes", "mm", 5, 1),
    Element(0x24, "PN30", "30分钟时段降水量", "rain in 30 minutes", "mm", 5, 1),
    Element(0x25, "PR", "暴雨量", "rain of a storm", "mm", 5, 1),
    Element(0x26, "PT", "降水量累计值", "rain total", "mm", 6, 1),
    Element(0x27, "Q", "瞬时流量、抽水流量", "flow", "m3/s", 9, 3),
    Element(0x30, "QA", "总出库流量、过闸总流量", "total outflow", "m3/s", 9, 3),
    Element(0x31, "QZ", "输水设备流量、过闸流量", "flow through a gate", "m3/s", 9, 3),
    Element(0x32, "SW", "输沙量", "sediment discharge", "", 11, 3),
    Element(0x33, "UC", "风向", "wind direction (1 to 16)", "", 2),
    Element(0x34, "UE", "风力(级)", "wind force", "1", 2),
    Element(0x35, "US", "风速", "wind speed", "m/s", 4, 1),
    Element(0x36, "VA", "断面平均流速", "mean velocity of the section", "m/s", 5, 3),
    Element(0x37, "VJ", "当前瞬时流速", "velocity", "m/s", 5, 3),
    Element(0x38, "VT", "电源电压", "supply voltage", "V", 4, 2),
    Element(0x39, "Z", "瞬时河道水位、潮位", "river level", "m", 7, 3),
    Element(0x3A, "ZB", "库(闸、站)下水位", "level below the dam", "m", 7, 3),
    Element(0x3B, "ZU", "库(闸、站)上水位", "level above the dam", "m", 7, 3),
    Element(0x44, "SQ", "含沙量", "sediment", "", 9, 3),
    Element(WORD, "ZT", "遥测站状态及报警信息", "state and alarms", "", kind="word"),
    Element(0x46, "pH", "pH值", "pH", "[pH]", 4, 2),
    Element(0x47, "DO", "溶解氧", "dissolved oxygen", "mg/L", 4, 1),
    Element(0x48, "COND", "电导率", "conductivity", "uS/cm", 5),
    Element(0x49, "TURB", "浊度", "turbidity", "{NTU}", 3),
    Element(0x4A, "CODMN", "高锰酸盐指数", "permanganate index", "mg/L", 4, 1),
    Element(0x4B, "REDOX", "氧化还原电位", "redox potential", "mV", 5, 1),
    Element(0x4C, "NH4N", "氨氮", "ammonia nitrogen", "mg/L", 6, 2),
    Element(0x4D, "TP", "总磷", "total phosphorus", "mg/L", 5, 3),
    Element(0x4E, "TN", "总氮", "total nitrogen", "mg/L", 5, 2),
    Element(0x4F, "TOC", "总有机碳", "total organic carbon", "mg/L", 4, 2),
    Element(0x50, "CU", "铜", "copper", "mg/L", 7, 4),
    Element(0x51, "ZN", "锌", "zinc", "mg/L", 6, 4),
    Element(0x52, "SE", "硒", "selenium", "mg/L", 7, 5),
    Element(0x53, "AS", "砷", "arsenic", "mg/L", 7, 5),
    Element(0x54, "THG", "总汞", "mercury", "mg/L", 7, 5),
    Element(0x55, "CD", "镉", "cadmium", "mg/L", 7, 5),
    Element(0x56, "PB", "铅", "lead", "mg/L", 7, 5),
    Element(0x57, "CHLA", "叶绿素a", "chlorophyll a", "mg/L", 4, 2),
)

_DEPTHS = (10, 20, 30, 40, 50, 60, 80, 100)
_EIGHT = range(1, 9)
_PHASES = "ABC"

_ROWS: Final = (
    *_SINGLE,
    *(Element(0x0F + n, f"M{cm}", f"{cm}厘米处土壤含水量", f"soil moisture at {cm} cm", "%", 4, 1)
      for n, cm in enumerate(_DEPTHS, 1)),
    *(Element(0x27 + n, f"Q{n}", f"取(排)水口流量{n}", f"flow at intake {n}", "m3/s", 9, 3) for n in _EIGHT),
    *(Element(0x3B + n, f"Z{n}", f"取(排)水口水位{n}", f"level at intake {n}", "m", 7, 3) for n in _EIGHT),
    *(Element(0x57 + n, f"WP{n}", f"水压{n}", f"water pressure {n}", "kPa", 5, 2) for n in _EIGHT),
    *(Element(0x5F + n, f"SYL{n}", f"水表{n}剩余水量", f"water left on meter {n}", "m3", 11, 3) for n in _EIGHT),
    *(Element(0x67 + n, f"SBL{n}", f"水表{n}每小时水量", f"hourly flow of meter {n}", "m3/h", 10, 2) for n in _EIGHT),
    *(Element(0x70 + n, f"VT{p}", f"交流{p}相电压", f"voltage of phase {p}", "V", 4, 1) for n, p in enumerate(_PHASES)),
    *(Element(0x73 + n, f"VI{p}", f"交流{p}相电流", f"current of phase {p}", "A", 4, 1) for n, p in enumerate(_PHASES)),
    *(Element(0xF4 + n, f"DRZ{n}", f"1小时内5分钟间隔相对水位{n}", f"relative level {n}, every 5 minutes", "m",
              decimals=2, kind="level") for n in _EIGHT),
)  # fmt: skip

ELEMENTS: dict[int, Element] = {row.id: row for row in _ROWS}
BY_NAME: dict[str, Element] = {row.name: row for row in _ROWS}
"""By ASCII name; a few stations write small letters, so look-ups are made in capitals too."""

for _row in _ROWS:
    BY_NAME.setdefault(_row.name.upper(), _row)

STATE_BITS: dict[int, tuple[str, str]] = {
    0: ("交流电停电", "mains lost"),
    1: ("蓄电池电压低", "battery low"),
    2: ("水位超限", "level alarm"),
    3: ("流量超限", "flow alarm"),
    4: ("水质超限", "water quality alarm"),
    5: ("流量仪表故障", "flow meter fault"),
    6: ("水位仪表故障", "level gauge fault"),
    7: ("终端箱门关闭", "box door closed"),
    8: ("存储器异常", "memory fault"),
    9: ("IC卡有效", "IC card valid"),
    10: ("水泵停机", "pump stopped"),
    11: ("剩余水量超限", "volume alarm"),
}
"""What a bit of element 45 says when it is 1 (table 58). Doors and pumps are the other way round than the rest."""

ALARM_BITS = 0b1001_0111_1111
"""Bits whose change is news at once: mains, battery, alarms and faults; not the door, the card and the pump."""

CLASSES: dict[str, tuple[str, str]] = {
    "P": ("降水", "rain"),
    "H": ("河道", "river"),
    "K": ("水库(湖泊)", "reservoir or lake"),
    "Z": ("闸坝", "sluice"),
    "D": ("泵站", "pumping station"),
    "T": ("潮汐", "tide"),
    "M": ("墒情", "soil moisture"),
    "G": ("地下水", "groundwater"),
    "Q": ("水质", "water quality"),
    "I": ("取水口", "intake"),
    "O": ("排水口", "outfall"),
}
"""Classes of stations (table A.1): in HEX the letter's code."""


def id_of(text: str) -> int:
    """The identifier that two hex digits, or FF and two, name: "39", "FF11". ValueError for what is none."""
    try:
        number = int(text, 16)
    except ValueError:
        number = 0
    least, most = (1, EXTENSION - 1) if len(text) == 2 else (EXTENSION << 8, 0xFFFF)
    if len(text) in (2, 4) and least <= number <= most:
        return number
    raise ValueError(f"{text!r} is no identifier: two hex digits, or FF and two more")


def text_of_id(element: int) -> str:
    """An identifier as people write it: "39", "FF11"."""
    return f"{element:02X}"
