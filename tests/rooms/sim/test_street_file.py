"""A wrong street is told in one go; the built-in one is what the brief asks for."""

from pathlib import Path

import pytest

from device_profiles.problems import ConfigError
from firmware_sim.callers.making import PROTOCOLS
from firmware_sim.faults import FaultPlan
from firmware_sim.street import SerialPlan, TcpPlan
from firmware_sim.street_callers import TRANSPORTS
from firmware_sim.street_file import load_street
from gateway.listeners import protocols as gateway_protocols
from tests.rooms.sim.bench import write_street

BAD = """
[street]
name = "x"
sed = 3

[[poles]]
name = "a b"

[[poles.links]]
name = "l1"
kind = "rtu"
baud = 9601
turnaround_ms = 1

[[poles.links.units]]
unit = 1
device = "d1"
profile = "renke-luver"

[[poles.links.units]]
unit = 1
device = "d1"
profile = "renke-louver"
period = 1
faults = { silent = { probability = 0.7 }, late = { probability = 0.7, dely_ms = 3 }, exception = { code = 99 }, x = 1 }

[[poles.links]]
name = "l1"
kind = "tcp"

[[poles.links.units]]
unit = 300
device = "d3"
profile = "renke-louver"
faults = { bad_checksum = { probability = 0.5 } }

[[poles]]
name = "a b"

[other]
"""

WHAT_IS_WRONG = [
    (4, "did you mean 'seed'?"),
    (7, "must be 1 to 64"),
    (12, "9601 is not a usual speed"),
    (13, "3.5 characters of silence"),
    (18, "did you mean 'renke-louver'?"),
    (21, "'1' is taken by"),
    (22, "'d1' is taken by"),
    (24, "faster than the model allows"),
    (25, "sum up to 1.4"),
    (25, "99 is no exception"),
    (25, "exception.probability: is missing"),
    (25, "did you mean 'delay_ms'?"),
    (25, "faults.x: unknown key"),
    (28, "'l1' is taken by"),
    (32, "must be ≥ 1 and ≤ 247, not 300"),
    (35, "Modbus TCP has no checksum"),
    (37, "the pole has no links"),
    (38, "'a b' is taken by"),
    (40, "other: unknown table"),
]


def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(BAD, encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        load_street(str(path))
    lines = [(problem.line, str(problem)) for problem in told.value.problems]
    for line, words in WHAT_IS_WRONG:
        assert any(words in text for at, text in lines if at == line), (line, words, lines)
    assert len(lines) == len(WHAT_IS_WRONG) + 1  # the second pole's name is wrong too


BAD_CALLERS = """
[street]
name = "x"

[[poles]]
name = "p1"

[[poles.links]]
name = "l1"
kind = "tcp"

[[poles.links.units]]
unit = "000000000001"
device = "meter"
profile = "generic-dlt645-single"

[[poles.links.units]]
unit = 2
device = "station"
profile = "hj212-surface-water"

[[poles.links]]
name = "l2"
kind = "serial"

[[poles.links.units]]
unit = 7
device = "meter-2"
profile = "generic-dlt645-single"
baud = 9601

[[poles.links.units]]
unit = "12X"
device = "meter-3"
profile = "generic-dlt645-single"

[[poles.listeners]]
name = "hj"
protocol = "hj213"

[[poles.listeners]]
name = "hj"
protocol = "hj212"
transport = "tpc"
unknown = "ignore"
port = 70000
callers = []

[[poles.listeners]]
name = "hj-2"
protocol = "hj212"

[[poles.listeners.callers]]
id = "MN1"
device = "c1"
profile = "renke-louver"

[[poles.listeners.callers]]
id = "MN1"
device = "c1"
profile = "hj212-surface-watr"
perod = 3

[[poles.listeners.callers]]
id = "MN2"
device = "c3"
profile = "hj212-wastewater"
period = 0
options = { editon = "2017" }
faults = { rebind = { probability = 0.1 }, drop = { probability = 0.7 }, noise = { probability = 0.7 }, late = 1 }

[[poles.listeners.callers]]
id = "MN3"
device = "c4"
profile = "hj212-wastewater"
timeout_ms = 0
options = { encrypt = true, list = [1] }
secret = "short"
faults = { clock = { seconds = 3 } }
"""

WRONG_WITH_CALLERS = [
    (15, "speaks dlt645, not Modbus TCP"),
    (20, "it calls (hj212)"),
    (27, "must be a text, not 7"),
    (30, "9601 is not a usual speed"),
    (33, "12X"),
    (39, "unknown protocol 'hj213'"),
    (37, "nobody calls this listener"),
    (41, "nobody calls this listener"),
    (42, "'hj' is taken by"),
    (44, "unknown transport 'tpc'"),
    (45, "unknown unknown 'ignore'"),
    (46, "must be ≥ 0 and ≤ 65535"),
    (56, "renke-louver speaks modbus, its listener hj212"),
    (59, "'MN1' calls here already"),
    (60, "'c1' is taken by"),
    (61, "did you mean 'hj212-surface-water'?"),
    (62, "did you mean 'period'?"),
    (68, "must be ≥ 1 and ≤ 8.64e+06"),
    (64, "unknown option 'editon'"),
    (70, "a TCP connection does not survive a new port"),
    (70, "sum up to 1.5"),
    (70, "late: unknown key"),
    (76, "must be ≥ 1"),
    (77, "must be a text, a number, true or false"),
    (72, "hj212-wastewater cannot call: an SM4 key has 16 characters"),
    (79, "probability: is missing"),
]


def test_every_mistake_with_callers_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(BAD_CALLERS, encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        load_street(str(path))
    lines = [(problem.line, str(problem)) for problem in told.value.problems]
    for line, words in WRONG_WITH_CALLERS:
        assert any(words in text for at, text in lines if at == line), (line, words, lines)
    assert len(lines) == len(WRONG_WITH_CALLERS), "\n".join(text for _, text in lines)


def test_a_street_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'demo'"):
        load_street("dmo")
    with pytest.raises(ConfigError, match="no such file"):
        load_street(str(tmp_path / "none.toml"))


def test_the_demo_street_is_three_poles_with_five_models_a_line() -> None:
    street = load_street("demo")
    assert [pole.name for pole in street.poles] == ["kz-001", "kz-002", "kz-003"]
    for pole in street.poles:
        line, other = pole.links
        assert isinstance(line, SerialPlan)
        assert isinstance(other, TcpPlan)
        assert line.baud == 9600
        models = {unit.profile.model for unit in line.units}
        assert len(models) >= 5
        assert len(other.units) == 1
        assert other.units[0].profile.model not in models
    plans = [unit.faults for _, _, unit in street.places() if unit.faults != FaultPlan()]
    assert sum(plan.dead for plan in plans) == 1
    assert sum(plan.late > 0 for plan in plans) == 1
    assert len(plans) == 2


def test_a_street_brings_profiles_of_its_own(tmp_path: Path) -> None:
    street = load_street(str(write_street(tmp_path, "rtu", "{ late = { probability = 0.5, delay_ms = 20 } }")))
    assert [unit.profile.model for _, _, unit in street.places()] == ["test-bench", "test-bench"]
    assert street.poles[0].links[0].units[0].faults == FaultPlan(late=0.5, delay_ms=20)


def test_the_full_street_holds_every_protocol() -> None:
    street = load_street("full")
    asked = {unit.profile.protocol for _, _, unit in street.places()}
    calling = {caller.profile.protocol for _, _, caller in street.callers()}
    assert asked >= {"modbus", "dlt645", "cjt188"}
    assert calling == set(PROTOCOLS)
    links = [link for pole in street.poles for link in pole.links]
    (mixed,) = (link for link in links if len({unit.profile.protocol for unit in link.units}) > 1)
    assert isinstance(mixed, SerialPlan)
    assert len({unit.line or mixed.line for unit in mixed.units}) > 1
    codes = [unit.code for _, _, unit in street.places()] + [caller.code for _, _, caller in street.callers()]
    assert None not in codes
    assert len(set(codes)) == len(codes)


def test_transports_are_those_of_the_gateway() -> None:
    assert {name: gateway_protocols.module_of(name).TRANSPORTS for name in TRANSPORTS} == TRANSPORTS
