"""Claims where no lock holds: a lease is an object that its holder must renew.

``_claims/<key>/<generation>.json`` is written by put-if-absent and says who holds the claim; the newest generation holds it. Its holder renews it by
writing ``<generation>-<token>.beat`` anew, with a higher number each time, four times a lease. Who waits looks whether that number changes: if it did not
for the whole of a lease, by a clock of its own that nobody else's is compared with, the holder is taken to be dead, and the next generation is written.
Of several that do so one wins. Wrong clocks do not matter, and a holder that died is followed after one lease and one look at most.

A holder that only slept (a suspended laptop, SIGSTOP) sees a newer generation when it wakes. So that nothing of it is committed in the moment between its
look and its commit, who takes over makes an empty commit first (`Store.fence`): a commit that was read before that fails, and is preceded by another look.

A claim's objects are removed when it is let go. Those of a dead holder lie until the name is claimed again, or until `valuedrift tables check --repair`.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from valuedrift.errors import DataError, UserError
from valuedrift.storage.claims import Alive, Claim, Claims, Holder, Locks, LostClaimError, Waiting, locks_hold
from valuedrift.storage.location import Found, Location

FOLDER = "_claims"
_BEATS = 4
"""How often a lease is renewed in its length."""
_LOOKS = 30
"""How often who waits looks in the length of a lease."""
_LONGEST_POLL_S = 2.0
_BLIND = 0.5
"""Share of a lease without a look after which watching starts again: the store, or who watches, was away, and a living holder could not show itself."""


@dataclass(frozen=True)
class _Said:
    """What a holder writes into its claim.

    Attributes:
        host: Name of its machine.
        pid: Its process there.
        token: Tells this claim from all others.
        lease_seconds: It promises to renew it more often than this.
        silence: How long the holder before it had been silent, by the clock of this one; 0 where there was none.
        machine: Tells machines apart, where locks tell who lives on it; else empty.
        process: Names the lock that shows its process to live.
    """

    host: str
    pid: int
    token: str
    lease_seconds: float
    silence: float = 0.0
    machine: str = ""
    process: str = ""

    @property
    def holder(self) -> Holder:
        """Who it is."""
        return Holder(self.host, self.pid)


@dataclass(frozen=True)
class _Seen:
    """A claim as it lies there.

    Attributes:
        generation: The newest.
        said: What its holder wrote into it.
        beat: What its holder renewed it with last; empty before the first time.
    """

    generation: int
    said: _Said
    beat: bytes

    @property
    def state(self) -> tuple[int, str, bytes]:
        """Differs whenever its holder gave a sign of life."""
        return self.generation, self.said.token, self.beat


class _Watch:
    """How long a holder has been silent, by the clock of who waits."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._state: tuple[int, str, bytes] | None = None
        self._since = self._looked = 0.0

    def silence(self, seen: _Seen) -> float:
        """Seconds that the claim was seen as it is now, without a gap."""
        now = self._clock()
        if seen.state != self._state or now - self._looked > seen.said.lease_seconds * _BLIND:
            self._state, self._since = seen.state, now
        self._looked = now
        return now - self._since


class Lease(Claim):
    """A claim that is held as long as it is renewed.

    Args:
        folder: Where its objects lie.
        generation: Its number.
        token: Tells it from all others.
        taken_over: From whom it was taken over and why.
    """

    def __init__(self, folder: Location, generation: int, token: str, taken_over: str) -> None:
        self.folder = folder
        self.generation = generation
        self.token = token
        self.taken_over = taken_over
        self._beat = _beat_of(folder, generation, token)
        self._beats = 0
        self._lost = ""
        self._ended = False
        self._mutex = threading.Lock()

    @property
    def lost(self) -> bool:
        """See :class:`Claim`."""
        return bool(self._lost)

    def check(self) -> None:
        """See :class:`Claim`."""
        if not self._lost:
            seen = seen_in(self.folder)
            if seen is not None and (seen.generation, seen.said.token) == (self.generation, self.token):
                return
            self._lost = "another process took this stage over while this one gave no sign of life, and has ended"
            if seen is not None:
                after = f" after {seen.said.silence:.0f} s of silence" if seen.said.silence else ""
                self._lost = f"another process took this stage over{after}: {seen.said.holder}"
        raise LostClaimError(self._lost)

    def renew(self) -> None:
        """Give a sign of life, and see whether it came too late."""
        with self._mutex:
            if self._ended or self._lost:
                return
            self._beats += 1
            self._beat.put_bytes(str(self._beats).encode())
            with contextlib.suppress(LostClaimError):
                self.check()
                return
            self._beat.delete()

    def let_go(self) -> None:
        """Remove its objects, older ones first, so that the newest that is there was always held last."""
        with self._mutex:
            self._ended = True
            with contextlib.suppress(LostClaimError):
                self.check()
                for found in self.folder.listing():
                    if _generation_of(found) < self.generation:
                        found.location.delete()
                self._beat.delete()
                _place_of(self.folder, self.generation).delete()
                return
            self._beat.delete()


class Leases(Claims):
    """Claims that are leases.

    Args:
        root: Where the tables lie.
        lease_seconds: After how long without a sign of life a holder is taken to be dead.
        machine: A folder of this machine alone, on which locks hold: a holder of this machine that died is followed at once. None: there is none.
        clock: Seconds, from anywhere on; no other's clock is compared with it.
    """

    def __init__(
        self, root: Location, lease_seconds: float, machine: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._root = root
        self._lease_seconds = lease_seconds
        self._poll_seconds = min(lease_seconds / _LOOKS, _LONGEST_POLL_S)
        self._clock = clock
        self._alive = None if machine is None else Alive(machine)
        self._held: set[Lease] = set()
        self._changed = threading.Condition()
        self._renewing = False

    @contextmanager
    def _among_processes(self, key: str, waiting: Waiting) -> Iterator[Claim]:
        lease = self._acquired(self._root / FOLDER / key, waiting)
        with self._changed:
            self._held.add(lease)
            if not self._renewing:
                self._renewing = True
                threading.Thread(target=self._renew, daemon=True, name="leases").start()
        try:
            yield lease
        finally:
            with self._changed:
                self._held.discard(lease)
                self._changed.notify_all()
            with contextlib.suppress(UserError):  # a store that does not answer: it will be taken over
                lease.let_go()

    def _acquired(self, folder: Location, waiting: Waiting) -> Lease:
        """Hold a claim, once it is free or its holder is dead."""
        me, token, watch = Holder.here(), secrets.token_hex(8), _Watch(self._clock)
        alive = {} if self._alive is None else {"machine": self._alive.machine, "process": self._alive.process}
        while True:
            seen = seen_in(folder)
            if seen is None:
                generation, silence, why = 1, 0.0, ""
            elif seen.said.token == token:  # the answer to the request that wrote it was lost
                return Lease(folder, seen.generation, token, "")
            else:
                generation, silence = seen.generation + 1, watch.silence(seen)
                if self._alive is not None and self._alive.knows_dead(seen.said.machine, seen.said.process):
                    why = f"{seen.said.holder} has died"
                elif silence >= seen.said.lease_seconds:
                    why = f"{seen.said.holder} gave no sign of life for {silence:.0f} s"
                else:
                    waiting.told(seen.said.holder)
                    waiting.pause(self._poll_seconds)
                    continue
            said = _Said(me.host, me.pid, token, self._lease_seconds, silence, **alive)
            if not _place_of(folder, generation).put_if_absent(json.dumps(asdict(said)).encode()):
                continue
            now = seen_in(folder)
            if now is not None and now.said.token == token:
                return Lease(folder, generation, token, why)
            if now is not None and now.generation > generation:  # this had looked before it was written
                _place_of(folder, generation).delete()

    def _renew(self) -> None:
        """Renew what is held until nothing is; a store that does not answer is asked again, and a lease that is lost by then is seen to be lost."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._held, timeout=self._lease_seconds / _BEATS)
                if not self._held:
                    self._renewing = False
                    return
                held = [lease for lease in self._held if not lease.lost]
            for lease in held:
                with contextlib.suppress(UserError, OSError):
                    lease.renew()


def claims_of(root: Location, scratch: Path, lease_seconds: float) -> Claims:
    """The claims of a root.

    Args:
        root: Where the tables lie.
        scratch: A folder of this machine; below the root where that is a folder.
        lease_seconds: After how long without a sign of life a holder is taken to be dead, where claims are leases.
    """
    folder = scratch / "claims"
    local = locks_hold(folder)
    return Locks(folder) if local and not root.is_remote else Leases(root, lease_seconds, folder if local else None)


def seen_in(folder: Location) -> _Seen | None:
    """Who holds a claim now, None where nobody does.

    Args:
        folder: Where its objects lie.

    Raises:
        DataError: What lies there is no claim.
    """
    while True:
        listed = {found.location.name for found in folder.listing()}
        places = sorted(name for name in listed if name.endswith(".json"))
        if not places:
            return None
        place = folder / places[-1]
        try:
            said = _Said(**json.loads(place.read_bytes()))
            generation = int(places[-1].removesuffix(".json"))
            beat = _beat_of(folder, generation, said.token)
            # read, not listed: a file system that machines share shows old listings for a while, and what is read after it is opened is as it is
            return _Seen(generation, said, beat.read_bytes() if beat.name in listed else b"")
        except FileNotFoundError:  # let go of meanwhile
            continue
        except (ValueError, TypeError) as error:
            raise DataError(f"a damaged claim: {error}", where=place.uri, fix="delete it where no run is at work") from error


def _place_of(folder: Location, generation: int) -> Location:
    return folder / f"{generation:08d}.json"


def _beat_of(folder: Location, generation: int, token: str) -> Location:
    return folder / f"{generation:08d}-{token}.beat"


def _generation_of(found: Found) -> int:
    """The generation that an object of a claim is of."""
    return int(re.split(r"[.-]", found.location.name)[0])
