"""A FUSE file system that forgets: ``forgetful_disk`` behind the kernel's protocol on /dev/fuse, no library between.

    python -m tests.drills.forgetful_fs FD PLATTER SEED CUT

serves a mount whose /dev/fuse is open as FD, beginning with what lies in the directory PLATTER. The power fails in the
CUT-th operation that changes or syncs anything, or at SIGTERM: what survives replaces PLATTER, and the process ends, so
that everything on the mount fails from then on. ``mounted`` does all that for a test. One request at a time, in the
order of the kernel: a write is answered before the next is taken, as by one slow disk.

The kernel keeps its page cache and mmap (SQLite's -shm), and write(2) comes here at once (no write-back cache).
"""

import ctypes
import errno
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.drills.forgetful_disk import Disk, File, Folder, load, save

DEVICE = Path("/dev/fuse")
MOST = 128 * 1024
"""Bytes of one write: the kernel's own limit of 32 pages, so that SQLite's pages and WAL frames come whole."""

FOREVER = 1 << 30
"""Seconds that the kernel may remember a name or a length: it is the only one that changes them."""

# linux/fuse.h, protocol 7.31: struct fuse_in_header, fuse_out_header, fuse_attr and the answers made of them.
_IN = struct.Struct("<IIQQIIII")
_OUT = struct.Struct("<IiQ")
_ATTR = struct.Struct("<6Q10I")
_ENTRY = struct.Struct("<QQQQII")
_READ_WRITE = struct.Struct("<QQIIQII")
_SETATTR = struct.Struct("<IIQQ")
_DIRENT = struct.Struct("<QQII")
_INIT = struct.Struct("<IIIIHHIIHH32x")
_MAJOR, _MINOR = 7, 31
_ASYNC_READ, _BIG_WRITES, _MAX_PAGES = 1 << 0, 1 << 5, 1 << 22
_KEEP_CACHE = 1 << 1
_FATTR_SIZE = 1 << 3

(LOOKUP, FORGET, GETATTR, SETATTR, MKDIR, UNLINK, RMDIR, RENAME, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC, INIT) = (
    1, 2, 3, 4, 9, 10, 11, 12, 14, 15, 16, 17, 18, 20, 26,
)  # fmt: skip
OPENDIR, READDIR, RELEASEDIR, FSYNCDIR, CREATE, INTERRUPT, BATCH_FORGET = 27, 28, 29, 30, 35, 36, 42
_UNANSWERED = {FORGET, INTERRUPT, BATCH_FORGET}
_CHANGING = {SETATTR, MKDIR, UNLINK, RMDIR, RENAME, CREATE, WRITE, FSYNC, FSYNCDIR}
_SYNCING = {FSYNC, FSYNCDIR}


class Server:
    """Answers the kernel's requests out of a Disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._calls: dict[int, Callable[[int, bytes], bytes]] = {
            INIT: self._init, LOOKUP: self._lookup, GETATTR: lambda node, _: self._attr(node), SETATTR: self._setattr,
            MKDIR: self._mkdir, CREATE: self._create, UNLINK: self._remove, RMDIR: self._remove, RENAME: self._rename,
            OPEN: self._open, OPENDIR: self._open, RELEASE: _nothing, RELEASEDIR: _nothing, STATFS: _statfs,
            READ: self._read, WRITE: self._write, READDIR: self._readdir, FSYNC: self._sync, FSYNCDIR: self._sync,
        }  # fmt: skip

    def answer(self, operation: int, node: int, body: bytes) -> tuple[int, bytes]:
        """(0, the answer's body), or (an errno, nothing)."""
        call = self._calls.get(operation)
        if call is None:
            return errno.ENOSYS, b""  # extended attributes, access, flush, ioctl …: the kernel does not ask again
        try:
            return 0, call(node, body)
        except OSError as trouble:
            return trouble.errno or errno.EIO, b""
        except KeyError:
            return errno.ESTALE, b""

    def _init(self, _: int, body: bytes) -> bytes:
        _, _, readahead, offered = struct.unpack_from("<4I", body)
        flags = offered & (_ASYNC_READ | _BIG_WRITES | _MAX_PAGES)
        return _INIT.pack(_MAJOR, _MINOR, readahead, flags, 16, 12, MOST, 1, MOST // 4096, 0)

    def _attributes(self, number: int) -> bytes:
        node = self._disk.nodes[number]
        size, mode = (len(node.data), stat.S_IFREG | 0o644) if isinstance(node, File) else (4096, stat.S_IFDIR | 0o755)
        return _ATTR.pack(number, size, -(-size // 512), *[0] * 6, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)

    def _attr(self, number: int) -> bytes:
        return struct.pack("<QII", FOREVER, 0, 0) + self._attributes(number)

    def _entry(self, number: int) -> bytes:
        return _ENTRY.pack(number, 0, FOREVER, FOREVER, 0, 0) + self._attributes(number)

    def _lookup(self, parent: int, body: bytes) -> bytes:
        return self._entry(self._disk.find(parent, _names(body)[0]))

    def _setattr(self, number: int, body: bytes) -> bytes:
        valid, _, _, size = _SETATTR.unpack_from(body)
        if valid & _FATTR_SIZE:
            self._disk.file(number).truncate(size)
        return self._attr(number)

    def _mkdir(self, parent: int, body: bytes) -> bytes:
        return self._entry(self._disk.add(parent, _names(body[8:])[0], Folder()))

    def _create(self, parent: int, body: bytes) -> bytes:
        number = self._disk.add(parent, _names(body[16:])[0], File())
        return self._entry(number) + self._open(number, b"")

    def _remove(self, parent: int, body: bytes) -> bytes:
        self._disk.remove(parent, _names(body)[0])
        return b""

    def _rename(self, parent: int, body: bytes) -> bytes:
        (place,) = struct.unpack_from("<Q", body)
        name, new = _names(body[8:])[:2]
        self._disk.rename(parent, name, place, new)
        return b""

    def _open(self, _: int, body: bytes) -> bytes:
        return struct.pack("<QII", 0, _KEEP_CACHE, 0)

    def _read(self, number: int, body: bytes) -> bytes:
        _, offset, size, *_ = _READ_WRITE.unpack_from(body)
        return bytes(self._disk.file(number).data[offset : offset + size])

    def _write(self, number: int, body: bytes) -> bytes:
        _, offset, size, *_ = _READ_WRITE.unpack_from(body)
        self._disk.file(number).write(offset, body[_READ_WRITE.size : _READ_WRITE.size + size])
        return struct.pack("<II", size, 0)

    def _sync(self, number: int, _: bytes) -> bytes:
        self._disk.sync(number)
        return b""

    def _readdir(self, number: int, body: bytes) -> bytes:
        _, offset, size, *_ = _READ_WRITE.unpack_from(body)
        entries = sorted(self._disk.folder(number).names.items())
        found = b""
        for place, (name, child) in list(enumerate(entries, 1))[offset:]:
            kind = stat.S_IFREG if isinstance(self._disk.nodes[child], File) else stat.S_IFDIR
            raw = name.encode()
            row = _DIRENT.pack(child, place, len(raw), kind >> 12) + raw
            row += bytes(-len(row) % 8)
            if len(found) + len(row) > size:
                break
            found += row
        return found


def _nothing(_: int, __: bytes) -> bytes:
    return b""


def _statfs(_: int, __: bytes) -> bytes:
    return struct.pack("<5Q10I", 1 << 30, 1 << 29, 1 << 29, 1 << 20, 1 << 19, 4096, 255, 4096, *[0] * 7)


def _names(body: bytes) -> list[str]:
    return [name.decode() for name in body.split(b"\0")]


class PowerCut(BaseException):
    """SIGTERM: the power fails between two operations."""


def serve(fd: int, disk: Disk, cut: int, chance: random.Random) -> None:
    """Answer requests until the power fails in the ``cut``-th changing operation, or the mount is gone."""
    server = Server(disk)
    while True:
        try:
            request = os.read(fd, MOST + 4096)
        except OSError as trouble:
            if trouble.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):  # a request that was withdrawn meanwhile
                continue
            return
        _, operation, unique, node, *_ = _IN.unpack_from(request)
        if operation in _UNANSWERED:
            continue
        if operation in _CHANGING:
            cut -= 1
            if cut <= 0:
                if operation not in _SYNCING or chance.random() < 0.5:
                    server.answer(operation, node, request[_IN.size :])  # it may be done; nobody hears of it
                return
        problem, body = server.answer(operation, node, request[_IN.size :])
        with suppress(FileNotFoundError):  # the one who asked was killed
            os.write(fd, _OUT.pack(_OUT.size + len(body), -problem, unique) + body)


def main(fd: int, platter: Path, seed: str, cut: int) -> None:
    """Serve, cut, and lay out what survived."""
    signal.signal(signal.SIGTERM, _cut_now)
    disk = Disk()
    load(disk, platter)
    chance = random.Random(seed)
    with suppress(PowerCut):
        serve(fd, disk, cut, chance)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.close(fd)  # from here on every operation fails
    shutil.rmtree(platter)
    platter.mkdir()
    save(disk.cut(chance), platter)


def _cut_now(number: int, frame: object) -> None:
    raise PowerCut


# -- for the test ----------------------------------------------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)
_MS_NOSUID, _MS_NODEV, _MNT_DETACH = 2, 4, 2
NEVER = 1 << 62


def _mount(place: Path) -> int:
    """Mount there; the open /dev/fuse. OSError where that is not permitted."""
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
    if _libc.mount(b"forgetful", bytes(place), b"fuse.forgetful", _MS_NOSUID | _MS_NODEV, options):
        number = ctypes.get_errno()
        os.close(device)
        raise OSError(number, os.strerror(number), str(place))
    return device


def _unmount(place: Path) -> None:
    """Take the mount away, at once and whoever still uses it."""
    if _libc.umount2(bytes(place), _MNT_DETACH):
        raise OSError(ctypes.get_errno(), "umount2", str(place))


@contextmanager
def mounted(place: Path, platter: Path, seed: str, cut: int = NEVER) -> Iterator["subprocess.Popen[bytes]"]:
    """The file system at ``place``, beginning with ``platter``; its process, whose SIGTERM is a power cut.

    Whatever happens inside, the process is ended by its own id and the mount is detached: nothing can hang on it.
    """
    device = _mount(place)
    try:
        command = [sys.executable, "-m", "tests.drills.forgetful_fs", str(device), str(platter), seed, str(cut)]
        try:
            process = subprocess.Popen(command, pass_fds=[device], cwd=Path(__file__).resolve().parents[2])
        finally:
            os.close(device)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
    finally:
        _unmount(place)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
