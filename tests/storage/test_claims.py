"""Claims: one holds, the others wait; who dies is followed, who only slept commits nothing. On a folder and on a real S3 server."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stance_frames import stances_frame

from valuedrift.errors import DataError, StageError
from valuedrift.fingerprint import fingerprint
from valuedrift.storage.claims import Claims, Holder, Locks, LostClaimError, Waiting, locks_hold
from valuedrift.storage.lease_objects import FOLDER, Said, Seen, Watch, seen_in
from valuedrift.storage.leases import Lease, Leases, claims_of
from valuedrift.storage.location import Location
from valuedrift.storage.part import Part
from valuedrift.storage.store import Store

LEASE_S = 2.0
PLACE = {"study": "s", "run_id": "r", "step": 1}


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """Where leases lie: a folder, as on a file system that machines share, and a bucket."""
    return Location.parse(tmp_path / "root" if request.param == "folder" else request.getfixturevalue("s3_root"))


def leases(root: Location, machine: Path | None = None, seconds: float = LEASE_S) -> Leases:
    return Leases(root, seconds, machine)


def objects(root: Location) -> list[str]:
    return [found.location.name for found in (root / FOLDER).listing()]


def no_waiting() -> Waiting:
    """For who must get it at once."""

    def told(holder: Holder | None) -> None:
        raise AssertionError(f"held by {holder}")

    return Waiting(told=told)


def _hold(make: Callable[[], Claims], name: str, held: Any, until: Any) -> None:
    """A process that holds a claim until it is told to end."""
    with make().claim(name, Waiting()):
        held.set()
        until.wait(300)


class _Maker:
    """Makes claims in another process."""

    def __init__(self, root: str, machine: str | None) -> None:
        self.root = root
        self.machine = machine

    def __call__(self) -> Claims:
        return leases(Location.parse(self.root), None if self.machine is None else Path(self.machine))


class _LockMaker(_Maker):
    def __call__(self) -> Claims:
        return Locks(Path(self.root))


@pytest.fixture
def holding() -> Iterator[Callable[[Callable[[], Claims]], Any]]:
    """Starts a process that holds the claim ``x``."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as ending:

        def start(make: Callable[[], Claims]) -> Any:
            held, until = context.Event(), context.Event()
            process = context.Process(target=_hold, args=(make, "x", held, until))
            process.start()

            def end() -> None:
                process.kill()
                process.join()

            ending.callback(end)
            assert held.wait(240)
            return process

        yield start


def test_one_thread_holds_and_nothing_is_left(root: Location, tmp_path: Path) -> None:
    inside, most, lock = 0, 0, threading.Lock()
    many = [leases(root), leases(root), Locks(tmp_path / "locks")]

    def work(claims: Claims) -> None:
        nonlocal inside, most
        with claims.claim("x", Waiting()):
            if isinstance(claims, Locks):
                return
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work, args=(claims,)) for claims in many for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert most == 1
    assert objects(root) == []
    assert list((tmp_path / "locks").iterdir()) == []


@pytest.mark.parametrize("maker", [_LockMaker, _Maker])
def test_who_waits_is_told_of_the_holder(maker: type[_Maker], holding: Callable[..., Any], tmp_path: Path) -> None:
    make = maker(str(tmp_path), None)
    process = holding(make)
    told: list[Holder | None] = []
    stopped = threading.Event()

    def look(holder: Holder | None) -> None:
        told.append(holder)
        stopped.set()

    with pytest.raises(StageError, match="stopped before it began"), make().claim("x", Waiting(stopped, look)):
        raise AssertionError
    assert told == [Holder(Holder.here().host, process.pid)]


def test_threads_of_one_run_are_not_told_of_another_process(tmp_path: Path) -> None:
    held: list[Claims] = []

    def hold(claims: Claims) -> None:
        with claims.claim("x", no_waiting()):
            held.append(claims)

    for claims in (Locks(tmp_path / "locks"), leases(Location.parse(tmp_path))):
        second = threading.Thread(target=hold, args=(claims,))
        with claims.claim("x", no_waiting()):
            second.start()
            second.join(0.5)
            assert second.is_alive()
        second.join(10)
        assert held.pop() is claims


def test_a_lock_of_the_dead_is_free_at_once(holding: Callable[..., Any], tmp_path: Path) -> None:
    make = _LockMaker(str(tmp_path), None)
    process = holding(make)
    process.kill()
    process.join()
    with make().claim("x", no_waiting()):
        pass


def test_a_lease_of_the_dead_is_taken_over_after_its_length_and_at_once_on_its_own_machine(
    root: Location, holding: Callable[..., Any], tmp_path: Path
) -> None:
    machine = tmp_path / "machine"
    process = holding(_Maker(root.uri, str(machine)))
    process.kill()
    process.join()
    began = time.monotonic()
    with leases(root).claim("x", Waiting()) as claim:  # another machine
        took = time.monotonic() - began
        assert LEASE_S <= took < LEASE_S + 30
        assert f"process {process.pid} on" in claim.taken_over and "gave no sign of life for 2 s" in claim.taken_over
    assert objects(root) == []
    process = holding(_Maker(root.uri, str(machine)))
    with pytest.raises(AssertionError, match="held by"), leases(root, machine).claim("x", no_waiting()):
        pass
    process.kill()
    process.join()
    with leases(root, machine).claim("x", no_waiting()) as claim:
        assert claim.taken_over == f"process {process.pid} on {Holder.here().host} has died"
    assert objects(root) == []
    assert len(list(machine.iterdir())) <= 3  # locks of the dead are swept away


def test_a_living_holder_keeps_it_however_long_it_works_and_whatever_the_clocks_show(
    root: Location, holding: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    holding(_Maker(root.uri, None))
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + 300)  # five minutes ahead of the holder's
    stopped = threading.Event()
    threading.Timer(2 * LEASE_S, stopped.set).start()
    with pytest.raises(StageError, match="stopped"), leases(root).claim("x", Waiting(stopped)):
        raise AssertionError("taken from the living")


def _put(store: Store, check: Callable[[], None], key: str = "k") -> None:
    store.put_all([Part("stances", stances_frame(), PLACE, key, {})], check)


def test_who_slept_too_long_commits_nothing(root: Location) -> None:
    slept = leases(root)
    slept._renew = lambda: None  # type: ignore[method-assign]  # as if it were stopped
    store = Store(root.uri)
    with slept.claim("x", Waiting()) as old:
        old.check()
        with leases(root).claim("x", Waiting()) as new:
            Store(root.uri).fence("s")
            with pytest.raises(LostClaimError, match=rf"after 2 s of silence: process {os.getpid()} on"):
                _put(store, old.check)
            assert old.lost and not new.lost
            assert store.entries() == []
            _put(Store(root.uri), new.check)
        with pytest.raises(LostClaimError):
            _put(store, old.check, "other")
    assert objects(root) == []
    assert [entry.key for entry in Store(root.uri).entries()] == ["k"]


def test_who_slept_between_its_look_and_its_commit_commits_nothing(root: Location) -> None:
    slept = leases(root)
    slept._renew = lambda: None  # type: ignore[method-assign]
    store = Store(root.uri)
    asked = 0
    with slept.claim("x", Waiting()) as old, ExitStack() as other:

        def look_and_sleep() -> None:
            nonlocal asked
            old_lost = asked
            asked += 1
            old.check()
            if not old_lost:
                other.enter_context(leases(root).claim("x", Waiting()))
                Store(root.uri).fence("s")

        with pytest.raises(LostClaimError):
            _put(store, look_and_sleep)
    assert asked == 2
    assert Store(root.uri).entries() == []


def test_who_slept_until_all_was_over_sees_it_even_if_the_name_is_claimed_anew(root: Location) -> None:
    slept = leases(root)
    slept._renew = lambda: None  # type: ignore[method-assign]
    with slept.claim("x", Waiting()) as old:
        with leases(root).claim("x", Waiting()):
            pass
        assert seen_in((root / FOLDER) / fingerprint("x")) is None
        with leases(root).claim("x", Waiting()) as third:
            assert isinstance(third, Lease) and third.generation == 1
            with pytest.raises(LostClaimError, match="took this stage over"):
                old.check()
            third.check()


def test_the_heartbeat_sees_that_it_comes_too_late(root: Location, holding: Callable[..., Any]) -> None:
    claims = leases(root)
    with claims.claim("x", Waiting()) as old:
        place = root / FOLDER / fingerprint("x")
        said = {"host": "elsewhere", "pid": 7, "token": "t", "lease_seconds": 1.0, "silence": 61.0}
        (place / "00000002.json").put_bytes(json.dumps(said).encode())
        end = time.monotonic() + 20
        while not old.lost:
            assert time.monotonic() < end
            time.sleep(0.02)
        with pytest.raises(LostClaimError, match="after 61 s of silence: process 7 on elsewhere"):
            old.check()


def test_of_many_that_take_over_one_wins(root: Location) -> None:
    place = root / FOLDER / fingerprint("x")
    (place / "00000041.json").put_bytes(json.dumps({"host": "gone", "pid": 1, "token": "t", "lease_seconds": LEASE_S}).encode())
    holders: list[int] = []
    inside, together = 0, threading.Barrier(6)
    lock = threading.Lock()

    def take() -> None:
        nonlocal inside
        claims = leases(root)
        together.wait()
        with claims.claim("x", Waiting()) as claim:
            assert isinstance(claim, Lease)
            with lock:
                inside += 1
                assert inside == 1
                holders.append(claim.generation)
            time.sleep(0.05)
            claim.check()
            with lock:
                inside -= 1

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert len(holders) == 6 and holders[0] == 42
    assert objects(root) == []


def seen(generation: int, token: str, beat: int) -> Seen:
    return Seen(generation, Said("h", 1, token, 60.0), str(beat).encode())


@given(st.lists(st.tuples(st.floats(0.1, 25.0), st.booleans()), min_size=1, max_size=60), st.floats(-1e6, 1e6))
@settings(deadline=None)
def test_only_silence_that_was_watched_counts(looks: list[tuple[float, bool]], start: float) -> None:
    """Whatever the clock of who waits shows: nobody is taken to be dead who gave a sign of life within a lease, and the silent are, by one look after it."""
    now, beat, beaten = start, 0, start
    watch = Watch(lambda: now)
    watch.silence(seen(1, "t", beat))
    for passed, alive in looks:
        now += passed
        if alive:
            beat, beaten = beat + 1, now
        silence = watch.silence(seen(1, "t", beat))
        assert silence <= now - beaten + 1e-6
        assert alive == (silence == 0.0)


def test_time_in_which_nobody_could_look_does_not_count() -> None:
    now = 0.0
    watch = Watch(lambda: now)
    for now in (0.0, 20.0, 40.0, 59.0):  # noqa: B007
        silence = watch.silence(seen(1, "t", 1))
    assert silence == 59.0
    now = 300.0  # the store was away, or this machine slept: the holder could not show itself either
    assert watch.silence(seen(1, "t", 1)) == 0.0


def test_a_file_system_that_machines_share_has_leases(tmp_path: Path) -> None:
    assert locks_hold(tmp_path)
    assert locks_hold(tmp_path, [("/", "ext4"), ("/elsewhere", "nfs4")])
    for kind in ("nfs", "nfs4", "cifs", "fuse.sshfs", "lustre"):
        assert not locks_hold(tmp_path, [("/", "ext4"), (os.path.realpath(tmp_path), kind)])
    assert isinstance(claims_of(Location.parse(tmp_path), tmp_path / ".scratch", 60), Locks)
    assert isinstance(claims_of(Location.parse("s3://bucket/x"), tmp_path / ".scratch", 60), Leases)


def test_where_it_cannot_be_told_whether_locks_hold_nobody_takes_leases_beside_them(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError) as told:
            locks_hold(tmp_path, [("/", "ext4")])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert told.value.errno == errno.EMFILE


def test_a_folder_that_cannot_be_written_to_any_more_hides_no_fault_and_frees_the_lock(tmp_path: Path) -> None:
    locks = Locks(tmp_path / "claims")
    with pytest.raises(StageError, match="the fault of the block"), locks.claim("x", no_waiting()):
        shutil.rmtree(tmp_path / "claims")
        (tmp_path / "claims").touch()  # nothing can be removed below it, as on a disk that has become read-only
        raise StageError("the fault of the block")
    (tmp_path / "claims").unlink()
    with locks.claim("x", no_waiting()):
        pass


def test_what_is_no_claim_is_told(tmp_path: Path) -> None:
    root = Location.parse(tmp_path)
    place = root / FOLDER / fingerprint("x") / "00000001.json"
    for content in (b"{", b"[]", b'{"host": "h"}'):
        place.put_bytes(content)
        with pytest.raises(DataError, match="damaged claim"), leases(root).claim("x", Waiting()):
            raise AssertionError
