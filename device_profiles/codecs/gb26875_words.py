"""What the numbers of GB/T 26875.3-2011 mean: types of systems, parts and analogue values, bits of states, operations.

Data only. Numbers that the standard reserves or leaves to makers have no name here; they are carried all the same.
"""

from fractions import Fraction

import msgspec


class Word(msgspec.Struct, frozen=True):
    """A name for programs (``key``, empty where none is needed) and for people."""

    zh: str
    en: str
    key: str = ""


class Measure(msgspec.Struct, frozen=True):
    """A type of analogue value (8.2.1.3, table 6). ``unit``: UCUM; value = raw × ``step``."""

    zh: str
    en: str
    key: str
    unit: str
    step: Fraction


SYSTEMS: dict[int, Word] = {
    0: Word("通用", "general"),
    1: Word("火灾报警系统", "fire alarm system"),
    10: Word("消防联动控制器", "fire linkage controller"),
    11: Word("消火栓系统", "hydrant system"),
    12: Word("自动喷水灭火系统", "sprinkler system"),
    13: Word("气体灭火系统", "gas extinguishing system"),
    14: Word("水喷雾灭火系统(泵启动方式)", "water spray system, started by pump"),
    15: Word("水喷雾灭火系统(压力容器启动方式)", "water spray system, started by pressure vessel"),
    16: Word("泡沫灭火系统", "foam system"),
    17: Word("干粉灭火系统", "powder system"),
    18: Word("防烟排烟系统", "smoke control and exhaust system"),
    19: Word("防火门及卷帘系统", "fire doors and shutters"),
    20: Word("消防电梯", "firefighters' lift"),
    21: Word("消防应急广播", "emergency broadcast"),
    22: Word("消防应急照明和疏散指示系统", "emergency lighting and exit signs"),
    23: Word("消防电源", "fire power supply"),
    24: Word("消防电话", "fire telephone"),
}
"""System types (8.2.1.1, table 4)."""

PARTS: dict[int, Word] = {
    0: Word("通用", "general"),
    1: Word("火灾报警控制器", "fire alarm controller"),
    10: Word("可燃气体探测器", "combustible gas detector"),
    11: Word("点型可燃气体探测器", "point combustible gas detector"),
    12: Word("独立式可燃气体探测器", "stand-alone combustible gas detector"),
    13: Word("线型可燃气体探测器", "line combustible gas detector"),
    16: Word("电气火灾监控报警器", "electrical fire monitor"),
    17: Word("剩余电流式电气火灾监控探测器", "residual current detector"),
    18: Word("测温式电气火灾监控探测器", "cable temperature detector"),
    21: Word("探测回路", "detection loop"),
    22: Word("火灾显示盘", "repeater panel"),
    23: Word("手动火灾报警按钮", "manual call point"),
    24: Word("消火栓按钮", "hydrant button"),
    25: Word("火灾探测器", "fire detector"),
    30: Word("感温火灾探测器", "heat detector"),
    31: Word("点型感温火灾探测器", "point heat detector"),
    32: Word("点型感温火灾探测器(S型)", "point heat detector, type S"),
    33: Word("点型感温火灾探测器(R型)", "point heat detector, type R"),
    34: Word("线型感温火灾探测器", "line heat detector"),
    35: Word("线型感温火灾探测器(S型)", "line heat detector, type S"),
    36: Word("线型感温火灾探测器(R型)", "line heat detector, type R"),
    37: Word("光纤感温火灾探测器", "optical fibre heat detector"),
    40: Word("感烟火灾探测器", "smoke detector"),
    41: Word("点型离子感烟火灾探测器", "ionisation smoke detector"),
    42: Word("点型光电感烟火灾探测器", "photoelectric smoke detector"),
    43: Word("线型光束感烟火灾探测器", "beam smoke detector"),
    44: Word("吸气式感烟火灾探测器", "aspirating smoke detector"),
    50: Word("复合式火灾探测器", "combined detector"),
    51: Word("复合式感烟感温火灾探测器", "smoke and heat detector"),
    52: Word("复合式感光感温火灾探测器", "light and heat detector"),
    53: Word("复合式感光感烟火灾探测器", "light and smoke detector"),
    61: Word("紫外火焰探测器", "ultraviolet flame detector"),
    62: Word("红外火焰探测器", "infrared flame detector"),
    69: Word("感光火灾探测器", "optical flame detector"),
    74: Word("气体探测器", "gas detector"),
    78: Word("图像摄像方式火灾探测器", "video fire detector"),
    79: Word("感声火灾探测器", "acoustic fire detector"),
    81: Word("气体灭火控制器", "gas extinguishing controller"),
    82: Word("消防电气控制装置", "electrical fire control equipment"),
    83: Word("消防控制室图形显示装置", "control room display"),
    84: Word("模块", "module"),
    85: Word("输入模块", "input module"),
    86: Word("输出模块", "output module"),
    87: Word("输入/输出模块", "input and output module"),
    88: Word("中继模块", "relay module"),
    91: Word("消防水泵", "fire pump"),
    92: Word("消防水箱", "fire water tank"),
    95: Word("喷淋泵", "sprinkler pump"),
    96: Word("水流指示器", "water flow indicator"),
    97: Word("信号阀", "signal valve"),
    98: Word("报警阀", "alarm valve"),
    99: Word("压力开关", "pressure switch"),
    101: Word("阀驱动装置", "valve actuator"),
    102: Word("防火门", "fire door"),
    103: Word("防火阀", "fire damper"),
    104: Word("通风空调", "ventilation and air conditioning"),
    105: Word("泡沫液泵", "foam pump"),
    106: Word("管网电磁阀", "pipe solenoid valve"),
    111: Word("防烟排烟风机", "smoke fan"),
    113: Word("排烟防火阀", "smoke exhaust fire damper"),
    114: Word("常闭送风口", "normally closed air inlet"),
    115: Word("排烟口", "smoke outlet"),
    116: Word("电控挡烟垂壁", "smoke curtain"),
    117: Word("防火卷帘控制器", "fire shutter controller"),
    118: Word("防火门监控器", "fire door monitor"),
    121: Word("报警装置", "alarm device"),
}
"""Part types (8.2.1.2, table 5)."""

MEASURES: dict[int, Measure] = {
    1: Measure("事件计数", "event count", "count", "1", Fraction(1)),
    2: Measure("高度", "height", "height", "m", Fraction(1, 100)),
    3: Measure("温度", "temperature", "temperature", "Cel", Fraction(1, 10)),
    4: Measure("压力", "pressure", "pressure_mpa", "MPa", Fraction(1, 10)),
    5: Measure("压力", "pressure", "pressure_kpa", "kPa", Fraction(1, 10)),
    6: Measure("气体浓度", "combustible gas", "gas", "%{LEL}", Fraction(1, 10)),
    7: Measure("时间", "time", "time", "s", Fraction(1)),
    8: Measure("电压", "voltage", "voltage", "V", Fraction(1, 10)),
    9: Measure("电流", "current", "current", "A", Fraction(1, 10)),
    10: Measure("流量", "flow", "flow", "L/s", Fraction(1, 10)),
    11: Measure("风量", "air flow", "air_flow", "m3/min", Fraction(1, 10)),
    12: Measure("风速", "wind speed", "wind_speed", "m/s", Fraction(1)),
}
"""Types of analogue values (8.2.1.3, table 6)."""

_SHARED = (
    Word("正常运行", "normal operation, else test", "normal"),
    Word("火警", "fire", "fire"),
    Word("故障", "fault", "fault"),
    Word("屏蔽", "shielded", "shielded"),
    Word("监管", "supervisory", "supervisory"),
    Word("启动(开启)", "started", "started"),
    Word("反馈", "feedback", "feedback"),
    Word("延时", "delayed", "delayed"),
)

SYSTEM_BITS = (
    *_SHARED,
    Word("主电故障", "main power fault", "main_power_fault"),
    Word("备电故障", "backup power fault", "backup_power_fault"),
    Word("总线故障", "bus fault", "bus_fault"),
    Word("手动状态", "manual mode, else automatic", "manual"),
    Word("配置改变", "configuration changed", "configuration_changed"),
    Word("复位", "reset", "reset"),
)
"""Bits of a system's state, lowest first (8.2.1.1). Bit 0 does not cancel the others: a fire is a fire."""

PART_BITS = (*_SHARED, Word("电源故障", "power fault", "power_fault"))
"""Bits of a part's state (8.2.1.2)."""

TRANSMITTER_BITS = (
    Word("正常监视", "normal monitoring, else test", "normal"),
    Word("火警", "fire", "fire"),
    Word("故障", "fault", "fault"),
    Word("主电故障", "main power fault", "main_power_fault"),
    Word("备电故障", "backup power fault", "backup_power_fault"),
    Word("与监控中心通信信道故障", "fault of the channel to the centre", "channel_fault"),
    Word("监测连接线路故障", "fault of the line to the panel", "line_fault"),
)
"""Bits of a transmitter's state (8.2.1.8)."""

OPERATION_BITS = (
    Word("复位", "reset", "reset"),
    Word("消音", "silenced", "silence"),
    Word("手动报警", "manual alarm", "manual_alarm"),
    Word("警情消除", "alarm cleared", "clear_alarm"),
    Word("自检", "self-test", "self_test"),
    Word("确认", "confirmed", "confirm"),
    Word("测试", "test", "test"),
)
"""Bits of an operation at the panel (8.2.1.4)."""

TRANSMITTER_OPERATION_BITS = (
    *OPERATION_BITS[:5],
    Word("查岗应答", "answer to the post check", "post_answer"),
    OPERATION_BITS[6],
)
"""Bits of an operation at the transmitter (8.2.1.9)."""


def bit_keys(state: int, bits: tuple[Word, ...]) -> list[str]:
    """The keys of the bits that are set, lowest first; ``bit14`` for one without a meaning."""
    return [
        bits[place].key if place < len(bits) else f"bit{place}"
        for place in range(state.bit_length())
        if state >> place & 1
    ]
