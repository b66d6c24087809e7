"""How far a value may be trusted, and why not: two enumerations that every room shares.

``Quality`` is OPC UA's (Part 8, 5.2 *StatusCode* severities); ``Reason`` is ours, bounded to 64 so that both fit one
byte on the wire. Numbers are part of the wire format: add at the end of a block, never renumber.
"""

from enum import IntEnum, unique


@unique
class Quality(IntEnum):
    """Severity of an OPC UA status code."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2

    @property
    def word(self) -> str:
        """The word used in JSON, logs and tables."""
        return self.name.lower()


@unique
class Reason(IntEnum):
    """Why a value is not good, a batch was not stored, or a reading does not exist."""

    NONE = 0
    # The exchange failed: the device did not give this value.
    TIMEOUT = 1
    BAD_CHECKSUM = 2
    TRUNCATED = 3
    WRONG_UNIT = 4
    MALFORMED = 5
    EXCEPTION = 6
    BUSY = 7
    LATE = 8
    LINK_DOWN = 9
    NOISE = 10
    ECHO = 11
    # The device answered, but what it said is no value.
    SENSOR_OPEN = 16
    NOT_A_NUMBER = 17
    BAD_ENCODING = 18
    OUT_OF_RANGE = 19
    CLOCK_DOUBTED = 20  # the device's clock is implausible: `at` is the time of arrival
    RE_DATED = 21  # taken before the box knew the time, dated when it did
    MAINTENANCE = 22  # the device says: being maintained, calibrated, or entered by hand
    DEVICE_FAULT = 23  # the device says that it is faulty
    STOPPED = 24  # the device says that what it measures stands still
    INSTRUMENT_SILENT = 25  # the device has no answer from its own instrument
    NO_FIX = 26  # a position without satellites
    MISSING = 27  # the device says that it has no value
    # Given up on the way.
    QUEUE_FULL = 28
    DISK_FULL = 29
    QUOTA = 30
    EXPIRED = 31
    ORIGINATOR_KILLED = 32
    SHUTDOWN = 33
    GATEWAY_DOWN = 34
    UNKNOWN_DEVICE = 35  # a caller that is not in the site file, or disabled
    THINNED = 36  # a full spool kept one value a minute
    # Answered and deliberately not used.
    RESYNC = 38
    UNMAPPED = 39  # the profile has no point for it
    REPEATED = 40  # a retransmission of what was taken before
    # Refused at the centre.
    UNKNOWN_MANIFEST = 41
    WRONG_SHARD = 42
    UNKNOWN_TOPIC = 43
    OVERSIZED = 44
    UNKNOWN_ALIAS = 45
    STORE_DOWN = 46
    UNKNOWN_VERSION = 47
    BUG = 63

    @property
    def word(self) -> str:
        """The word used in JSON, logs, tables and as the ledger's key."""
        return self.name.lower()


VALUE_REASONS = frozenset(reason for reason in Reason if 16 <= reason < 28)
"""Reasons of readings that the device did answer: they count when a simulator's answers are compared."""

GOOD_CODE = 0


def code_of(quality: Quality, reason: Reason = Reason.NONE) -> int:
    """Pack quality (2 bits) and reason (6 bits) into the wire's one byte."""
    return quality << 6 | reason


def split_code(code: int) -> tuple[Quality, Reason]:
    """Unpack the wire's byte; ValueError for a quality or reason that this version does not know."""
    return Quality(code >> 6), Reason(code & 0x3F)


def reason_of_word(word: str) -> Reason:
    """The reason a word names; ValueError with the word where there is none."""
    try:
        return Reason[word.upper()]
    except KeyError:
        raise ValueError(f"unknown reason {word!r}") from None
