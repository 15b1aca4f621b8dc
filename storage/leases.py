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
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from valuedrift.errors import UserError
from valuedrift.storage.claims import Alive, Claim, Claims, Holder, Locks, LostClaimError, Waiting, locks_hold
from valuedrift.storage.lease_objects import FOLDER, Said, Watch, beat_of, generation_of, place_of, seen_in
from valuedrift.storage.location import Location

_BEATS = 4
"""How often a lease is renewed in its length."""
_LOOKS = 30
"""How often who waits looks in the length of a lease."""
_LONGEST_POLL_S = 2.0


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
        self._beat = beat_of(folder, generation, token)
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
        """Give a sign of life."""
        with self._mutex:
            if not self._ended:
                self._beats += 1
                self._beat.put_bytes(str(self._beats).encode())

    def see_whether_lost(self) -> None:
        """Ask whether it is still held, to know it from now on."""
        with self._mutex:
            if not self._ended:
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
                    if generation_of(found) < self.generation:
                        found.location.delete()
                self._beat.delete()
                place_of(self.folder, self.generation).delete()
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
        me, token, watch, why = Holder.here(), secrets.token_hex(8), Watch(self._clock), ""
        alive = {} if self._alive is None else {"machine": self._alive.machine, "process": self._alive.process}
        while True:
            seen = seen_in(folder)
            if seen is None:
                generation, silence, why = 1, 0.0, ""
            elif seen.said.token == token:  # the answer to the request that wrote it was lost
                return Lease(folder, seen.generation, token, why)
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
            said = Said(me.host, me.pid, token, self._lease_seconds, silence, **alive)
            if not place_of(folder, generation).put_if_absent(json.dumps(asdict(said)).encode()):
                continue
            now = seen_in(folder)
            if now is not None and now.said.token == token:
                return Lease(folder, generation, token, why)
            if now is not None and now.generation > generation:  # this had looked before it was written
                place_of(folder, generation).delete()

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
            with contextlib.suppress(UserError, OSError):  # one listing for all
                newest = {found.location.beside("").path: generation_of(found) for found in (self._root / FOLDER).listing()}
                for lease in held:
                    if newest.get((lease.folder / "").path) != lease.generation:
                        lease.see_whether_lost()


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
