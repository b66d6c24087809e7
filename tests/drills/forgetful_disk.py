"""What a disk keeps at a power cut: the model of the forgetful file system, in memory and without any kernel.

Modelled, as harsh as POSIX fsync allows and ext4 with ``data=ordered`` behaves:

- *File data.* What was written lives in a volatile layer until fsync or fdatasync of that file has ended; what was
  synced is kept for ever. Of what was not synced a cut keeps nothing, or all, or a prefix of the writes in their
  order, or any sectors of 512 bytes in any order (the page cache is written back as it likes); in the last two the
  writes end in one that is torn, even inside a sector. Bytes beside a write are never harmed (SQLite's "powersafe
  overwrite"), and sectors of a longer file that did not survive read as zeros.
- *Length.* A truncation is kept in order: what was written after one that did not survive is lost with it.
- *Names.* A create, mkdir, unlink, rmdir or rename is kept for ever only after fsync of its **directory**: fsync of
  the file alone does not keep its name (POSIX; ext4 is kinder). Of the other changes a cut keeps a prefix in their
  order, as a journal does. A rename inside a directory is one change, never half of one. What cannot be reached from
  the root by kept names is lost, synced or not.
- *The moment.* An operation that the cut falls into counts as not synced: half done, or done and never reported.

Not modelled: wrong or reordered fsync (a disk that lies), bit rot, links, renames across directories, owners, times.
"""

import errno
import random
from collections.abc import Iterator
from pathlib import Path

SECTOR = 512
ROOT = 1

Write = tuple[int, bytes]
"""(offset, bytes) of one write."""


class File:
    """One file: ``data`` as programs see it, ``kept`` as the platter has it, ``pending`` what lies between."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.kept = bytearray(data)
        self.pending: list[Write | int] = []
        """Writes and, as bare numbers, truncations to that length."""

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes there; a hole before them reads as zeros."""
        put(self.data, offset, data)
        self.pending.append((offset, data))

    def truncate(self, size: int) -> None:
        """Make it exactly so long."""
        resize(self.data, size)
        self.pending.append(size)

    def sync(self) -> None:
        """All that was written is kept."""
        for change in self.pending:
            apply(self.kept, change)
        self.pending.clear()

    def cut(self, chance: random.Random) -> bytes:
        """What the platter has after a power cut."""
        left = bytearray(self.kept)
        fate = chance.choices(["nothing", "prefix", "scattered", "all"], [35, 35, 25, 5])[0]
        if fate == "prefix":
            _keep_prefix(left, self.pending, chance)
        elif fate == "scattered":
            _keep_some(left, self.pending, chance)
        elif fate == "all":
            for change in self.pending:
                apply(left, change)
        return bytes(left)


def put(data: bytearray, offset: int, piece: bytes) -> None:
    """Overwrite or extend ``data`` with ``piece`` at ``offset``."""
    if not piece:
        return
    if offset > len(data):
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(piece)] = piece


def resize(data: bytearray, size: int) -> None:
    """Cut ``data``, or lengthen it with zeros."""
    if size < len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


def apply(data: bytearray, change: Write | int) -> None:
    """A write, or a truncation, wholly."""
    if isinstance(change, int):
        resize(data, change)
    else:
        put(data, *change)


def _keep_prefix(left: bytearray, pending: list[Write | int], chance: random.Random) -> None:
    """The first few writes, and a torn one."""
    number = chance.randint(0, len(pending))
    for change in pending[:number]:
        apply(left, change)
    if number < len(pending) and not isinstance(torn := pending[number], int):
        put(left, torn[0], torn[1][: chance.randint(0, len(torn[1]))])


def _keep_some(left: bytearray, pending: list[Write | int], chance: random.Random) -> None:
    """Any sectors, up to the first truncation that is lost; one is torn inside."""
    for change in pending:
        if isinstance(change, int):
            if chance.random() < 0.5:
                return
            resize(left, change)
            continue
        for offset, sector in sectors(*change):
            if chance.random() < 0.5:
                put(left, offset, sector if chance.random() < 0.95 else sector[: chance.randint(0, len(sector))])


def sectors(offset: int, data: bytes) -> Iterator[Write]:
    """One write as the sectors that it touches."""
    begin = 0
    while begin < len(data):
        end = begin + SECTOR - (offset + begin) % SECTOR
        yield offset + begin, data[begin:end]
        begin = end


class Folder:
    """One directory: names to node numbers, as programs see them and as the platter has them."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.kept: dict[str, int] = {}


class Change:
    """One change of names in one directory: each name's new node number, None where it is gone."""

    def __init__(self, folder: Folder, names: dict[str, int | None]) -> None:
        self.folder = folder
        self.names = names

    def apply(self, names: dict[str, int]) -> None:
        """Make it so."""
        for name, number in self.names.items():
            if number is None:
                names.pop(name, None)
            else:
                names[name] = number


class Disk:
    """The whole file system. Methods raise OSError as the system calls do; node numbers are never used again."""

    def __init__(self) -> None:
        self.nodes: dict[int, File | Folder] = {ROOT: Folder()}
        self._journal: list[Change] = []
        self._next = ROOT + 1

    def file(self, number: int) -> File:
        """A file by its number."""
        node = self.nodes[number]
        if not isinstance(node, File):
            raise OSError(errno.EISDIR, "a directory")
        return node

    def folder(self, number: int) -> Folder:
        """A directory by its number."""
        node = self.nodes[number]
        if not isinstance(node, Folder):
            raise OSError(errno.ENOTDIR, "a file")
        return node

    def find(self, parent: int, name: str) -> int:
        """The number that a name stands for."""
        try:
            return self.folder(parent).names[name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, name) from None

    def add(self, parent: int, name: str, node: File | Folder) -> int:
        """A new file or directory under that name."""
        folder = self.folder(parent)
        if name in folder.names:
            raise FileExistsError(errno.EEXIST, name)
        number, self._next = self._next, self._next + 1
        self.nodes[number] = node
        self._change(folder, {name: number})
        return number

    def remove(self, parent: int, name: str) -> None:
        """Take a name away (unlink, rmdir)."""
        node = self.nodes[self.find(parent, name)]
        if isinstance(node, Folder) and node.names:
            raise OSError(errno.ENOTEMPTY, name)
        self._change(self.folder(parent), {name: None})

    def rename(self, parent: int, name: str, place: int, new: str) -> None:
        """Give a name to another; EXDEV between directories."""
        if parent != place:
            raise OSError(errno.EXDEV, "not modelled: a rename between directories")
        number = self.find(parent, name)
        self._change(self.folder(parent), {name: None, new: number})

    def _change(self, folder: Folder, names: dict[str, int | None]) -> None:
        change = Change(folder, names)
        change.apply(folder.names)
        self._journal.append(change)

    def sync(self, number: int) -> None:
        """fsync of a file keeps its bytes, fsync of a directory keeps its names."""
        node = self.nodes[number]
        if isinstance(node, File):
            node.sync()
            return
        for change in self._journal:
            if change.folder is node:
                change.apply(node.kept)
        self._journal = [change for change in self._journal if change.folder is not node]

    def cut(self, chance: random.Random) -> dict[str, bytes | None]:
        """The power is cut: what is there afterwards, by path; None is a directory. The disk is of no use any more."""
        for change in self._journal[: chance.choice([0, chance.randint(0, len(self._journal))])]:
            change.apply(change.folder.kept)
        return dict(self._kept_under(ROOT, "", chance))

    def _kept_under(self, number: int, path: str, chance: random.Random) -> Iterator[tuple[str, bytes | None]]:
        for name, child in sorted(self.folder(number).kept.items()):
            node = self.nodes[child]
            if isinstance(node, File):
                yield path + name, node.cut(chance)
            else:
                yield path + name, None
                yield from self._kept_under(child, f"{path}{name}/", chance)


def load(disk: Disk, place: Path, parent: int = ROOT) -> None:
    """Fill an empty disk with what lies in an ordinary directory; all of it is kept."""
    for path in sorted(place.iterdir()):
        number = disk.add(parent, path.name, Folder() if path.is_dir() else File(path.read_bytes()))
        if path.is_dir():
            load(disk, path, number)
    disk.sync(parent)


def save(image: dict[str, bytes | None], place: Path) -> None:
    """Lay an image out in an ordinary, empty directory."""
    for path, data in image.items():
        if data is None:
            (place / path).mkdir()
        else:
            (place / path).write_bytes(data)
