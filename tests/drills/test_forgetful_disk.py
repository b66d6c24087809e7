"""The model of the forgetful disk keeps what it must and forgets what it may: the drill's own scales are weighed."""

import random
from pathlib import Path

import pytest

from tests.drills.forgetful_disk import ROOT, SECTOR, Disk, File, Folder, load, save, sectors

SEEDS = [random.Random(seed) for seed in range(200)]


def outcomes(file: File) -> set[bytes]:
    """What two hundred power cuts may leave of a file."""
    return {file.cut(chance) for chance in SEEDS}


def test_what_was_synced_is_kept_and_what_was_not_may_be_lost() -> None:
    disk = Disk()
    number = disk.add(ROOT, "a", File())
    disk.file(number).write(0, b"kept")
    disk.sync(number)
    disk.sync(ROOT)
    disk.file(number).write(4, b" or not")
    found = outcomes(disk.file(number))
    assert {b"kept", b"kept or not"} <= found
    assert all(data.startswith(b"kept") for data in found)
    assert len(found) > 3, "no write was torn"


def test_sectors_survive_in_any_order_but_nothing_beside_a_write_is_harmed() -> None:
    file = File(b"o" * 4 * SECTOR)
    file.write(SECTOR, b"n" * 2 * SECTOR)
    found = outcomes(file)
    assert all(data[:SECTOR] + data[3 * SECTOR :] == b"o" * 2 * SECTOR for data in found)
    halves = {(data[SECTOR : SECTOR + 1], data[2 * SECTOR : 2 * SECTOR + 1]) for data in found}
    assert halves == {(one, two) for one in (b"o", b"n") for two in (b"o", b"n")}


def test_a_lost_truncation_takes_what_follows_with_it() -> None:
    file = File(b"old")
    file.truncate(0)
    file.write(0, b"new")
    found = outcomes(file)
    assert {b"old", b"", b"new"} <= found
    assert found <= {b"old", b"", b"n", b"ne", b"new"}


def test_a_name_is_kept_by_its_directory_only() -> None:
    for chance in SEEDS:
        disk = Disk()
        folder = disk.add(ROOT, "d", Folder())
        number = disk.add(folder, "f", File())
        disk.file(number).write(0, b"data")
        disk.sync(number)
        disk.sync(folder)
        image = disk.cut(chance)
        assert image in ({}, {"d": None, "d/f": b"data"}), "a directory that was lost took its file with it"


def test_a_rename_is_whole_or_has_not_been() -> None:
    found = set()
    for chance in SEEDS:
        disk = Disk()
        for name in ("old", "new"):
            number = disk.add(ROOT, name, File())
            disk.file(number).write(0, name.encode())
            disk.sync(number)
        disk.sync(ROOT)
        disk.rename(ROOT, "new", ROOT, "old")
        found.add(tuple(sorted(disk.cut(chance).items())))
    assert found == {(("new", b"new"), ("old", b"old")), (("old", b"new"),)}


def test_an_unlink_may_come_undone() -> None:
    found = set()
    for chance in SEEDS:
        disk = Disk()
        disk.sync(disk.add(ROOT, "journal", File(b"hot")))
        disk.sync(ROOT)
        disk.remove(ROOT, "journal")
        found.add("journal" in disk.cut(chance))
    assert found == {True, False}


def test_an_image_goes_to_a_directory_and_back(tmp_path: Path) -> None:
    image = {"d": None, "d/f": b"data", "e": b""}
    save(image, tmp_path)
    disk = Disk()
    load(disk, tmp_path)
    assert disk.cut(SEEDS[0]) == image


@pytest.mark.parametrize(("offset", "size"), [(0, 0), (0, 512), (1, 512), (511, 2), (100, 2000)])
def test_sectors_are_the_whole_write(offset: int, size: int) -> None:
    data = bytes(range(256)) * 8
    pieces = list(sectors(offset, data[:size]))
    assert b"".join(piece for _, piece in pieces) == data[:size]
    assert all(place // SECTOR == (place + len(piece) - 1) // SECTOR for place, piece in pieces)
