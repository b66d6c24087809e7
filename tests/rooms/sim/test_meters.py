"""Meters and sensors on one line, each at its own speed; the master here is our codec, the line is a real terminal."""

import json
import os
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from device_profiles.codecs import cjt188, dlt645
from device_profiles.codecs.modbus_pdu import Read
from device_profiles.codecs.modbus_rtu import RtuExchange
from device_profiles.exchange import Answer, Exchange
from firmware_sim.clock import SystemClock
from firmware_sim.faults import Fault
from firmware_sim.line import Line
from firmware_sim.running import RunningStreet
from firmware_sim.street_file import load_street
from firmware_sim.units import Counts
from tests.rooms.sim.bench import PROFILE, REGISTERS
from tests.rooms.sim.waiting import PATIENCE_S, wait_until

POWER, WATER, OTHER = "000012345678", "78330011223344", "000012345699"
SPEEDS = {"sensor": 19200, POWER: 9600, WATER: 4800}

METER = """
[profile]
model = "test-meter"
version = 1
vendor = "test"
title = { zh = "表", en = "Meter" }
domain = "energy"
component = "0118"
status = "draft"
sources = ["worked out by hand"]

[dlt645]
"""
VALUE = """
[[dlt645.points]]
name = "v{place}"
title = {{ zh = "电", en = "Energy" }}
quantity = "active_energy"
unit = "kW.h"
item = 0x0001FF00
offset = {offset}
size = 4
decimals = 2
range = [0, 999999.99]
"""
LONG = 50
"""Values of the long block: 200 bytes, asked for in two frames."""


def _street(folder: Path, faults: str, more: str) -> Path:
    (folder / "profiles").mkdir(exist_ok=True)
    (folder / "profiles" / "test-bench.toml").write_text(PROFILE, encoding="utf-8")
    rows = "".join(VALUE.format(place=place, offset=4 * place) for place in range(LONG))
    physics = "[simulate]\n" + "".join(
        f'v{place} = {{ kind = "constant", value = {place}.25 }}\n' for place in range(LONG)
    )
    (folder / "profiles" / "test-meter.toml").write_text(METER + rows + physics, encoding="utf-8")
    units = [
        (1, "one", "test-bench", ""),
        (f'"{POWER}"', "power", "generic-dlt645-single", f'baud = {SPEEDS[POWER]}\nparity = "E"\nfaults = {faults}'),
        (f'"{WATER}"', "water", "generic-cjt188-water", f'baud = {SPEEDS[WATER]}\nparity = "E"\nfaults = {faults}'),
    ]
    text = f"""
[street]
name = "bench"
seed = 7
profiles = ["profiles"]

[[poles]]
name = "p1"

[[poles.links]]
name = "l1"
kind = "serial"
baud = {SPEEDS["sensor"]}
"""
    for unit, device, profile, own in units:
        text += f'\n[[poles.links.units]]\nunit = {unit}\ndevice = "{device}"\nprofile = "{profile}"\n{own}\n'
    path = folder / "street.toml"
    path.write_text(text + more, encoding="utf-8")
    return path


@contextmanager
def running(folder: Path, faults: str = "{}", more: str = "") -> Iterator[RunningStreet]:
    """A line with a sensor, an electricity meter and a water meter; `more` units at will."""
    with RunningStreet(load_street(str(_street(folder, faults, more))), folder / "run", SystemClock(), True) as served:
        yield served


@contextmanager
def master(line: Line) -> Iterator[int]:
    """The pole's end of the line."""
    port = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(port)
    try:
        yield port
    finally:
        os.close(port)


def tune(port: int, baud: int) -> None:
    """Set the port's speed, as a bus does between two units."""
    settings = termios.tcgetattr(port)
    settings[4] = settings[5] = getattr(termios, f"B{baud}")
    termios.tcsetattr(port, termios.TCSADRAIN, settings)


def ask(port: int, exchange: Exchange, patience: float = PATIENCE_S) -> Answer | None:
    """One question and its answer, follow-up frames included; None after the patience."""
    os.write(port, exchange.request())
    while select.select([port], [], [], patience)[0]:
        exchange.feed(os.read(port, 512))
        answer = exchange.take()
        if answer is not None:
            return answer
        if further := exchange.next_request():
            os.write(port, further)
    return exchange.take(silent=True)


def power(item: int = 0x0001FF00, address: str = POWER) -> dlt645.ReadExchange:
    """A question to the electricity meter."""
    return dlt645.ReadExchange(address, item)


def water(address: str = WATER) -> cjt188.ReadExchange:
    """A question to the water meter."""
    return cjt188.ReadExchange(0x10, address, 0x901F)


def counts(served: RunningStreet, unit: int | str) -> Counts:
    """What the simulator counted for one unit."""
    return served._units["p1", "l1", unit].counts


def journal(served: RunningStreet) -> list[dict[str, Any]]:
    """The clean answers, one a line."""
    text = (served.directory / "journal.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_three_protocols_at_three_speeds_on_one_line(tmp_path: Path) -> None:
    answers: list[Answer] = []
    with running(tmp_path) as served, master(served.lines[0]) as port:
        for _ in range(2):
            tune(port, SPEEDS["sensor"])
            registers = ask(port, RtuExchange(1, Read(3, 10, 5)))
            assert registers is not None
            assert registers.data == b"".join(register.to_bytes(2, "big") for register in REGISTERS)
            tune(port, SPEEDS[POWER])
            energy = ask(port, power())
            assert energy is not None
            assert (len(energy.data), energy.exception) == (20, 0)
            tune(port, SPEEDS[WATER])
            volume = ask(port, water())
            assert volume is not None
            assert (len(volume.data), volume.data[4], volume.exception) == (19, 0x2C, 0)
            answers = [energy, volume]
        line = served.lines[0].counts
        wait_until(lambda: counts(served, WATER).answered == 2, "the last answer is counted")
    assert (line.questions, line.strangers, line.noise, line.wrong_speed) == (6, 0, 0, 0)
    assert [counts(served, unit).answered_readings for unit in (1, POWER, WATER)] == [6, 10, 12]
    assert [row["data"] for row in journal(served)[-2:]] == [answer.data.hex() for answer in answers]
    assert {row["unit"] for row in journal(served)} == {1, POWER, WATER}


def test_who_is_asked_at_another_speed_hears_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as served, master(served.lines[0]) as port:
        tune(port, SPEEDS[WATER])
        assert ask(port, power(), 0.1) is None
        tune(port, 38400)
        assert ask(port, power(), 0.05) is None
        counted = served.lines[0].counts
        wait_until(lambda: counted.wrong_speed == 1, "nobody has 38400 baud")
        wait_until(lambda: counted.noise == 1, "to the water meter it was noise")
    assert counts(served, POWER).asked == 0


def test_an_answer_that_finds_the_master_at_another_speed_is_noise(tmp_path: Path) -> None:
    faults = "{ late = { probability = 1, delay_ms = 120 } }"
    with running(tmp_path, faults) as served, master(served.lines[0]) as port:
        tune(port, SPEEDS[POWER])
        os.write(port, power().request())
        wait_until(lambda: counts(served, POWER).asked == 1, "the question is heard")
        tune(port, SPEEDS["sensor"])
        wait_until(lambda: served.lines[0].counts.wrong_speed == 1, "the answer has come too late")
        assert not select.select([port], [], [], 0)[0]
    assert counts(served, POWER).late == 0


def test_refusals_are_the_meters_own(tmp_path: Path) -> None:
    with running(tmp_path) as served, master(served.lines[0]) as port:
        tune(port, SPEEDS[POWER])
        nothing = ask(port, power(0x02800099))
        assert nothing is not None
        assert nothing.exception == 0x02
        written = ask(port, dlt645.CommandExchange(POWER, 0x14, bytes.fromhex("02 01 00 04") + bytes(12)))
        assert written is not None
        assert written.exception == 0x04
        tune(port, SPEEDS[WATER])
        odd = ask(port, cjt188.ReadExchange(0x10, WATER, 0x907F))
        assert odd is not None
        assert odd.exception
        wait_until(lambda: counts(served, WATER).refused == 1, "counted")
    assert counts(served, POWER).refused == 2
    assert counts(served, POWER).answered_readings == counts(served, WATER).answered_readings == 0


def test_a_long_block_comes_in_two_frames_of_one_moment(tmp_path: Path) -> None:
    more = f'\n[[poles.links.units]]\nunit = "{OTHER}"\ndevice = "long"\nprofile = "test-meter"\nbaud = 9600\n'
    with running(tmp_path, more=more) as served, master(served.lines[0]) as port:
        tune(port, 9600)
        answer = ask(port, power(address=OTHER))
        assert answer is not None
        assert answer.data == b"".join(bytes.fromhex(f"{100 * place + 25:08d}")[::-1] for place in range(LONG))
        wait_until(lambda: counts(served, OTHER).answered == 2, "counted")
    assert counts(served, OTHER).answered_readings == LONG


def test_any_meter_is_for_a_line_with_one(tmp_path: Path) -> None:
    more = (
        f'\n[[poles.links.units]]\nunit = "{OTHER}"\ndevice = "two"\nprofile = "generic-dlt645-single"\nbaud = 9600\n'
    )
    with running(tmp_path) as served, master(served.lines[0]) as port:
        tune(port, SPEEDS[POWER])
        found = ask(port, dlt645.AddressExchange())
        assert found is not None
        assert found.data[::-1].hex() == POWER
        tune(port, SPEEDS[WATER])
        volume = ask(port, cjt188.AddressExchange())
        assert volume is not None
        assert cjt188.answered_by(volume.frame) == (0x10, WATER)
    (tmp_path / "two").mkdir()
    with running(tmp_path / "two", more=more) as served, master(served.lines[0]) as port:
        tune(port, SPEEDS[POWER])
        assert ask(port, dlt645.AddressExchange(), 0.2) is None
        assert served.lines[0].counts.collisions == 1
        shortened = ask(port, power(address="AAAAAAAAAA99"))
        assert shortened is not None


@pytest.mark.parametrize(("unit", "make"), [(POWER, power), (WATER, water)], ids=["dlt645", "cjt188"])
@pytest.mark.parametrize(
    ("faults", "fault"),
    [
        ("{ silent = { probability = 1 } }", Fault.SILENT),
        ("{ dead = true }", Fault.DEAD),
        ("{ truncated = { probability = 1 } }", Fault.TRUNCATED),
        ("{ exception = { probability = 1, code = 6 } }", Fault.EXCEPTION),
    ],
)
def test_faults_of_meters(tmp_path: Path, unit: str, make: Any, faults: str, fault: Fault) -> None:
    with running(tmp_path, faults) as served, master(served.lines[0]) as port:
        tune(port, SPEEDS[unit])
        answer = ask(port, make(), PATIENCE_S if fault is Fault.EXCEPTION else 0.3)
        assert (answer is not None and answer.exception == 6) == (fault is Fault.EXCEPTION)
        wait_until(lambda: counts(served, unit).faults[fault] == 1, "the fault is counted")
        tune(port, SPEEDS["sensor"])
        assert ask(port, RtuExchange(1, Read(3, 10, 5))) is not None
    assert counts(served, unit).answered == 0


def test_a_turned_bit_is_no_answer(tmp_path: Path) -> None:
    faults = "{ bad_checksum = { probability = 1 } }"
    with running(tmp_path, faults) as served, master(served.lines[0]) as port:
        tune(port, SPEEDS[POWER])
        for _ in range(3):
            assert ask(port, power(), 0.3) is None
        wait_until(lambda: counts(served, POWER).faults[Fault.BAD_CHECKSUM] == 3, "the faults are counted")
    assert counts(served, POWER).answered == 0
