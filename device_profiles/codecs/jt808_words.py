"""The bits of a position report of JT/T 808 by name: alarms, states, signals (2013 tables 24, 25, 30; 2019 where it
says more). Data only."""

import msgspec

from device_profiles.manifests import Title


class Alarm(msgspec.Struct, frozen=True):
    """One alarm bit. ``once``: the terminal clears it as soon as the platform has answered; others stay until their
    condition ends."""

    zh: str
    en: str
    once: bool = False

    @property
    def title(self) -> Title:
        """The alarm's name by language."""
        return {"zh": self.zh, "en": self.en}


ALARMS: dict[int, Alarm] = {
    0: Alarm("紧急报警", "emergency button", once=True),
    1: Alarm("超速报警", "overspeed"),
    2: Alarm("疲劳驾驶", "driver fatigue"),
    3: Alarm("危险预警", "danger warning", once=True),
    4: Alarm("卫星定位模块故障", "positioning module fault"),
    5: Alarm("卫星定位天线未接或被剪断", "positioning antenna disconnected"),
    6: Alarm("卫星定位天线短路", "positioning antenna short-circuited"),
    7: Alarm("终端主电源欠压", "main power low"),
    8: Alarm("终端主电源掉电", "main power lost"),
    9: Alarm("终端显示器故障", "display fault"),
    10: Alarm("语音合成模块故障", "speech module fault"),
    11: Alarm("摄像头故障", "camera fault"),
    12: Alarm("道路运输证 IC 卡模块故障", "licence card reader fault"),
    13: Alarm("超速预警", "overspeed warning"),
    14: Alarm("疲劳驾驶预警", "driver fatigue warning"),
    15: Alarm("违规行驶报警", "forbidden driving"),  # 2019
    16: Alarm("胎压预警", "tyre pressure warning"),  # 2019
    17: Alarm("右转盲区异常报警", "right-turn blind spot"),  # 2019
    18: Alarm("当天累计驾驶超时", "driving time of the day exceeded"),
    19: Alarm("超时停车", "parked for too long"),
    20: Alarm("进出区域", "area entered or left", once=True),
    21: Alarm("进出路线", "route entered or left", once=True),
    22: Alarm("路段行驶时间不足或过长", "time on a road section", once=True),
    23: Alarm("路线偏离报警", "off the route"),
    24: Alarm("车辆速度传感器故障", "speed sensor fault"),
    25: Alarm("车辆油量异常", "fuel level implausible"),
    26: Alarm("车辆被盗", "vehicle stolen"),
    27: Alarm("车辆非法点火", "illegal ignition", once=True),
    28: Alarm("车辆非法位移", "illegal movement", once=True),
    29: Alarm("碰撞预警", "collision warning"),
    30: Alarm("侧翻预警", "roll-over warning"),
    31: Alarm("非法开门报警", "door opened illegally", once=True),
}
"""2013 table 24; bits 15 to 17 are 2019's."""

ONCE_MASK = sum(1 << bit for bit, alarm in ALARMS.items() if alarm.once)

ACC_ON, FIXED, SOUTH, WEST, OUT_OF_SERVICE, SHIFTED = 0, 1, 2, 3, 4, 5
"""Status bits that change what a report means (2013 table 25). SHIFTED: the coordinates went through the state's
shifting plug-in and are no WGS-84 any more."""

STATES: dict[int, Title] = {
    ACC_ON: {"zh": "ACC 开", "en": "ignition on"},
    FIXED: {"zh": "已定位", "en": "position fixed"},
    SOUTH: {"zh": "南纬", "en": "southern latitude"},
    WEST: {"zh": "西经", "en": "western longitude"},
    OUT_OF_SERVICE: {"zh": "停运", "en": "out of service"},
    SHIFTED: {"zh": "经纬度已加密", "en": "coordinates shifted"},
    10: {"zh": "油路断开", "en": "fuel line cut"},
    11: {"zh": "电路断开", "en": "circuit cut"},
    12: {"zh": "车门加锁", "en": "doors locked"},
    13: {"zh": "前门开", "en": "front door open"},
    14: {"zh": "中门开", "en": "middle door open"},
    15: {"zh": "后门开", "en": "rear door open"},
    16: {"zh": "驾驶席门开", "en": "driver's door open"},
    17: {"zh": "自定义门开", "en": "another door open"},
    18: {"zh": "使用 GPS", "en": "GPS used"},
    19: {"zh": "使用北斗", "en": "BeiDou used"},
    20: {"zh": "使用 GLONASS", "en": "GLONASS used"},
    21: {"zh": "使用 Galileo", "en": "Galileo used"},
    22: {"zh": "行驶中", "en": "moving"},  # 2019
}

EXTRAS: dict[int, tuple[int, Title]] = {
    0x01: (4, {"zh": "里程", "en": "mileage, 0.1 km"}),
    0x02: (2, {"zh": "油量", "en": "fuel, 0.1 L"}),
    0x03: (2, {"zh": "行驶记录仪速度", "en": "speed by the recorder, 0.1 km/h"}),
    0x04: (2, {"zh": "需人工确认报警的事件 ID", "en": "number of an event to be confirmed"}),
    0x05: (30, {"zh": "胎压", "en": "tyre pressures"}),  # 2019
    0x06: (2, {"zh": "车厢温度", "en": "compartment temperature, bit 15 is the sign"}),  # 2019
    0x11: (0, {"zh": "超速报警附加信息", "en": "where it was too fast"}),  # 1 or 5 bytes
    0x12: (6, {"zh": "进出区域/路线附加信息", "en": "which area or route"}),
    0x13: (7, {"zh": "路段行驶时间附加信息", "en": "which road section"}),
    0x25: (4, {"zh": "车辆信号状态", "en": "vehicle signals"}),
    0x2A: (2, {"zh": "IO 状态", "en": "inputs and outputs"}),
    0x2B: (4, {"zh": "模拟量", "en": "analogue inputs: AD1, AD0"}),
    0x30: (1, {"zh": "无线通信网络信号强度", "en": "radio signal strength"}),
    0x31: (1, {"zh": "定位卫星数", "en": "satellites"}),
}
"""Extra items by id (2013 table 27): the length in bytes, 0 where it varies, and what it is. E0 to FF are private."""
