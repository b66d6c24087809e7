"""The LwM2M objects that profiles use, as data: which resource is of which type (OMA LwM2M registry, object XML files).

TLV carries no types, so this table decides; a vendor's own object says its types in the profile instead.
"""

import msgspec

KINDS = ("float", "integer", "unsigned", "boolean", "string", "time", "opaque", "objlnk", "execute")
"""Resource types (LwM2M Core 1.1, appendix C); ``execute``: no value, it can only be started."""


class Resource(msgspec.Struct, frozen=True):
    """One resource. ``access``: of R, W and E; ``multiple``: it has instances of its own; ``unit``: as registered."""

    name: str
    kind: str
    access: str = "R"
    multiple: bool = False
    unit: str = ""


Object = dict[int, Resource]


def _r(name: str, kind: str, access: str = "R", multiple: bool = False, unit: str = "") -> Resource:
    return Resource(name, kind, access, multiple, unit)


_SPAN: Object = {
    5518: _r("Timestamp", "time"),
    5601: _r("Min Measured Value", "float"),
    5602: _r("Max Measured Value", "float"),
    5603: _r("Min Range Value", "float"),
    5604: _r("Max Range Value", "float"),
    5605: _r("Reset Min and Max Measured Values", "execute", "E"),
    5701: _r("Sensor Units", "string"),
    5750: _r("Application Type", "string", "RW"),
    5821: _r("Current Calibration", "string", "RW"),
    6042: _r("Measurement Quality Indicator", "integer"),
    6049: _r("Measurement Quality Level", "integer"),
    6050: _r("Fractional Timestamp", "float"),
}
_SENSOR: Object = {5700: _r("Sensor Value", "float"), **_SPAN}
_AXES: Object = {5702: _r("X Value", "float"), 5703: _r("Y Value", "float"), 5704: _r("Z Value", "float"), **_SPAN}
_CONTROL: Object = {
    5850: _r("On/Off", "boolean", "RW"),
    5851: _r("Dimmer", "integer", "RW", unit="%"),
    5852: _r("On time", "integer", "RW", unit="s"),
    5805: _r("Cumulative active power", "float", unit="Wh"),
    5820: _r("Power factor", "float"),
    5701: _r("Sensor Units", "string"),
    5706: _r("Colour", "string", "RW"),
    5750: _r("Application Type", "string", "RW"),
}

OBJECTS: dict[int, Object] = {
    1: {
        0: _r("Short Server ID", "integer"),
        1: _r("Lifetime", "integer", "RW", unit="s"),
        2: _r("Default Minimum Period", "integer", "RW", unit="s"),
        3: _r("Default Maximum Period", "integer", "RW", unit="s"),
        6: _r("Notification Storing When Disabled or Offline", "boolean", "RW"),
        7: _r("Binding", "string", "RW"),
        8: _r("Registration Update Trigger", "execute", "E"),
    },
    3: {
        0: _r("Manufacturer", "string"),
        1: _r("Model Number", "string"),
        2: _r("Serial Number", "string"),
        3: _r("Firmware Version", "string"),
        4: _r("Reboot", "execute", "E"),
        5: _r("Factory Reset", "execute", "E"),
        6: _r("Available Power Sources", "integer", multiple=True),
        7: _r("Power Source Voltage", "integer", multiple=True, unit="mV"),
        8: _r("Power Source Current", "integer", multiple=True, unit="mA"),
        9: _r("Battery Level", "integer", unit="%"),
        10: _r("Memory Free", "integer", unit="KB"),
        11: _r("Error Code", "integer", multiple=True),
        12: _r("Reset Error Code", "execute", "E"),
        13: _r("Current Time", "time", "RW"),
        14: _r("UTC Offset", "string", "RW"),
        15: _r("Timezone", "string", "RW"),
        16: _r("Supported Binding and Modes", "string"),
        17: _r("Device Type", "string"),
        18: _r("Hardware Version", "string"),
        19: _r("Software Version", "string"),
        20: _r("Battery Status", "integer"),
        21: _r("Memory Total", "integer", unit="KB"),
    },
    4: {
        0: _r("Network Bearer", "integer"),
        1: _r("Available Network Bearer", "integer", multiple=True),
        2: _r("Radio Signal Strength", "integer", unit="dBm"),
        3: _r("Link Quality", "integer"),
        4: _r("IP Addresses", "string", multiple=True),
        5: _r("Router IP Addresses", "string", multiple=True),
        6: _r("Link Utilization", "integer", unit="%"),
        7: _r("APN", "string", multiple=True),
        8: _r("Cell ID", "integer"),
        9: _r("SMNC", "integer"),
        10: _r("SMCC", "integer"),
        11: _r("SignalSNR", "integer", unit="dB"),
        12: _r("LAC", "integer"),
        13: _r("Coverage Enhancement Level", "integer"),
    },
    5: {
        0: _r("Package", "opaque", "W"),
        1: _r("Package URI", "string", "RW"),
        2: _r("Update", "execute", "E"),
        3: _r("State", "integer"),
        5: _r("Update Result", "integer"),
        6: _r("PkgName", "string"),
        7: _r("PkgVersion", "string"),
    },
    6: {
        0: _r("Latitude", "float", unit="deg"),
        1: _r("Longitude", "float", unit="deg"),
        2: _r("Altitude", "float", unit="m"),
        3: _r("Radius", "float", unit="m"),
        4: _r("Velocity", "opaque"),
        5: _r("Timestamp", "time"),
        6: _r("Speed", "float", unit="m/s"),
    },
    19: {
        0: _r("Data", "opaque", "RW"),
        1: _r("Data Priority", "integer", "RW"),
        2: _r("Data Creation Time", "time", "RW"),
        3: _r("Data Description", "string", "RW"),
        4: _r("Data Format", "string", "RW"),
        5: _r("App ID", "integer", "RW"),
    },
    3200: {
        5500: _r("Digital Input State", "boolean"),
        5501: _r("Digital Input Counter", "integer"),
        5502: _r("Digital Input Polarity", "boolean", "RW"),
        5503: _r("Digital Input Debounce", "integer", "RW", unit="ms"),
        5504: _r("Digital Input Edge Selection", "integer", "RW"),
        5505: _r("Digital Input Counter Reset", "execute", "E"),
        5750: _r("Application Type", "string", "RW"),
        5751: _r("Sensor Type", "string"),
    },
    3201: {
        5550: _r("Digital Output State", "boolean", "RW"),
        5551: _r("Digital Output Polarity", "boolean", "RW"),
        5750: _r("Application Type", "string", "RW"),
    },
    3202: {5600: _r("Analog Input Current Value", "float"), **_SPAN, 5751: _r("Sensor Type", "string")},
    3302: {
        5500: _r("Digital Input State", "boolean"),
        5501: _r("Digital Input Counter", "integer"),
        5505: _r("Digital Input Counter Reset", "execute", "E"),
        5751: _r("Sensor Type", "string"),
        5903: _r("Busy to Clear delay", "integer", "RW", unit="ms"),
        5904: _r("Clear to Busy delay", "integer", "RW", unit="ms"),
    },
    3305: {
        5800: _r("Instantaneous active power", "float", unit="W"),
        5801: _r("Min Measured active power", "float", unit="W"),
        5802: _r("Max Measured active power", "float", unit="W"),
        5805: _r("Cumulative active power", "float", unit="Wh"),
        5810: _r("Instantaneous reactive power", "float", unit="var"),
        5820: _r("Power factor", "float"),
        5822: _r("Reset Cumulative energy", "execute", "E"),
        5605: _r("Reset Min and Max Measured Values", "execute", "E"),
    },
    3306: {
        5850: _r("On/Off", "boolean", "RW"),
        5851: _r("Dimmer", "integer", "RW", unit="%"),
        5852: _r("On time", "integer", "RW", unit="s"),
        5853: _r("Multi-state Output", "string", "RW"),
        5750: _r("Application Type", "string", "RW"),
    },
    3311: _CONTROL,
    3312: _CONTROL,
    3313: _AXES,
    3314: {**_AXES, 5705: _r("Compass Direction", "float", unit="deg")},
    3336: {
        5514: _r("Latitude", "string"),
        5515: _r("Longitude", "string"),
        5516: _r("Uncertainty", "string"),
        5705: _r("Compass Direction", "float", unit="deg"),
        5517: _r("Velocity", "opaque"),
        5518: _r("Timestamp", "time"),
        5750: _r("Application Type", "string", "RW"),
    },
    3342: {
        5500: _r("Digital Input State", "boolean"),
        5501: _r("Digital Input Counter", "integer"),
        5852: _r("On time", "integer", "RW", unit="s"),
        5854: _r("Off Time", "integer", unit="s"),
        5750: _r("Application Type", "string", "RW"),
    },
    3424: {
        1: _r("Cumulated water volume", "float", unit="m3"),
        2: _r("Cumulated water meter value reset", "execute", "E"),
        3: _r("Type of meter", "string"),
        4: _r("Cumulated pulse value", "integer"),
        5: _r("Cumulated pulse value reset", "execute", "E"),
        6: _r("Pulse ratio", "integer", "RW"),
        7: _r("Minimum flow rate", "float", unit="m3/s"),
        8: _r("Maximum flow rate", "float", unit="m3/s"),
        9: _r("Leak suspected", "boolean"),
        10: _r("Leak detected", "boolean"),
        11: _r("Back flow detected", "boolean"),
        12: _r("Blocked meter", "boolean"),
        13: _r("Fraud detected", "boolean"),
    },
    3435: {
        1: _r("Container height", "integer", "RW", unit="cm"),
        2: _r("Actual fill percentage", "float", unit="%"),
        3: _r("Actual fill level", "integer", unit="cm"),
        4: _r("High threshold percentage", "float", "RW", unit="%"),
        5: _r("Container full", "boolean"),
        6: _r("Low threshold percentage", "float", "RW", unit="%"),
        7: _r("Container empty", "boolean"),
        8: _r("Average fill speed", "float", unit="%/d"),
        9: _r("Reset average fill speed", "execute", "E"),
        10: _r("Forecast full date", "time"),
        11: _r("Forecast empty date", "time"),
        12: _r("Container out of location", "boolean"),
        13: _r("Container out of position", "boolean"),
        21: _r("Cover open", "boolean"),
        22: _r("Temperature alarm", "boolean"),
        23: _r("Water infiltration", "boolean"),
    },
    **dict.fromkeys((3300, 3301, 3303, 3304, *range(3315, 3331), 3346), _SENSOR),
}
"""Object number → its resources. A sensor of the IPSO kind has 5700; presence (3302) and power measurement (3305) have
none."""


def resource_of(path: tuple[int, ...]) -> Resource | None:
    """The registered resource at (object, instance, resource …); None when the table has none."""
    return OBJECTS.get(path[0], {}).get(path[2]) if len(path) >= 3 else None
