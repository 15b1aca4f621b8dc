"""Writers at once, writers that sleep, writers that die: what a manifest promises holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stance_frames import stances_frame

from valuedrift.errors import DataError
from valuedrift.storage.location import Location
from valuedrift.storage.manifest import Address, Entry, Manifest
from valuedrift.storage.store import Store

_WRITER = """
import sys
sys.path[:0] = sys.argv[1:3]
from stance_frames import stances_frame
from valuedrift.storage.store import Store
store = Store(sys.argv[3])
print("ready", flush=True)
for number in range(int(sys.argv[4]), int(sys.argv[5])):
    store.put("stances", stances_frame(), partition={"study": "s", "run_id": "r", "step": number}, key=f"k{number}", identity={})
    print(number, flush=True)
"""


def _writer(root: str, first: int, last: int) -> subprocess.Popen[str]:
    folders = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, *folders, root, str(first), str(last)], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )


def _entry(number: int) -> Entry:
    return Entry("stances", {"study": "s", "run_id": "r", "step": number}, f"k{number}", f"p{number}", 1, 1, 2, "2026-11-01", "0", {})


def _add(manifest: Manifest, number: int) -> None:
    entry = _entry(number)
    manifest.commit(lambda entries: {**entries, entry.address: entry})


def test_threads_with_stores_of_their_own_lose_nothing(root: str) -> None:
    def write(first: int) -> None:
        store = Store(root)
        for number in range(first, first + 6):
            store.put("stances", stances_frame(), partition={"study": "s", "run_id": "r", "step": number}, key=f"k{number}", identity={})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, 24, 6)))
    assert sorted(int(entry.partition["step"]) for entry in Store(root).entries()) == list(range(24))
    assert Store(root).read("stances").height == 24 * stances_frame().height


@pytest.mark.slow
def test_processes_lose_nothing(root: str) -> None:
    writers = [_writer(root, first, first + 8) for first in (0, 8, 16)]
    assert [writer.wait(timeout=90) for writer in writers] == [0, 0, 0]
    assert sorted(int(entry.partition["step"]) for entry in Store(root).entries()) == list(range(24))


def test_two_writers_of_the_same_part_leave_one(root: str) -> None:
    def write(_: int) -> Entry:
        return Store(root).put("stances", stances_frame(), partition={"study": "s", "run_id": "r", "step": 0}, key="k", identity={})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(8)))
    assert Store(root).read("stances").height == stances_frame().height


def test_a_writer_that_slept_while_its_number_was_pruned_adds_again(tmp_path: Path) -> None:
    folder = Location.parse(tmp_path / "m")
    other, sleeper = Manifest(folder), Manifest(folder)
    _add(other, 0)
    slept = []

    def change(entries: dict[Address, Entry]) -> dict[Address, Entry]:
        if not slept:
            slept.append(True)
            for number in range(1, 21):
                _add(other, number)
        return {**entries, _entry(99).address: _entry(99)}

    sleeper.commit(change)
    assert {int(entry.partition["step"]) for entry in Manifest(folder).latest().entries.values()} == {*range(21), 99}


def test_old_snapshots_are_pruned_and_a_reader_in_between_finds_the_new_one(tmp_path: Path) -> None:
    folder = Location.parse(tmp_path / "m")
    manifest = Manifest(folder)
    for number in range(30):
        _add(manifest, number)
    assert len(folder.listing()) == 5
    assert len(Manifest(folder).latest(known_seq=3).entries) == 30  # a listing from before the pruning


def test_snapshots_survive_the_way_to_bytes_and_back(tmp_path: Path) -> None:
    manifest = Manifest(Location.parse(tmp_path / "m"))
    _add(manifest, 1)
    assert Manifest(Location.parse(tmp_path / "m")).latest() == manifest.cached


def test_a_damaged_snapshot_is_named(tmp_path: Path) -> None:
    folder = Location.parse(tmp_path / "m")
    _add(Manifest(folder), 1)
    (folder / "000000000001.json.gz").put_bytes(b"\x1f\x8b nonsense")
    with pytest.raises(DataError, match=r"000000000001\.json\.gz: damaged manifest"):
        Manifest(folder).latest()


@pytest.mark.slow
def test_killed_at_any_moment_nothing_partial_is_seen_and_the_next_writer_works(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    first = 0
    for delay in (0.0, 0.004, 0.011, 0.023):
        writer = _writer(root, first, first + 10_000)
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(3)]
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        done = [int(word) for word in (*lines[1:], *rest)]
        first = done[-1] + 1
        store = Store(root)
        steps = [int(entry.partition["step"]) for entry in store.entries()]
        assert set(range(first)) <= set(steps) <= set(range(first + 1))  # the last may be committed but not yet told
        assert store.read("stances").height == len(steps) * stances_frame().height
        assert all(store.exists(entry) for entry in store.entries())
