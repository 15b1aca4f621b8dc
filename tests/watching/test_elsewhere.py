"""Series that lie in a bucket or as revisions of a model on the hub: on a real S3 server, and in the layout that the hub's own cache has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from small_checkpoints import at_work, checkpoint

from valuedrift.errors import UserError
from valuedrift.storage.location import Location


def put(folder: Path, address: str) -> None:
    for path in folder.iterdir():
        (Location.parse(address) / path.name).put_bytes(path.read_bytes())


def test_a_bucket_is_followed_as_a_folder_is(tmp_path: Path, s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUEDRIFT_CACHE", str(tmp_path / "cache"))
    watched = at_work(tmp_path, f"{s3_root}/run", quiet_seconds=0)
    assert not watched.look(patient=True).whole, "nothing is there yet"
    for step in (2, 10):
        put(checkpoint(tmp_path / f"checkpoint-{step}", seed=step), f"{s3_root}/run/checkpoint-{step}")
    put(tmp_path / "checkpoint-2", f"{s3_root}/run/logs")
    sighting = watched.look(patient=False)
    assert list(sighting.whole) == [2, 10] and sighting.length == 40
    local = at_work(tmp_path, f"{tmp_path}/checkpoint-*").look(patient=False)
    for step, one in sighting.whole.items():
        assert one.fingerprint() == local.whole[step].fingerprint()
        assert one.name == f"{s3_root}/run/checkpoint-{step}"
    by_pattern = at_work(tmp_path, f"{s3_root}/run/checkpoint-1*").look(patient=False)
    assert list(by_pattern.whole) == [10]


def test_single_checkpoints_in_a_bucket_are_found_as_in_folders(tmp_path: Path, s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUEDRIFT_CACHE", str(tmp_path / "cache"))
    places = [f"{s3_root}/run/{name}" for name in ("checkpoint-1", "checkpoint-10", "final")]
    for number, place in enumerate(places):
        put(checkpoint(tmp_path / str(number), seed=number), place)
    (Location.parse(places[1]) / "global_step10" / "shard.pt").put_bytes(b"x")
    put(tmp_path / "0", f"{places[2]}/checkpoint-3")
    for source, steps in (
        (places[1], [10]),
        (places[:2], [1, 10]),
        ({0: places[0], 5: places[1], 9: places[2]}, [0, 5, 9]),
        (places[2], [3]),
        (f"{s3_root}/run", [1, 10]),
    ):
        sighting = at_work(tmp_path, source).look(patient=False)
        assert list(sighting.whole) == steps and not sighting.broken, source
    assert at_work(tmp_path, {5: places[2]}).look(patient=False).whole[5].name == places[2]


def test_what_is_half_written_in_a_bucket_is_waited_for(tmp_path: Path, s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUEDRIFT_CACHE", str(tmp_path / "cache"))
    folder = checkpoint(tmp_path / "checkpoint-2")
    (Location.parse(f"{s3_root}/run/checkpoint-2") / "config.json").put_bytes(b"{}")
    watched = at_work(tmp_path, f"{s3_root}/run", quiet_seconds=0)
    assert list(watched.look(patient=False).waiting) == [f"{s3_root}/run/checkpoint-2"]
    put(folder, f"{s3_root}/run/checkpoint-2")
    assert list(watched.look(patient=False).whole) == [2]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub with a model of three revisions and one that is no step."""
    from huggingface_hub import constants

    place = tmp_path / "hub" / "models--org--name"
    (place / "refs").mkdir(parents=True)
    for revision in ("step1000-tokens4B", "step2000-tokens8B", "step10000-tokens42B", "main"):
        commit = hashlib.sha1(revision.encode()).hexdigest()
        checkpoint(place / "snapshots" / commit, state=False, seed=len(revision))
        (place / "refs" / revision).write_text(commit, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return place


def test_revisions_of_a_model_are_one_series(hub: Path, tmp_path: Path) -> None:
    sighting = at_work(tmp_path, "hf:org/name@step*").look(patient=True)
    assert list(sighting.whole) == [1000, 2000, 10000], "by step, and what is fixed is not waited for"
    assert sighting.whole[1000].name == "hf:org/name@step1000-tokens4B"
    assert sighting.whole[1000].weights().base.parent == hub / "snapshots"
    listed = at_work(tmp_path, ["hf:org/name@step1000-tokens4B", "hf:org/name@step10000-tokens42B"]).look(patient=True)
    assert list(listed.whole) == [1000, 10000]


def test_a_model_that_the_cache_lacks_is_told(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no revisions of org/other are known"):
        at_work(tmp_path, "hf:org/other@step*").look(patient=True)


@pytest.mark.parametrize("source", ["hf:org/name-7b", "hf:org/name-7b@main"])
def test_what_says_no_step_is_told_and_the_size_of_a_model_is_none(hub: Path, tmp_path: Path, source: str) -> None:
    hub.rename(hub.with_name("models--org--name-7b"))
    sighting = at_work(tmp_path, source).look(patient=True)
    assert not sighting.whole and "whole number of steps" in sighting.broken[source]
