"""Random and mutated bytes against the described serial protocols: nothing raised, bounded memory, no invention."""

import os
import random

from device_profiles.codecs.serial_line import LONGEST, SerialExchange
from device_profiles.exchange import STRAYS_KEPT
from tests.laws.test_serial_line import LAYOUTS, QUESTION, UNIT_ASKED, built

ROUNDS = 10_000_000 if os.environ.get("FUZZ") == "long" else 100_000


def test_a_hundred_thousand_inputs() -> None:
    dice = random.Random(11)
    layouts = list(LAYOUTS.values())
    exchanges = [SerialExchange(layout, UNIT_ASKED, QUESTION) for layout in layouts]
    frames = [built(layout) for layout in layouts]
    answered = 0
    for n in range(ROUNDS):
        place = n % len(layouts)
        exchange, frame = exchanges[place], bytearray(frames[place])
        if n % 3:
            for _ in range(dice.randint(1, 3)):
                frame[dice.randrange(len(frame))] = dice.randrange(256)
            data = bytes(frame[: dice.randint(1, len(frame))]) if n % 2 else bytes(frame)
        else:
            data = dice.randbytes(dice.randint(1, 20))
        exchange.feed(data)
        answer = exchange.take(silent=n % 7 == 0)
        exchange.conclude()
        assert len(exchange.rest) <= 4 * LONGEST and len(exchange.strays) <= STRAYS_KEPT
        if answer is not None:
            answered += 1
            assert layouts[place].measure(answer.frame, 0) == len(answer.frame)
            layouts[place].decode(answer.frame)
            exchanges[place] = SerialExchange(layouts[place], UNIT_ASKED, QUESTION)
    assert answered
