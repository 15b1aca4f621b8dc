"""The store on a real S3 server: the same bytes as on disk, and nothing lost when the server or the network fails."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from seaweed import BUCKET, Seaweed, running
from slow_proxy import in_front_of
from small_study import fill
from stance_frames import stances_frame

from valuedrift.errors import UserError
from valuedrift.storage import s3
from valuedrift.storage.location import Location, files_of
from valuedrift.storage.sql.catalog import Catalog
from valuedrift.storage.store import Store


def _put(store: Store, number: int) -> None:
    place = {"study": "s", "run_id": "r", "step": number}
    store.put("stances", stances_frame(), partition=place, key=f"k{number}", identity={"number": number})


def _fresh(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    """As a new process would start with this environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    files_of.cache_clear()


def test_the_same_bytes_lie_on_disk_and_on_s3(s3_root: str, tmp_path: Path) -> None:
    parts = []
    for store in (Store(tmp_path), Store(s3_root)):
        fill(store)
        parts.append(
            {
                found.location.relative_to(store.root): found.location.read_bytes()
                for found in store.root.listing()
                if found.location.name.endswith(".parquet")
            }
        )
    assert parts[0]
    assert parts[0] == parts[1]
    for table in ("stances", "responses", "drift", "probes"):
        assert Store(tmp_path).read(table).equals(Store(s3_root).read(table))
        assert Store(tmp_path).scan(table).collect().equals(Store(s3_root).scan(table).collect(), null_equal=True)


def test_reading_and_looking_up_list_next_to_nothing(s3_root: str, s3_server: Seaweed, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Store(s3_root))
    with in_front_of(s3_server.endpoint, list_delay_s=0.4) as proxy:
        _fresh(monkeypatch, AWS_ENDPOINT_URL=proxy.endpoint)
        started = time.monotonic()
        store = Store(s3_root)
        assert store.read("stances").height
        assert proxy.lists == 1
        assert store.find("stances", "s-dpo-gap-80-causal-lm")
        assert proxy.lists == 1  # seen before: no request
        with Catalog(store) as catalog:
            assert next(catalog.rows("SELECT count(*) FROM stances").rows)[0] == store.read("stances").height
        assert proxy.lists == 3
        assert time.monotonic() - started < 60


def test_a_commit_whose_answer_is_lost_is_recognised(s3_root: str, s3_server: Seaweed, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_front_of(s3_server.endpoint, swallow_commits=2) as proxy:
        _fresh(monkeypatch, AWS_ENDPOINT_URL=proxy.endpoint)
        store = Store(s3_root)
        for number in range(4):
            _put(store, number)
        assert proxy.swallowed == 2
    _fresh(monkeypatch, AWS_ENDPOINT_URL=s3_server.endpoint)
    entries = Store(s3_root).entries("stances")
    assert [entry.key for entry in entries] == ["k0", "k1", "k2", "k3"]
    assert len((Store(s3_root).root / "_manifests").listing()) == 4  # nothing was committed twice


@pytest.mark.slow
def test_a_server_killed_while_writing_and_started_again_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path / "weed") as server:
        _fresh(monkeypatch, **server.environment)
        root = f"s3://{BUCKET}/killed"
        done: list[int] = []
        errors: list[BaseException] = []

        def write(first: int) -> None:
            try:
                store = Store(root)
                for number in range(first, first + 12):
                    _put(store, number)
                    done.append(number)
            except BaseException as error:
                errors.append(error)

        writers = [threading.Thread(target=write, args=(first,)) for first in (0, 100)]
        for writer in writers:
            writer.start()
        _until(lambda: len(done) >= 5)
        server.kill()
        before = len(done)
        time.sleep(1.0)
        assert len(done) <= before + 1, "the server was not really gone"
        server.start()
        for writer in writers:
            writer.join(timeout=60)
        assert errors == []
        store = Store(root)
        assert {entry.partition["step"] for entry in store.entries("stances")} == {*range(12), *range(100, 112)}
        assert store.read("stances").height == 24 * stances_frame().height
        assert all(store.exists(entry) for entry in store.entries())


def test_a_child_that_was_forked_has_a_connection_of_its_own(s3_root: str) -> None:
    folder = Location.parse(s3_root)
    (folder / "0").put_bytes(b"parent")
    child = os.fork()
    if child == 0:  # bytes only: polars itself does not outlive a fork
        try:
            os._exit(0 if (folder / "0").read_bytes() == b"parent" and (folder / "1").put_if_absent(b"child") else 1)
        except BaseException:
            os._exit(99)
    (folder / "2").put_bytes(b"parent")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [found.location.read_bytes() for found in folder.listing()] == [b"parent", b"child", b"parent"]


def _until(condition: object, limit_s: float = 30) -> None:
    end = time.monotonic() + limit_s
    while not condition():  # type: ignore[operator]  # a lambda
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.01)


@pytest.mark.parametrize(
    "environment",
    [
        {"AWS_SECRET_ACCESS_KEY": "wrong"},
        {"AWS_ACCESS_KEY_ID": "nobody"},
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        {"AWS_PROFILE": "missing"},
    ],
)
def test_wrong_credentials_are_one_clear_message_at_once(
    s3_root: str, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    _fresh(monkeypatch, **environment)
    started = time.monotonic()
    for attempt in (
        lambda: Store(s3_root).read("stances"),
        lambda: _put(Store(s3_root), 0),
        lambda: Location.parse(f"{s3_root}/x").exists(),
    ):
        with pytest.raises(UserError, match=r"credentials|profile") as raised:
            attempt()
        assert "AWS_" in str(raised.value)
    assert time.monotonic() - started < 30


def test_a_missing_bucket_is_one_clear_message(s3_root: str) -> None:
    for attempt in (lambda: Store("s3://nowhere/x").read("stances"), lambda: _put(Store("s3://nowhere/x"), 0)):
        with pytest.raises(UserError, match="no bucket 'nowhere'"):
            attempt()


def test_no_server_is_one_clear_message_soon(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_FIRST_PATIENCE_S", 1.0)
    _fresh(monkeypatch, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached"):
        Store(s3_root).read("stances")
    _fresh(monkeypatch, AWS_ENDPOINT_URL="no url")
    with pytest.raises(UserError, match="no url"):
        Store(s3_root).read("stances")


def test_a_server_that_answered_another_process_is_given_time_to_restart(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_FIRST_PATIENCE_S": 0.1, "_PATIENCE_S": 10.0, "_known_to_answer": False}.items():
        monkeypatch.setattr(s3, name, value)
    _fresh(monkeypatch, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    waited = []
    for told in (lambda: None, lambda: None, s3.known_to_answer):
        told()
        begun = time.monotonic()
        with pytest.raises(UserError, match="cannot be reached"):
            Store(s3_root).read("stances")
        waited.append(time.monotonic() - begun)
    assert waited[2] > 10.0 > waited[1]  # the first loads the library too


def test_profiles_are_used(s3_root: str, s3_server: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = s3_server.environment
    (tmp_path / "credentials").write_text(
        f"[team]\naws_access_key_id = {environment['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {environment['AWS_SECRET_ACCESS_KEY']}\n"
    )
    (tmp_path / "config").write_text(f"[profile team]\nregion = us-east-1\nendpoint_url = {s3_server.endpoint}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    _fresh(
        monkeypatch, AWS_PROFILE="team", AWS_CONFIG_FILE=str(tmp_path / "config"), AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "credentials")
    )  # fmt: skip
    store = Store(s3_root)
    _put(store, 0)
    assert store.read("stances").height == store.scan("stances").collect().height > 0


def test_more_objects_than_a_page_of_a_listing(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_PAGE", 10)
    folder = Location.parse(s3_root)
    for number in range(25):
        (folder / f"{number:04d}").put_bytes(b"x")
    assert [found.location.name for found in folder.listing()] == [f"{number:04d}" for number in range(25)]


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_machine_whose_clock_is_an_hour_off_is_told_so_at_once(s3_root: str, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    from datetime import timedelta

    import botocore.auth

    right = botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: right() + timedelta(hours=hours))
    begun = time.monotonic()
    with pytest.raises(UserError, match="the clock of this machine and the one of the S3 server differ") as told:
        Location.parse(s3_root).reached()
    assert told.value.where and told.value.where.startswith(s3_root) and told.value.fix and "set the clock" in told.value.fix
    assert time.monotonic() - begun < 30, "it is not asked again for two minutes: no clock sets itself"
