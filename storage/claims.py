"""Who makes what now: a claim on a name is held by one thread of one process of one machine at a time.

Where the root is a folder of this machine it is a lock of the operating system, which is free the moment that its holder dies. In a bucket, and on a
file system that machines share, it is a lease (`valuedrift.storage.leases`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from valuedrift.errors import StageError
from valuedrift.fingerprint import fingerprint

_POLL_SECONDS = 0.2
_OWN_LOCK_SECONDS = 10.0
_SHARED = ("nfs", "cifs", "smb", "fuse", "lustre", "gpfs", "beegfs", "ceph", "gluster", "9p", "afs", "ocfs", "gfs2", "pvfs", "orangefs")
"""How the names of file systems begin that several machines may have mounted: a lock on them may hold on one machine alone."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV, errno.ENOTTY, errno.EPERM)
"""What file systems without locks answer."""


@dataclass(frozen=True)
class Holder:
    """Who holds a claim.

    Attributes:
        host: Name of its machine.
        pid: Its process there.
    """

    host: str
    pid: int

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @classmethod
    def here(cls) -> Holder:
        """This process."""
        return cls(socket.gethostname(), os.getpid())


class LostClaimError(StageError):
    """Another process took a claim over, because its holder gave no sign of life; what the holder made since is refused."""


class Claim:
    """A claim that is held. This one cannot be lost: the operating system guards it."""

    taken_over: str = ""
    """From whom it was taken over and why, in words; empty where nobody held it."""

    @property
    def lost(self) -> bool:
        """Whether it is known that another process took it over; asks nobody."""
        return False

    def check(self) -> None:
        """Ask whether it is still held.

        Raises:
            LostClaimError: Another process took it over.
        """


@dataclass(frozen=True)
class Waiting:
    """How a claim is waited for.

    Attributes:
        stopped: When set, waiting ends.
        told: Called at every look while another process holds it, with the holder, None where it is not known.
    """

    stopped: threading.Event = field(default_factory=threading.Event)
    told: Callable[[Holder | None], None] = lambda _: None

    def pause(self, seconds: float) -> None:
        """Wait for the next look.

        Raises:
            StageError: The run ended meanwhile.
        """
        if self.stopped.wait(seconds):
            raise StageError("stopped before it began")


class Claims(ABC):
    """The claims of one root, as one run of this process makes them; shared by its threads."""

    def __init__(self) -> None:
        self._threads: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    @contextmanager
    def claim(self, name: str, waiting: Waiting) -> Iterator[Claim]:
        """Hold the claim on a name for the length of a block.

        Args:
            name: What is claimed.
            waiting: How it is waited for.

        Raises:
            StageError: The run ended while this waited.
        """
        with self._guard:
            mine = self._threads[name]
        while not mine.acquire(timeout=_POLL_SECONDS):  # threads of one run queue here: no other process is told of
            waiting.pause(0)
        try:
            with self._among_processes(fingerprint(name), waiting) as claim:
                yield claim
        finally:
            mine.release()

    @abstractmethod
    def _among_processes(self, key: str, waiting: Waiting) -> AbstractContextManager[Claim]:
        """The same, where no other thread of this run wants it."""


class Locks(Claims):
    """Claims that are locks of the operating system.

    Args:
        folder: Where their files lie; on a disk of this machine.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    @contextmanager
    def _among_processes(self, key: str, waiting: Waiting) -> Iterator[Claim]:
        self._folder.mkdir(parents=True, exist_ok=True)
        place, holder = self._folder / f"{key}.lock", self._folder / f"{key}.holder"
        lock = file_lock(place)
        while not locked(lock):
            waiting.told(_written_in(holder))
            waiting.pause(_POLL_SECONDS)
        try:
            me = Holder.here()
            holder.write_text(f"{me.pid} {me.host}", encoding="utf-8")
            yield Claim()
        finally:
            # on a disk that can only be read by now: the lock alone says who holds it, and why the block ended is told
            with contextlib.suppress(OSError):
                holder.unlink(missing_ok=True)
                place.unlink(missing_ok=True)  # who waits with the old file open sees that it has no name any more, and opens it anew
            lock.release()


class Alive:
    """Shows other processes of this machine that this one lives: it holds a lock that the kernel frees when it dies.

    Args:
        folder: Where the locks lie; whoever sees it is of this machine.

    Attributes:
        machine: Tells this machine from all others.
        process: Names the lock.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        for left in folder.glob("process-*.lock"):
            self._is_free(left)
        booted = Path("/proc/sys/kernel/random/boot_id")
        since = booted.read_text(encoding="utf-8") if booted.exists() else str(round(psutil.boot_time()))
        about = folder.stat()  # a copy of a machine (an image, a container) has another disk or another boot
        self.machine = fingerprint([socket.gethostname(), since, about.st_dev, about.st_ino])
        self.process = secrets.token_hex(8)
        self._lock = file_lock(self._file(self.process))
        self._lock.acquire(timeout=_OWN_LOCK_SECONDS)

    def knows_dead(self, machine: str, process: str) -> bool:
        """Whether a process is of this machine, and has ended.

        Args:
            machine: What its `machine` was.
            process: What its `process` was.
        """
        return machine == self.machine and process != self.process and self._is_free(self._file(process))

    def _file(self, process: str) -> Path:
        return self._folder / f"process-{process}.lock"

    def _is_free(self, place: Path) -> bool:
        """Whether nobody holds a lock; its file is then removed."""
        lock = file_lock(place)
        if not locked(lock):
            return False
        place.unlink(missing_ok=True)
        lock.release()
        return True


def file_lock(place: Path) -> FileLock:
    """A lock that a kernel keeps: never one that outlives its holder."""
    return FileLock(place, thread_local=False, fallback_to_soft=False)


def locked(lock: FileLock) -> bool:
    """Try to take a lock, now."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def locks_hold(folder: Path, mounts: Iterable[tuple[str, str]] | None = None) -> bool:
    """Whether a lock on a file in a folder keeps out every process that can reach it.

    Args:
        folder: A folder that may not exist yet.
        mounts: Where file systems are mounted, and of which kind each is; default: as the operating system says.

    Raises:
        OSError: It cannot be told: the disk is full or read-only, or too many files are open. Two processes of which one takes locks and the other leases
            would both make one stage.
    """
    if mounts is None:
        mounts = [(one.mountpoint, one.fstype) for one in psutil.disk_partitions(all=True)]
    place = Path(os.path.realpath(folder))
    holding = [(mount, kind) for mount, kind in mounts if place.is_relative_to(mount)]
    kind = max(holding, key=lambda one: len(one[0]), default=("", ""))[1]
    if kind.lower().startswith(_SHARED):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    probe = file_lock(folder / f".probe-{os.getpid()}-{threading.get_ident()}.lock")
    try:
        probe.acquire(timeout=0)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    Path(probe.lock_file).unlink(missing_ok=True)
    probe.release()
    return True


def _written_in(holder: Path) -> Holder | None:
    with contextlib.suppress(OSError, ValueError):
        pid, host = holder.read_text(encoding="utf-8").split(maxsplit=1)
        return Holder(host, int(pid))
    return None
