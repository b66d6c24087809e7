"""What can be measured, each with its one canonical unit (UCUM), and exact conversion into it.

A quantity is SensorThings' *ObservedProperty*. Refuses a unit it does not know and a unit of another dimension:
milligrams a litre never become parts per million here, because that needs a temperature and a pressure.
"""

from fractions import Fraction

import msgspec

from device_profiles.problems import nearest


class Quantity(msgspec.Struct, frozen=True):
    """One measurable thing. ``unit``: UCUM, canonical; ``low``/``high``: plausible anywhere on a pole, in that unit.

    ``counter``: only ever grows, apart from a roll-over or a reset. ``text``: its values are words, not numbers.
    """

    name: str
    unit: str
    zh: str
    en: str
    low: float
    high: float
    counter: bool = False
    text: bool = False

    @property
    def title(self) -> dict[str, str]:
        """The quantity's name by language."""
        return {"zh": self.zh, "en": self.en}


class UnitError(ValueError):
    """The unit is unknown, or measures something else. The text says which, with the nearest right name."""


_BIG = float(2**63)

_ROWS = (
    # air
    Quantity("air_temperature", "Cel", "气温", "air temperature", -60, 85),
    Quantity("air_humidity", "%", "相对湿度", "relative humidity", 0, 100),
    Quantity("dew_point", "Cel", "露点", "dew point", -80, 60),
    Quantity("air_pressure", "hPa", "大气压", "air pressure", 300, 1200),
    Quantity("wind_speed", "m/s", "风速", "wind speed", 0, 75),
    Quantity("wind_direction", "deg", "风向", "wind direction", 0, 360),
    Quantity("wind_force", "1", "风力等级", "wind force (Beaufort)", 0, 17),
    Quantity("rainfall", "mm", "累计雨量", "rainfall total", 0, 100_000, counter=True),
    Quantity("period_rainfall", "mm", "时段雨量", "rain in a period", 0, 2000),
    Quantity("rain_rate", "mm/h", "雨强", "rain rate", 0, 500),
    Quantity("illuminance", "lx", "光照度", "illuminance", 0, 250_000),
    Quantity("solar_irradiance", "W/m2", "太阳辐射", "solar irradiance", 0, 2000),
    Quantity("noise", "dB[SPL]", "噪声(A 计权)", "noise, A-weighted", 20, 140),
    Quantity("pm2_5", "ug/m3", "PM2.5", "PM2.5", 0, 1500),
    Quantity("pm10", "ug/m3", "PM10", "PM10", 0, 3000),
    Quantity("tsp", "ug/m3", "总悬浮颗粒物", "total suspended particles", 0, 20_000),
    Quantity("co2", "[ppm]", "二氧化碳", "carbon dioxide", 0, 50_000),
    Quantity("carbon_monoxide", "[ppm]", "一氧化碳", "carbon monoxide", 0, 5000),
    Quantity("combustible_gas", "%{LEL}", "可燃气体浓度", "combustible gas, of the lower explosive limit", 0, 100),
    Quantity("air_flow", "m3/h", "风量", "air flow", 0, 1_000_000),
    # water
    Quantity("water_temperature", "Cel", "水温", "water temperature", -5, 100),
    Quantity("ph", "[pH]", "pH", "pH", 0, 14),
    Quantity("redox_potential", "mV", "氧化还原电位", "redox potential", -2000, 2000),
    Quantity("dissolved_oxygen", "mg/L", "溶解氧", "dissolved oxygen", 0, 50),
    Quantity("oxygen_saturation", "%", "溶解氧饱和度", "oxygen saturation", 0, 500),
    Quantity("turbidity", "{NTU}", "浊度", "turbidity", 0, 10_000),
    Quantity("conductivity", "uS/cm", "电导率", "conductivity", 0, 250_000),
    Quantity("chlorophyll", "ug/L", "叶绿素", "chlorophyll", 0, 1000),
    Quantity("blue_green_algae", "ug/L", "蓝绿藻", "blue-green algae (phycocyanin)", 0, 1000),
    Quantity("cod", "mg/L", "化学需氧量", "chemical oxygen demand (dichromate)", 0, 100_000),
    Quantity("permanganate_index", "mg/L", "高锰酸盐指数", "permanganate index", 0, 1000),
    Quantity("ammonia_nitrogen", "mg/L", "氨氮", "ammonia nitrogen", 0, 10_000),
    Quantity("total_phosphorus", "mg/L", "总磷", "total phosphorus", 0, 1000),
    Quantity("total_nitrogen", "mg/L", "总氮", "total nitrogen", 0, 10_000),
    Quantity("water_level", "m", "水位", "water level", -20, 500),
    Quantity("water_elevation", "m", "水位(高程)", "water level above datum", -200, 6000),
    Quantity("water_velocity", "m/s", "流速", "water velocity", -20, 20),
    Quantity("discharge", "m3/s", "流量(河道)", "discharge of a river or reservoir", -20_000, 200_000),
    Quantity("groundwater_depth", "m", "地下水埋深", "depth to groundwater", 0, 1000),
    Quantity("water_pressure", "kPa", "水压", "water pressure", -100, 100_000),
    Quantity("flow_rate", "m3/h", "流量", "flow rate", -100_000, 100_000),
    Quantity("period_volume", "m3", "时段水量", "volume in a period", 0, 10_000_000),
    Quantity("volume", "m3", "累计水量", "volume total", 0, _BIG, counter=True),
    # soil and plants
    Quantity("soil_moisture", "%", "土壤含水率", "soil moisture by volume", 0, 100),
    Quantity("soil_moisture_by_weight", "%", "土壤重量含水率", "soil moisture by weight", 0, 100),
    Quantity("soil_temperature", "Cel", "土壤温度", "soil temperature", -40, 85),
    Quantity("soil_conductivity", "uS/cm", "土壤电导率", "soil conductivity", 0, 50_000),
    Quantity("soil_ph", "[pH]", "土壤 pH", "soil pH", 0, 14),
    Quantity("soil_nitrogen", "mg/kg", "土壤速效氮", "soil nitrogen", 0, 5000),
    Quantity("soil_phosphorus", "mg/kg", "土壤速效磷", "soil phosphorus", 0, 5000),
    Quantity("soil_potassium", "mg/kg", "土壤速效钾", "soil potassium", 0, 5000),
    # structures
    Quantity("inclination", "deg", "倾角", "inclination", -180, 180),
    Quantity("distance", "m", "距离", "distance", 0, 1000),
    Quantity("device_temperature", "Cel", "设备温度", "temperature inside the device", -60, 150),
    # energy and light
    Quantity("voltage", "V", "电压", "voltage", 0, 1_000_000),
    Quantity("current", "A", "电流", "current", -10_000, 10_000),
    Quantity("active_power", "W", "有功功率", "active power", -10_000_000, 10_000_000),
    Quantity("power_factor", "1", "功率因数", "power factor", -1, 1),
    Quantity("active_energy", "kW.h", "有功电能", "active energy", 0, _BIG, counter=True),
    Quantity("net_active_energy", "kW.h", "组合有功电能", "active energy, imported less exported", -_BIG, _BIG),
    Quantity("reactive_energy", "kvar.h", "无功电能", "reactive energy", -_BIG, _BIG),
    Quantity("reactive_power", "var", "无功功率", "reactive power", -10_000_000, 10_000_000),
    Quantity("apparent_power", "V.A", "视在功率", "apparent power", -10_000_000, 10_000_000),
    Quantity("heat_energy", "kW.h", "累计热量", "heat delivered", 0, _BIG, counter=True),
    Quantity("heat_power", "W", "热功率", "heat power", -10_000_000, 1_000_000_000),
    Quantity("gas_volume", "m3", "累计燃气量", "gas volume total", 0, _BIG, counter=True),
    Quantity("frequency", "Hz", "频率", "frequency", 0, 1000),
    Quantity("lamp_level", "%", "调光亮度", "lamp level", 0, 100),
    Quantity("operating_time", "h", "累计运行时间", "operating time", 0, _BIG, counter=True),
    # vehicles
    Quantity("latitude", "deg", "纬度", "latitude (WGS-84)", -90, 90),
    Quantity("longitude", "deg", "经度", "longitude (WGS-84)", -180, 180),
    Quantity("altitude", "m", "海拔", "altitude", -500, 10_000),
    Quantity("vehicle_speed", "km/h", "车速", "vehicle speed", 0, 400),
    Quantity("heading", "deg", "方向角", "heading, clockwise from north", 0, 360),
    Quantity("mileage", "km", "累计里程", "mileage", 0, 10_000_000, counter=True),
    Quantity("fuel", "L", "油量", "fuel in the tank", 0, 10_000),
    Quantity("satellites", "1", "定位卫星数", "satellites in use", 0, 255),
    Quantity("signal_strength", "1", "信号强度", "radio signal strength, as the modem says it", 0, 255),
    # what battery-fed devices say of themselves, and what they watch
    Quantity("battery_level", "%", "电池电量", "battery level", 0, 100),
    Quantity("received_power", "dBm", "接收功率", "received signal power", -150, 0),
    Quantity("fill_level", "%", "满溢度", "filling level", 0, 100),
    Quantity("event_count", "1", "累计次数", "events so far", 0, _BIG, counter=True),
    Quantity("field_change", "1", "磁场变化", "change of the magnetic field, as sent", -(2**31), 2**31),
    Quantity("smoke", "dB/m", "烟雾浓度", "smoke density (optical)", 0, 20),
    # what programs say of themselves
    Quantity("utilisation", "%", "占用率", "share of the time in use", 0, 100),
    Quantity("duration", "ms", "时长", "duration", 0, 86_400_000),
    # states and words
    Quantity("state", "1", "状态", "state (0 or 1)", 0, 1),
    Quantity("status_bits", "1", "状态字", "status word", 0, 2**32),
    Quantity("code", "1", "代码", "code from a list in the manual", 0, 2**32),
    Quantity("words", "1", "文本", "text", 0, 0, text=True),
)

QUANTITIES: dict[str, Quantity] = {row.name: row for row in _ROWS}


# unit: (dimension, scale, offset): value in the dimension's first unit = value * scale + offset. All exact.
_UNITS: dict[str, tuple[str, Fraction, Fraction]] = {
    code: (dimension, Fraction(scale), Fraction(offset))
    for dimension, rows in {
        "temperature": (("Cel", "1", "0"), ("K", "1", "-273.15"), ("[degF]", "5/9", "-160/9")),
        "ratio": (("1", "1", "0"), ("%", "1/100", "0"), ("[ppth]", "1/1000", "0")),
        "explosive_limit": (("%{LEL}", "1", "0"),),
        "fraction_of_gas": (("[ppm]", "1", "0"), ("[ppb]", "1/1000", "0")),
        "acidity": (("[pH]", "1", "0"),),
        "turbidity": (("{NTU}", "1", "0"),),
        "sound_level": (("dB[SPL]", "1", "0"), ("B[SPL]", "10", "0")),
        "illuminance": (("lx", "1", "0"), ("klx", "1000", "0")),
        "irradiance": (("W/m2", "1", "0"), ("kW/m2", "1000", "0")),
        "length": (
            ("m", "1", "0"),
            ("mm", "1/1000", "0"),
            ("cm", "1/100", "0"),
            ("dm", "1/10", "0"),
            ("km", "1000", "0"),
            ("[in_i]", "0.0254", "0"),
            ("[ft_i]", "0.3048", "0"),
        ),
        "speed": (("m/s", "1", "0"), ("cm/s", "1/100", "0"), ("km/h", "5/18", "0"), ("[kn_i]", "1852/3600", "0")),
        "rain_rate": (("mm/h", "1", "0"), ("mm/min", "60", "0"), ("cm/h", "10", "0")),
        "angle": (("deg", "1", "0"), ("'", "1/60", "0"), ("''", "1/3600", "0")),
        "pressure": (
            ("Pa", "1", "0"),
            ("hPa", "100", "0"),
            ("kPa", "1000", "0"),
            ("MPa", "1000000", "0"),
            ("mbar", "100", "0"),
            ("bar", "100000", "0"),
            ("m[H2O]", "9806.65", "0"),
            ("mm[H2O]", "9.80665", "0"),
            ("mm[Hg]", "133.322387415", "0"),
            ("kgf/cm2", "98066.5", "0"),
            ("[psi]", "6894.757293168361", "0"),
        ),
        "mass_concentration": (
            ("ug/m3", "1", "0"),
            ("mg/m3", "1000", "0"),
            ("ug/L", "1000", "0"),
            ("mg/L", "1000000", "0"),
            ("g/L", "1000000000", "0"),
        ),
        "mass_fraction": (("mg/kg", "1", "0"), ("g/kg", "1000", "0")),
        "conductivity": (("uS/cm", "1", "0"), ("mS/cm", "1000", "0"), ("mS/m", "10", "0"), ("S/m", "10000", "0")),
        "volume": (("m3", "1", "0"), ("L", "1/1000", "0"), ("dm3", "1/1000", "0")),
        "flow": (
            ("m3/h", "1", "0"),
            ("L/h", "1/1000", "0"),
            ("L/min", "0.06", "0"),
            ("L/s", "3.6", "0"),
            ("m3/s", "3600", "0"),
            ("m3/min", "60", "0"),
        ),
        "voltage": (("V", "1", "0"), ("mV", "1/1000", "0"), ("kV", "1000", "0")),
        "current": (("A", "1", "0"), ("mA", "1/1000", "0"), ("uA", "1/1000000", "0")),
        "power": (("W", "1", "0"), ("mW", "1/1000", "0"), ("kW", "1000", "0"), ("MW", "1000000", "0")),
        "energy": (
            ("kW.h", "1", "0"),
            ("W.h", "1/1000", "0"),
            ("MW.h", "1000", "0"),
            ("J", "1/3600000", "0"),
            ("kJ", "1/3600", "0"),
            ("MJ", "10/36", "0"),
            ("GJ", "10000/36", "0"),
        ),
        # UCUM has no var; these are the names of IEC 80000-6
        "reactive_power": (("var", "1", "0"), ("kvar", "1000", "0"), ("Mvar", "1000000", "0")),
        "reactive_energy": (("kvar.h", "1", "0"), ("var.h", "1/1000", "0"), ("Mvar.h", "1000", "0")),
        "apparent_power": (("V.A", "1", "0"), ("kV.A", "1000", "0"), ("MV.A", "1000000", "0")),
        "power_level": (("dBm", "1", "0"),),
        "attenuation": (("dB/m", "1", "0"),),
        "frequency": (("Hz", "1", "0"), ("kHz", "1000", "0"), ("mHz", "1/1000", "0")),
        "time": (
            ("h", "1", "0"),
            ("min", "1/60", "0"),
            ("s", "1/3600", "0"),
            ("ms", "1/3600000", "0"),
            ("d", "24", "0"),
        ),
    }.items()
    for code, scale, offset in rows
}


def known_units() -> list[str]:
    """Every UCUM code that can be written in a profile."""
    return sorted(_UNITS)


def units_of(quantity: str) -> list[str]:
    """UCUM codes that convert to the quantity's canonical unit, canonical first. KeyError for an unknown quantity."""
    canonical = QUANTITIES[quantity].unit
    dimension = _UNITS[canonical][0]
    return [canonical] + [code for code, row in _UNITS.items() if row[0] == dimension and code != canonical]


def exact_conversion(unit: str, target: str) -> tuple[Fraction, Fraction]:
    """(scale, offset), exact: value in target = value in unit * scale + offset. UnitError when they do not convert."""
    for code in (unit, target):
        if code not in _UNITS:
            raise UnitError(f"unknown unit {code!r}" + (f" ({hint})" if (hint := nearest(code, _UNITS)) else ""))
    dimension, scale, offset = _UNITS[unit]
    target_dimension, target_scale, target_offset = _UNITS[target]
    if dimension != target_dimension:
        raise UnitError(f"{unit!r} is a unit of {dimension}, {target!r} of {target_dimension}")
    return scale / target_scale, (offset - target_offset) / target_scale


def to_canonical(quantity: str, unit: str) -> tuple[float, float]:
    """(scale, offset) that bring a value in ``unit`` to the canonical unit: canonical = value * scale + offset.

    Each is the float nearest to the exact rational. UnitError for an unknown quantity or a unit that does not convert.
    """
    found = QUANTITIES.get(quantity)
    if found is None:
        raise UnitError(
            f"unknown quantity {quantity!r}" + (f" ({hint})" if (hint := nearest(quantity, QUANTITIES)) else "")
        )
    scale, offset = exact_conversion(unit, found.unit)
    return float(scale), float(offset)
