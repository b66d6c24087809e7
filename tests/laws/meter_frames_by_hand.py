"""Meter frames made without our codec: sums and offsets written out once more, and frames that others published."""

from dataclasses import dataclass


def sum8(body: bytes) -> int:
    """The sum modulo 256, added up byte by byte."""
    total = 0
    for byte in body:
        total = total + byte & 0xFF
    return total


def dlt645(address: str, control: int, data: str | bytes = b"") -> bytes:
    """A DL/T 645 frame; ``data`` as it is meant, without the 33."""
    meant = bytes.fromhex(data) if isinstance(data, str) else data
    number = bytes(int(address[at : at + 2], 16) for at in range(10, -1, -2))
    body = b"\x68" + number + b"\x68" + bytes([control, len(meant)]) + bytes((byte + 0x33) % 256 for byte in meant)
    return body + bytes([sum8(body), 0x16])


def cjt188(kind: int, address: str, control: int, data: str | bytes = b"") -> bytes:
    """A CJ/T 188 frame."""
    meant = bytes.fromhex(data) if isinstance(data, str) else data
    number = bytes(int(address[at : at + 2], 16) for at in range(12, -1, -2))
    body = b"\x68" + bytes([kind]) + number + bytes([control, len(meant)]) + meant
    return body + bytes([sum8(body), 0x16])


@dataclass(frozen=True)
class Published:
    """A frame that somebody else put on paper, and what it says."""

    source: str
    frame: str
    address: str
    control: int
    data: str  # as meant, in the order of the wire

    @property
    def wire(self) -> bytes:
        """Its bytes."""
        return bytes.fromhex(self.frame)


LEGEND = "«DLT645-2007 common messages», legend, 2012, hwhale.com/article/138066"
FIRMWARE = "comment in public meter-reading firmware"
TOOL = "test vectors of a public DL/T 645 tool in C#"

DLT645 = [
    Published(LEGEND, "68 61 01 00 00 00 00 68 11 04 33 33 34 33 14 16", "000000000161", 0x11, "00 00 01 00"),
    Published(
        LEGEND,
        "68 61 01 00 00 00 00 68 91 08 33 33 34 33 59 33 33 33 8A 16",
        "000000000161",
        0x91,
        "00 00 01 00 26 00 00 00",
    ),
    Published(
        LEGEND,
        "68 61 01 00 00 00 00 68 91 07 33 34 35 35 CC 7C 33 16 16",  # its check is 16, too
        "000000000161",
        0x91,
        "00 01 02 02 99 49 00",
    ),
    Published(TOOL, "FE FE FE FE 68 12 90 78 56 34 12 68 11 04 33 33 34 33 68 16", "123456789012", 0x11, "00 00 01 00"),
    Published(
        TOOL, "FE 68 12 90 78 56 34 12 68 93 06 45 C3 AB 89 67 45 07 16", "123456789012", 0x93, "12 90 78 56 34 12"
    ),
    Published(TOOL, "68 12 90 78 56 34 12 68 D1 01 35 8D 16", "123456789012", 0xD1, "02"),
    Published(FIRMWARE, "FE 68 AA AA AA AA AA AA 68 13 00 DF 16", "AAAAAAAAAAAA", 0x13, ""),
    Published(
        FIRMWARE,
        "68 00 36 19 00 00 00 68 91 18 33 32 34 33 63 69 33 33 89 35 33 33 4C 33 33 33 6B 33 33 33 4A 66 33 33 E9 16",
        "000000193600",
        0x91,
        "00 FF 01 00 30 36 00 00 56 02 00 00 19 00 00 00 38 00 00 00 17 33 00 00",
    ),
    Published(
        "capture in a public NB-IoT parser",
        "FE FE FE FE 68 27 59 63 03 00 01 68 81 06 43 C3 AC 59 47 33 C3 16",
        "010003635927",
        0x81,
        "10 90 79 26 14 00",
    ),
    Published(
        "«some 1997 meters answer with the wildcard», public firmware",
        "68 AA AA AA AA AA AA 68 81 06 43 C3 94 A5 35 33 FA 16",
        "AAAAAAAAAAAA",
        0x81,
        "10 90 61 72 02 00",
    ),
    Published(
        "capture of a relay command, public firmware",
        "68 61 10 01 30 12 15 68 1C 10 35 6A 39 35 34 33 33 33 4E 33 33 33 33 63 45 CC 2D 16",
        "151230011061",
        0x1C,
        "02 37 06 02 01 00 00 00 1B 00 00 00 00 30 12 99",
    ),
    Published(
        "comment in public firmware",
        "68 99 99 99 99 99 99 68 08 06 84 55 43 38 39 4A 4B 16",
        "999999999999",
        0x08,
        "51 22 10 05 06 17",
    ),
]

CJT188 = [
    Published(
        "cnblogs.com/myzony/p/10897895, with its check put right (published with 08 instead of 13)",
        "68 10 44 33 22 11 00 33 78 81 16 1F 90 00 00 77 66 55 2C 00 77 66 55 2C 31 01 22 11 05 15 20 21 84 13 16",
        "78330011223344",
        0x81,
        "1F 90 00 00 77 66 55 2C 00 77 66 55 2C 31 01 22 11 05 15 20 21 84",
    ),
    Published(
        "cnblogs.com/myzony/p/10897895",
        "FE FE FE FE 68 10 44 33 22 11 00 33 78 01 03 1F 90 00 80 16",
        "78330011223344",
        0x01,
        "1F 90 00",
    ),
    Published(
        "comment in a public collector in Go",
        "FE FE 68 10 45 41 10 05 15 33 78 81 16 90 1F AA 00 59 59 00 2C"
        " FF FF FF FF 2C FF FF FF FF FF FF FF 00 00 C2 16",
        "78331505104145",
        0x81,
        "90 1F AA 00 59 59 00 2C FF FF FF FF 2C FF FF FF FF FF FF FF 00 00",
    ),
    Published(
        "ackBuffer of a public LoRa node for a heat meter",
        "68 25 12 19 24 18 27 31 00 81 2E 1F 90 03 11 74 02 00 05 88 27 44 05 05 00 00 00 00 17 00 00 00 00 35"
        " 08 56 71 00 2C 79 26 00 64 26 00 66 47 07 11 52 17 03 09 25 20 00 05 2A 16",
        "00312718241912",
        0x81,
        "1F 90 03 11 74 02 00 05 88 27 44 05 05 00 00 00 00 17 00 00 00 00 35 08 56 71 00 2C 79 26 00 64 26 00 66 47 07"
        " 11 52 17 03 09 25 20 00 05",
    ),
    Published(
        "comment in a public LoRa water-meter platform: force the valve shut",
        "FE FE FE 68 10 01 13 12 19 00 00 00 04 04 A0 17 01 99 10 16",
        "00000019121301",
        0x04,
        "A0 17 01 99",
    ),
    Published(
        "a public protocol library in Java",
        "68 10 01 00 00 05 08 00 00 83 03 81 0A 00 97 16",
        "00000805000001",
        0x83,
        "81 0A 00",
    ),
]
