"""Quality and reason of a wire code as words, looked up and never computed a reading at a time."""

from device_profiles.quality import Quality, Reason, code_of

WORST_CODE = Quality.BAD << 6 | 0x3F
"""Codes above it carry a quality that does not exist."""

BAD_CODES = Quality.BAD << 6
"""Codes from here on mean BAD: no value."""

NOT_A_NUMBER_CODE = code_of(Quality.BAD, Reason.NOT_A_NUMBER)


def _reason_word(number: int) -> str:
    # A newer pole may know a reason that we do not: its number is better than a refusal.
    return Reason(number).word if number in Reason.__members__.values() else f"reason_{number}"


QUALITY_WORDS = [Quality(code >> 6).word if code <= WORST_CODE else "bad" for code in range(256)]
REASON_WORDS = [_reason_word(code & 0x3F) for code in range(256)]
