"""Values are decided by seed and time, stay in range, and can be said on the wire: for every point of the library."""

import pytest

from device_profiles.loader import load_library
from device_profiles.profiles import DeviceProfile, Point
from device_profiles.protocols import module_of
from firmware_sim.physics import Signal, chance

LIBRARY = load_library()
NOON = 1_790_000_000_000_000
MOMENTS = [NOON + step * 1_700_000_000 for step in range(60)]
POINTS = [
    pytest.param(profile, point, id=f"{profile.model}-{point.name}")
    for profile in LIBRARY.values()
    for point in profile.points
]


def _signal(profile: DeviceProfile, point: Point, seed: str) -> Signal:
    return Signal(point, profile.simulate.get(point.name), seed, NOON)


@pytest.mark.parametrize(("profile", "point"), POINTS)
def test_a_point_of_the_library_is_always_sayable_in_range_and_repeatable(
    profile: DeviceProfile, point: Point
) -> None:
    one, other = _signal(profile, point, "a"), _signal(profile, point, "a")
    one.check(profile.protocol)
    values = [one.at(moment) for moment in MOMENTS]
    assert values == [other.at(moment) for moment in MOMENTS]
    for value in values:
        if not point.text:  # what a text says is up to who simulates the protocol
            module_of(profile.protocol).check_value(point, value)
        if point.range and not isinstance(value, str):
            assert value is not None
            assert point.range[0] <= value <= point.range[1]


def test_a_walk_does_not_depend_on_how_often_it_is_asked() -> None:
    profile = LIBRARY["renke-louver"]
    point = profile.point("pm2_5")
    often, seldom = _signal(profile, point, "a"), _signal(profile, point, "a")
    every_second = [often.at(NOON + second * 1_000_000) for second in range(600)]
    assert seldom.at(NOON + 599_000_000) == every_second[-1]
    assert len(set(every_second)) > 100


def test_neighbours_of_one_model_are_no_twins() -> None:
    profile = LIBRARY["renke-louver"]
    point = profile.point("air_temperature")
    assert _signal(profile, point, "a").at(NOON) != _signal(profile, point, "b").at(NOON)


def test_chance_is_spread_evenly() -> None:
    draws = [chance(3, step) for step in range(4000)]
    assert all(0 <= draw < 1 for draw in draws)
    for tenth in range(10):
        assert abs(sum(tenth / 10 <= draw < (tenth + 1) / 10 for draw in draws) / 4000 - 0.1) < 0.03
