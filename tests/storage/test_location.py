"""Bytes: all or nothing, on disk and on S3; what can go wrong is said in words."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuedrift.errors import UserError
from valuedrift.storage.location import Location, path_part


@pytest.mark.parametrize(
    ("text", "uri"),
    [("s3://b/x/y/", "s3://b/x/y"), ("s3://b", "s3://b/"), ("/tmp/x", "/tmp/x"), ("file:///tmp/x", "/tmp/x")],
)
def test_addresses(text: str, uri: str) -> None:
    assert Location.parse(text).uri == uri
    assert Location.parse(Location.parse(text).uri) == Location.parse(text)


def test_relative_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Location.parse("here/there").path == str(tmp_path / "here" / "there")


@pytest.mark.parametrize("text", ["bogus://b/x", "http://", "s3://", "s3:///x", "", "file://"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(UserError):
        Location.parse(text)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=300))
def test_any_value_is_one_part_of_a_path(value: str) -> None:
    part = path_part(value.encode("utf-8", "replace").decode())
    assert "/" not in part
    assert part.strip(".")
    assert part.isascii()
    assert len(part) <= 180


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_different_values_have_different_parts(one: str, other: str) -> None:
    one, other = (text.encode("utf-8", "replace").decode() for text in (one, other))
    assert (one == other) == (path_part(one) == path_part(other))


def test_what_is_put_is_there_until_it_is_deleted(root: str) -> None:
    place = Location.parse(root) / "a/b c=%25"
    assert not place.exists()
    assert place.size() is None
    with pytest.raises(FileNotFoundError):
        place.read_bytes()
    place.put_bytes(b"one")
    place.put_bytes(b"other")
    assert place.read_bytes() == b"other"
    assert place.size() == 5
    assert [(found.location, found.size) for found in Location.parse(root).listing()] == [(place, 5)]
    place.delete()
    place.delete()
    assert Location.parse(root).listing() == []


def test_of_many_at_once_one_takes_a_name(root: str) -> None:
    place = Location.parse(root) / "guard"
    for turn in range(3):
        start = threading.Barrier(6)

        def take(number: int, start: threading.Barrier = start, turn: int = turn) -> bool:
            start.wait()
            return (place / str(turn)).put_if_absent(str(number).encode())

        with ThreadPoolExecutor(6) as pool:
            won = list(pool.map(take, range(6)))
        assert won.count(True) == 1
        assert (place / str(turn)).read_bytes() == str(won.index(True)).encode()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=False)


def test_a_full_disk_is_named_and_nothing_stays(tiny_disk: Path) -> None:
    place = Location.parse(tiny_disk / "root" / "x")
    place.put_bytes(b"small")
    for attempt in (place.put_bytes, Location.parse(tiny_disk / "root" / "z").put_if_absent):
        with pytest.raises(UserError, match=f"mounted at {tiny_disk} is full"):
            attempt(b"x" * 200_000)
    assert place.read_bytes() == b"small"
    assert sorted(path.name for path in (tiny_disk / "root").iterdir()) == ["x"]


def test_a_file_size_limit_leaves_nothing(tmp_path: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
        with pytest.raises(UserError, match="does not take a file of this size"):
            Location.parse(tmp_path / "x").put_bytes(b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_hard_links_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(UserError, match="no hard links"):
        Location.parse(tmp_path / "x").put_if_absent(b"")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        Location.parse(tmp_path / "root" / "x" / "y").put_bytes(b"")
    assert not (Location.parse(tmp_path / "root") / "x").exists()


def test_temporary_files_are_told_apart(tmp_path: Path) -> None:
    folder = Location.parse(tmp_path)
    (folder / "x.parquet").put_bytes(b"")
    (tmp_path / ".x.parquet.123-0a1b2c3d.tmp").write_bytes(b"half")
    assert [found.location.name for found in folder.listing()] == ["x.parquet"]
    assert [found.location.name for found in folder.leftovers()] == [".x.parquet.123-0a1b2c3d.tmp"]
    assert [path.name for path in tmp_path.glob("**/*.parquet")] == ["x.parquet"]
