"""What lies in a bucket, at hand as a local file: on the real server, once, anew when it has changed, and never outside the folder for copies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valuedrift.cache import CACHE_VARIABLE
from valuedrift.errors import DataError, UserError
from valuedrift.storage.fetching import at_hand, fetched, is_copy, place_of_copy, sent
from valuedrift.storage.location import Location


def put(address: str, text: str) -> str:
    Location.parse(address).put_bytes(text.encode())
    return address


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies go into a cache of the test's own."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_local_path_stays_what_it_is(tmp_path: Path) -> None:
    for address in (str(tmp_path / "x.csv"), "beside/x.csv"):
        with at_hand(address) as path:
            assert path == Path(address) and not is_copy(path)
    assert fetched(f"file://{tmp_path}/x.csv") == tmp_path / "x.csv"
    with pytest.raises(UserError, match="no storage for gs://"):
        fetched("gs://bucket/x.csv")


def test_a_file_is_copied_once_and_again_when_its_bytes_have_changed(s3_root: str, cache: Path) -> None:
    address = put(f"{s3_root}/data/a.csv", "one")
    with at_hand(address) as path:
        assert (path.name, path.read_text()) == ("a.csv", "one") and is_copy(path)
    written = path.stat().st_mtime_ns
    assert fetched(address) == path and path.stat().st_mtime_ns == written
    put(address, "two")  # of the same size, within the same second
    assert fetched(address).read_text() == "two" and fetched(address) != path
    put(address, "one")
    assert fetched(address) == path and path.read_text() == "one"
    assert not list(cache.rglob("*.part"))


def test_a_folder_is_copied_where_one_may_be_meant(s3_root: str) -> None:
    put(f"{s3_root}/data/a.csv", "one")
    put(f"{s3_root}/data/deep/b.csv", "two")
    Location("s3", s3_root.split("/")[2], f"{s3_root.split('/')[3]}/data/deep/").put_bytes(b"")  # as consoles mark folders
    with at_hand(f"{s3_root}/data/", folder=True) as path:
        assert {str(file.relative_to(path)): file.read_text() for file in path.rglob("*.csv")} == {"a.csv": "one", "deep/b.csv": "two"}
        assert path.name == "data"
    with pytest.raises(UserError, match=r"a folder where a file is needed \(e\.g\. .*/data/a\.csv\)"):
        fetched(f"{s3_root}/data")
    with pytest.raises(UserError, match="nothing at this address"):
        fetched(f"{s3_root}/dat", folder=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["..", ".", "", "a", "b.txt", "...", "c\\d", " "]), min_size=1, max_size=6).map("/".join))
def test_no_key_of_a_stranger_leads_out_of_the_folder_for_copies(key: str) -> None:
    folder = Path("/cache/stamp")
    try:
        copy = folder / place_of_copy(Location("s3", "b", key))
    except UserError:
        assert {"..", ".", ""} & set(key.split("/"))
        return
    assert Path(os.path.normpath(copy)) == copy and copy.is_relative_to(folder / "b") and copy != folder / "b"


def test_an_address_that_climbs_is_refused(s3_root: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        fetched(f"{s3_root}/../../../x.txt")
    assert not list(tmp_path.rglob("*.txt"))


def test_errors_name_the_address_and_not_the_copy(s3_root: str) -> None:
    with pytest.raises(UserError, match="nothing at this address") as caught, at_hand(f"{s3_root}/none.csv"):
        pass
    assert caught.value.where == f"{s3_root}/none.csv"
    put(f"{s3_root}/empty.jsonl", "")
    with pytest.raises(DataError) as fault, at_hand(f"{s3_root}/empty.jsonl") as path:
        raise DataError("is empty", where=f"{path}, line 1", fix="write something")
    assert (fault.value.where, fault.value.fix) == (f"{s3_root}/empty.jsonl, line 1", "write something")


@pytest.mark.parametrize(
    ("environment", "address", "message"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "S3/x.csv", "refuses these credentials"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "S3/x.csv", "no usable AWS credentials"),
        ({}, "s3://nowhere/x.csv", "no bucket 'nowhere'"),
        ({}, "s3://", "without a bucket"),
    ],
)
def test_what_is_wrong_with_the_bucket_is_said_for_reading_and_for_writing(
    s3_root: str, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], address: str, message: str
) -> None:
    from valuedrift.storage import location

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    location._backend.cache_clear()
    for attempt in (lambda: fetched(address.replace("S3", s3_root)), lambda: sent(address.replace("S3", s3_root)).__enter__()):
        with pytest.raises(UserError, match=message):
            attempt()


def test_a_folder_is_sent_when_it_is_whole_and_not_before(s3_root: str, tmp_path: Path) -> None:
    for address in (f"{s3_root}/judge", str(tmp_path / "judge")):
        with sent(address) as folder:
            folder.mkdir(exist_ok=True)
            (folder / "a.json").write_text("a")
            (folder / "deep").mkdir()
            (folder / "deep" / "b.bin").write_bytes(b"\0b")
        there = Location.parse(address)
        assert {one.location.relative_to(there): one.location.read_bytes() for one in there.listing()} == {
            "a.json": b"a",
            "deep/b.bin": b"\0b",
        }
    with pytest.raises(RuntimeError), sent(f"{s3_root}/other") as folder:
        folder.mkdir()
        (folder / "a.json").write_text("a")
        raise RuntimeError
    assert not Location.parse(f"{s3_root}/other").listing()
