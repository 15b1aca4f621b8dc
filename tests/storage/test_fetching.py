"""What lies in a bucket, at hand as a local file: on the real server, once, anew when it has changed, and never outside the folder for copies."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import pytest
import small_study
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stance_frames import stances_frame

from valuedrift.cache import CACHE_VARIABLE
from valuedrift.corpora.dataset import Dataset
from valuedrift.errors import DataError, UserError
from valuedrift.flows.cli.app import parquet_bytes
from valuedrift.storage.check_tables import check
from valuedrift.storage.compaction import compact
from valuedrift.storage.fetching import at_hand, fetched, is_copy, place_of_copy, sent
from valuedrift.storage.location import Location
from valuedrift.storage.parquet_files import find_parquet, scan_parquet
from valuedrift.storage.schemas import TABLES
from valuedrift.storage.sql.catalog import Catalog
from valuedrift.storage.store import Store
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.sources import probes_of, rows_of
from valuedrift.tasks.work import Work


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
    with pytest.raises(UserError, match="no storage for bogus://"):
        fetched("bogus://bucket/x.csv")


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


def test_patterns_lists_and_saved_folders_in_a_bucket(s3_root: str, tmp_path: Path) -> None:
    row = '{"prompt": "%s?", "response": "Yes."}\n'
    for name in ("rows-2.jsonl", "rows-1.jsonl", "deep/rows-3.jsonl", "other.jsonl"):
        put(f"{s3_root}/data/{name}", row % name)
    saved = datasets.Dataset.from_list([{"prompt": f"s{number}?", "response": "Yes."} for number in range(4)])
    saved.save_to_disk(tmp_path / "saved")
    for file in (tmp_path / "saved").iterdir():
        Location.parse(f"{s3_root}/saved/{file.name}").put_bytes(file.read_bytes())

    def prompts(**dataset: Any) -> list[str]:
        return [row["prompt"].removesuffix("?") for row in rows_of(Dataset(**dataset), "sft").rows]

    assert prompts(data=f"{s3_root}/data/rows-*.jsonl") == ["rows-1.jsonl", "rows-2.jsonl"]
    assert sorted(prompts(data=f"{s3_root}/data/**/rows-[0-9].jsonl")) == ["deep/rows-3.jsonl", "rows-1.jsonl", "rows-2.jsonl"]
    assert prompts(data=[f"{s3_root}/data/other.jsonl", f"{s3_root}/data/rows-1.jsonl"]) == ["other.jsonl", "rows-1.jsonl"]
    assert prompts(data=f"{s3_root}/saved", split="train[1:3]") == ["s1", "s2"]
    parts = [{"data": f"{s3_root}/saved", "weight": 0.5}, {"data": f"{s3_root}/data/rows-?.jsonl", "weight": 0.5}]
    assert rows_of(Dataset(mixture=parts), "sft").parts == (2, 2)
    with pytest.raises(UserError, match="no object fits this pattern") as caught:
        prompts(data=f"{s3_root}/data/*.csv")
    assert caught.value.where == f"{s3_root}/data/*.csv"
    put(f"{s3_root}/data/rows-[1].jsonl", row % "marked")
    assert prompts(data=f"{s3_root}/data/rows-[1].jsonl") == ["marked"]


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
    from valuedrift.storage.location import files_of

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    files_of.cache_clear()
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


@pytest.fixture
def memory() -> Iterator[str]:
    """A prefix of the store in memory, which fsspec brings along."""
    files = MemoryFileSystem()
    files.pipe_file("/far/data/rows.jsonl", b"one")
    files.pipe_file("/far/data/deep/more.jsonl", b"two")
    yield "memory://far/data"
    files.rm("/far", recursive=True)


def test_whatever_fsspec_reaches_is_brought_here(memory: str) -> None:
    with at_hand(f"{memory}/rows.jsonl") as path:
        assert (path.name, path.read_text()) == ("rows.jsonl", "one") and is_copy(path)
    MemoryFileSystem().pipe_file("/far/data/rows.jsonl", b"two")
    assert fetched(f"{memory}/rows.jsonl").read_text() == "two"
    with at_hand(memory, folder=True) as folder:
        assert {str(file.relative_to(folder)) for file in folder.rglob("*.jsonl")} == {"rows.jsonl", "deep/more.jsonl"}
    with pytest.raises(UserError, match="nothing at this address"):
        fetched(f"{memory}/none.jsonl")
    assert [(found.location.uri, found.size) for found in Location.parse(memory).listing()] == [
        ("memory://far/data/deep/more.jsonl", 3),
        ("memory://far/data/rows.jsonl", 3),
    ]


def test_a_study_names_data_in_any_store(memory: str) -> None:
    MemoryFileSystem().pipe_file("/far/data/rows.jsonl", b'{"prompt": "Question?", "completion": "Answer."}\n')
    assert "Answer." in str(rows_of(Dataset(data=f"{memory}/rows.jsonl"), "sft").rows)
    MemoryFileSystem().pipe_file("/far/probes.csv", b"prompt_id,topic,prompt\np,law,Should we?\n")
    assert [probe.prompt for probe in probes_of("memory://far/probes.csv")] == ["Should we?"]


def test_a_file_of_the_web_is_read_and_its_signature_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("one")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        path = fetched(f"{address}/a.csv?signature=secret")
        assert path.read_text() == "one" and "secret" not in str(path)
        with pytest.raises(UserError) as caught:
            fetched(f"{address}/none.csv?signature=secret")
        server.shutdown()
    assert "none.csv" in str(caught.value) and "secret" not in str(caught.value)


def test_a_file_of_the_web_that_is_refused_shows_no_signature() -> None:
    class Refuses(SimpleHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(403)

        def do_GET(self) -> None:
            self.send_error(403)

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/a.csv?signature=secret"
        with pytest.raises(UserError) as caught:
            fetched(address)
        server.shutdown()
    assert "a.csv" in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("bogus://b/x.csv", "no storage for bogus://"),
        ("dropbox://b/x.csv", "dropbox:// is not installed.*dropboxdrivefs"),
        ("sftp://ann:secret@host/x.csv", "a password in it"),
    ],
)
def test_a_store_that_cannot_be_reached_is_one_message(address: str, message: str) -> None:
    for attempt in (lambda: fetched(address), lambda: rows_of(Dataset(data=address), "sft"), lambda: Location.parse(address).reached()):
        with pytest.raises(UserError, match=message) as caught:
            attempt()
        assert "secret" not in str(caught.value)


def test_other_stores_are_never_written_to(memory: str) -> None:
    place = Location.parse(f"{memory}/new")
    for attempt in (
        lambda: place.put_bytes(b""),
        lambda: place.put_if_absent(b""),
        lambda: Location.parse(f"{memory}/rows.jsonl").delete(),
        lambda: place.reached(),
        lambda: sent(place.uri).__enter__(),
        lambda: Work(place.uri, Runtime()).local,
        lambda: Store(place.uri).put("stances", stances_frame(), partition={"study": "s", "run_id": "r", "step": 0}, key="k", identity={}),
    ):
        with pytest.raises(UserError, match=r"memory:// can only be read here.*\(write to a folder or to s3://"):
            attempt()
    assert not place.exists() and Location.parse(f"{memory}/rows.jsonl").exists()


def test_a_root_in_another_store_can_be_read(tmp_path: Path) -> None:
    near = Store(tmp_path / "root")
    small_study.fill(near)
    compact(near, small_study.STUDY, "dpo-gap")
    files = MemoryFileSystem()
    files.put(str(tmp_path / "root"), "/copied", recursive=True)
    far = Store("memory://copied")
    for table in TABLES:
        assert far.read(table).equals(near.read(table), null_equal=True), table
        assert far.scan(table).collect().equals(near.scan(table).collect(), null_equal=True), table
    query = "FROM value_profile ORDER BY ALL"
    with Catalog(near) as here, Catalog(far) as there:
        assert here.frame(query).equals(there.frame(query), null_equal=True)
    assert check(far) == []
    files.pipe_file("/copied/strange/run_id=a/step=3/x.parquet", parquet_bytes(stances_frame().drop("step", strict=False)))
    found = find_parquet("memory://copied/strange/**/*.parquet")
    assert scan_parquet(found, ["run_id", "step", "p_support"]).collect()["step"].unique().to_list() == [3]
    files.rm("/copied", recursive=True)
