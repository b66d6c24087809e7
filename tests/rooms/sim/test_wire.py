"""What happens on the pseudo-terminal itself: wrong speed, noise, answers that nobody reads, restarts of the pole."""

import os
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware_sim.line import Line
from firmware_sim.running import RunningStreet
from tests.rooms.sim.bench import BAUD, POINTS, counts, running
from tests.rooms.sim.waiting import PATIENCE_S, wait_until

QUESTION = bytes.fromhex("01 03 00 0A 00 05 A5 CB")
ANSWER_BYTES = 15
SLOW = 1200
"""So slow that what is written next surely comes while the last is still on the wire, on a loaded machine too."""


@contextmanager
def _port(line: Line, speed: int = getattr(termios, f"B{BAUD}")) -> Iterator[int]:
    """The pole's end of the line, opened by hand."""
    port = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(port)
    settings = termios.tcgetattr(port)
    settings[4] = settings[5] = speed
    termios.tcsetattr(port, termios.TCSANOW, settings)
    try:
        yield port
    finally:
        os.close(port)


def _take(port: int, count: int) -> bytes:
    """Exactly so many bytes; AssertionError when they do not come."""
    taken = b""
    while len(taken) < count:
        assert select.select([port], [], [], PATIENCE_S)[0], f"{len(taken)} of {count} bytes came"
        taken += os.read(port, count - len(taken))
    return taken


def test_a_question_may_come_in_pieces(tmp_path: Path) -> None:
    with running(tmp_path, "rtu", baud=SLOW) as served, _port(served.lines[0], termios.B1200) as port:
        os.write(port, QUESTION[:3])
        os.write(port, QUESTION[3:])
        assert _take(port, ANSWER_BYTES)[:3] == b"\x01\x03\x0a"


def test_noise_is_forgotten_after_a_silence(tmp_path: Path) -> None:
    with running(tmp_path, "rtu") as served, _port(served.lines[0]) as port:
        line = served.lines[0]
        os.write(port, QUESTION[:5])
        wait_until(lambda: line.counts.noise == 1, "the half question is forgotten")
        os.write(port, b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8")
        wait_until(lambda: line.counts.noise == 2, "the noise is forgotten")
        os.write(port, QUESTION)
        assert len(_take(port, ANSWER_BYTES)) == ANSWER_BYTES
        assert counts(served).asked == 1


def test_a_master_at_the_wrong_speed_is_not_understood(tmp_path: Path) -> None:
    with running(tmp_path, "rtu") as served, _port(served.lines[0], termios.B4800) as port:
        os.write(port, QUESTION)
        wait_until(lambda: served.lines[0].counts.wrong_speed == 1, "the wrong speed is seen")
        assert counts(served).asked == 0


def _asked_and_gone(served: RunningStreet) -> None:
    with _port(served.lines[0]) as port:
        os.write(port, QUESTION)
    wait_until(lambda: counts(served).answered == 1, "the answer is written")


def test_an_answer_that_nobody_reads_is_taken_back(tmp_path: Path) -> None:
    with running(tmp_path, "rtu") as served:
        _asked_and_gone(served)
    one = counts(served)
    assert (one.answered, one.answered_readings, one.unread, one.unread_readings) == (0, 0, 1, POINTS)
    assert '"withdrawn": true' in (served.directory / "journal.jsonl").read_text(encoding="utf-8")


def test_the_line_survives_the_pole(tmp_path: Path) -> None:
    with running(tmp_path, "rtu") as served:
        for _ in range(3):
            with _port(served.lines[0]) as port:
                os.write(port, QUESTION)
                assert len(_take(port, ANSWER_BYTES)) == ANSWER_BYTES
        assert counts(served).answered == 3


def test_a_question_without_the_silence_before_it_is_noted(tmp_path: Path) -> None:
    with running(tmp_path, "rtu", baud=SLOW) as served, _port(served.lines[0], termios.B1200) as port:
        line = served.lines[0]
        os.write(port, QUESTION)
        wait_until(lambda: line.counts.questions == 1, "the first question is understood")
        os.write(port, QUESTION)  # before the answer to the first is over
        _take(port, 2 * ANSWER_BYTES)
        assert line.counts.crowded == 1
