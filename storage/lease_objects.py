"""The objects that a lease is: where they lie, what they say, and how long one has been silent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from valuedrift.errors import DataError
from valuedrift.storage.claims import Holder
from valuedrift.storage.location import Found, Location

FOLDER = "_claims"
_BLIND = 0.5
"""Share of a lease without a look after which watching starts again: the store, or who watches, was away, and a living holder could not show itself."""


@dataclass(frozen=True)
class Said:
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
class Seen:
    """A claim as it lies there.

    Attributes:
        generation: The newest.
        said: What its holder wrote into it.
        beat: What its holder renewed it with last; empty before the first time.
    """

    generation: int
    said: Said
    beat: bytes

    @property
    def state(self) -> tuple[int, str, bytes]:
        """Differs whenever its holder gave a sign of life."""
        return self.generation, self.said.token, self.beat


class Watch:
    """How long a holder has been silent, by the clock of who waits."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._state: tuple[int, str, bytes] | None = None
        self._since = self._looked = 0.0

    def silence(self, seen: Seen) -> float:
        """Seconds that the claim was seen as it is now, without a gap."""
        now = self._clock()
        if seen.state != self._state or now - self._looked > seen.said.lease_seconds * _BLIND:
            self._state, self._since = seen.state, now
        self._looked = now
        return now - self._since


def seen_in(folder: Location) -> Seen | None:
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
            said = Said(**json.loads(place.read_bytes()))
            generation = int(places[-1].removesuffix(".json"))
            beat = beat_of(folder, generation, said.token)
            # read, not listed: a file system that machines share shows old listings for a while, and what is read after it is opened is as it is
            return Seen(generation, said, beat.read_bytes() if beat.name in listed else b"")
        except FileNotFoundError:  # let go of meanwhile
            continue
        except (ValueError, TypeError) as error:
            raise DataError(f"a damaged claim: {error}", where=place.uri, fix="delete it where no run is at work") from error


def place_of(folder: Location, generation: int) -> Location:
    """The object that says who holds a claim."""
    return folder / f"{generation:08d}.json"


def beat_of(folder: Location, generation: int, token: str) -> Location:
    """The object that a holder renews."""
    return folder / f"{generation:08d}-{token}.beat"


def generation_of(found: Found) -> int:
    """The generation that an object of a claim is of."""
    return int(re.split(r"[.-]", found.location.name)[0])
