"""Units and quantities: exact both ways, and strangers refused."""

from fractions import Fraction

import pytest

from device_profiles.quantities import QUANTITIES, UnitError, exact_conversion, known_units, to_canonical, units_of


@pytest.mark.parametrize(
    ("quantity", "unit", "value", "canonical"),
    [
        ("air_temperature", "[degF]", 14, -10),
        ("air_temperature", "K", 273.15, 0),
        ("air_pressure", "kPa", 98.5, 985),
        ("air_pressure", "mm[Hg]", 760, 1013.25),
        ("water_pressure", "MPa", 0.352, 352),
        ("water_pressure", "[psi]", 14.5038, 100),
        ("conductivity", "mS/cm", 0.375, 375),
        ("wind_speed", "km/h", 36, 10),
        ("water_level", "cm", 237, 2.37),
        ("active_energy", "W.h", 1500, 1.5),
        ("lamp_level", "1", 0.6, 60),
        ("flow_rate", "L/s", 10, 36),
        ("dissolved_oxygen", "ug/L", 8250, 8.25),
    ],
)
def test_conversions(quantity: str, unit: str, value: float, canonical: float) -> None:
    scale, offset = to_canonical(quantity, unit)
    assert value * scale + offset == pytest.approx(canonical, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity_is_whole(quantity: str) -> None:
    row = QUANTITIES[quantity]
    assert row.title["zh"]
    assert row.title["en"]
    assert row.low < row.high or row.text
    assert to_canonical(quantity, row.unit) == (1.0, 0.0)
    for unit in units_of(quantity):
        there, back = exact_conversion(unit, row.unit), exact_conversion(row.unit, unit)
        for value in (Fraction(0), Fraction(-1, 3), Fraction(10**9)):
            assert (value * there[0] + there[1]) * back[0] + back[1] == value
        scale, offset = to_canonical(quantity, unit)
        assert (scale, offset) == (float(there[0]), float(there[1]))


def test_strangers_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnitError, match=r"unknown quantity 'air_temp' \(did you mean 'air_temperature'\?\)"):
        to_canonical("air_temp", "Cel")
    with pytest.raises(UnitError, match=r"unknown unit 'Kpa' \(did you mean 'kPa'\?\)"):
        to_canonical("air_pressure", "Kpa")
    with pytest.raises(UnitError, match="'mm' is a unit of length, 'hPa' of pressure"):
        to_canonical("air_pressure", "mm")
    with pytest.raises(UnitError, match="'mg/m3' is a unit of mass_concentration"):
        to_canonical("co2", "mg/m3")  # would need temperature and pressure


def test_units_are_known_once() -> None:
    assert len(known_units()) == len(set(known_units()))
    assert {row.unit for row in QUANTITIES.values()} <= set(known_units())
