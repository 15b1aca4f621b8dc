"""Weights in a bucket: there once their marker is, whole or not at all, and known by their bytes."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from valuedrift.errors import DataError, StageError
from valuedrift.storage.location import Location
from valuedrift.storage.marked import Marker
from valuedrift.storage.weights_store import Lying, Place, WeightsStore

KEY = "0123456789abcdef0123"
PLACE = Place(KEY, "step-000012")


def checkpoint(folder: Path, value: float = 1.0) -> Path:
    (folder / "additional_chat_templates").mkdir(parents=True)
    save_file({"w": np.full(1000, value, dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    (folder / "additional_chat_templates" / "tool.jinja").write_text("{{ x }}", encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Homes:
    """Two machines with a root in one bucket."""

    def __init__(self, root: str, tmp_path: Path) -> None:
        self.root = Location.parse(root)
        self.one, self.other = (WeightsStore(self.root, lambda path=path: path) for path in (tmp_path / "one", tmp_path / "other"))

    def object(self, name: str) -> Location:
        return self.root / f"weights/{KEY}/{name}"


@pytest.fixture
def homes(s3_root: str, tmp_path: Path) -> Homes:
    return Homes(s3_root, tmp_path)


def test_what_one_machine_sent_another_brings_by_one_rename(homes: Homes, tmp_path: Path) -> None:
    written = checkpoint(homes.one.path(PLACE))
    assert not homes.other.lies(PLACE)
    with pytest.raises(StageError, match="gone"):
        homes.other.bring(PLACE)
    homes.one.send(PLACE)
    assert homes.other.lies(PLACE) and not homes.other.is_here(PLACE)
    threads = [threading.Thread(target=homes.other.bring, args=(PLACE,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents(homes.other.path(PLACE)) == contents(written)
    assert [path.name for path in homes.other.folder(KEY).iterdir()] == [PLACE.step], "nothing half is left beside it"
    size = sum(map(len, contents(written).values()))
    assert homes.other.lying() == {PLACE: Lying(here=size, bucket=size)}
    assert homes.other.runs() == [KEY]


def test_a_checkpoint_whose_sending_was_killed_is_not_there_and_is_sent_again(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    written = checkpoint(homes.one.path(PLACE))
    put = Location.put_bytes

    def dies(place: Location, data: bytes) -> None:
        if place.name.endswith(".json"):
            raise KeyboardInterrupt  # between the files and the marker
        put(place, data)

    monkeypatch.setattr(Location, "put_bytes", dies)
    with pytest.raises(KeyboardInterrupt):
        homes.one.send(PLACE)
    monkeypatch.undo()
    assert homes.object(f"{PLACE.step}/adapter_model.safetensors").exists() and not homes.other.lies(PLACE)
    homes.one.send(PLACE)
    assert contents(homes.other.bring(PLACE)) == contents(written)


@pytest.mark.parametrize("damage", [b"", b"\0" * 4096, None])
def test_damaged_objects_are_never_used(homes: Homes, damage: bytes | None) -> None:
    checkpoint(homes.one.path(PLACE))
    homes.one.send(PLACE)
    harmed = homes.object(f"{PLACE.step}/adapter_model.safetensors")
    harmed.delete() if damage is None else harmed.put_bytes(damage)
    with pytest.raises(DataError) as fault:
        homes.other.bring(PLACE)
    assert harmed.uri in str(fault.value) and "delete the marker" in str(fault.value)
    assert not homes.other.is_here(PLACE) and not list(homes.other.folder(KEY).iterdir())
    homes.object(f"{PLACE.step}.json").delete()
    assert not homes.other.lies(PLACE)
    homes.one.send(PLACE)  # the machine that has it sends it again
    assert homes.other.bring(PLACE).is_dir()


def test_a_checkpoint_that_was_trained_anew_takes_the_place_of_the_other(homes: Homes) -> None:
    checkpoint(homes.one.path(PLACE))
    homes.one.send(PLACE)
    before = homes.object(f"{PLACE.step}.json").look()
    homes.one.send(PLACE)
    assert homes.object(f"{PLACE.step}.json").look() == before, "the very same is not sent twice"
    anew = homes.other.path(PLACE)
    checkpoint(anew, value=2.0)
    homes.other.send(PLACE)
    homes.one.remove(Place(KEY, "step-000001"))
    for path in sorted(homes.one.folder(KEY).rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert contents(homes.one.bring(PLACE)) == contents(anew)


def test_what_is_removed_is_gone_here_and_there(homes: Homes) -> None:
    size = sum(map(len, contents(checkpoint(homes.one.path(PLACE))).values()))
    homes.one.send(PLACE)
    assert homes.one.remove(PLACE) == size
    assert homes.one.remove(PLACE) == 0
    assert not homes.one.lies(PLACE) and not homes.other.lies(PLACE)
    assert (homes.root / "weights").listing() == []


def state(folder: Path, step: int) -> Path:
    (folder / "_state" / "policy" / f"ready-{step:06d}").mkdir(parents=True)
    (folder / "_state" / "policy" / f"ready-{step:06d}" / "model.safetensors").write_bytes(bytes(1000 + step))
    (folder / "run.json").write_text(json.dumps({"identity": "me"}), encoding="utf-8")
    (folder / "metrics.jsonl").write_text("".join(f"{row}\n" for row in range(step)), encoding="utf-8")
    return folder


def test_a_run_is_brought_whole_where_it_is_further_there_than_here(homes: Homes, tmp_path: Path) -> None:
    checkpoint(homes.one.path(PLACE))
    homes.one.send(PLACE)
    for step in (12, 14):
        homes.one.send_state(KEY, state(tmp_path / f"state-{step}", step), (0, step, 0))
    objects = {found.location.name for found in (homes.object("_state")).listing()}
    assert objects == {"model.safetensors", "run.json", "metrics.jsonl"}, "the state before is gone"
    state(homes.other.folder(KEY), 13)
    assert not homes.other.bring_run(KEY, (0, 14, 0))
    assert homes.other.bring_run(KEY, (0, 13, 0))
    assert contents(homes.other.folder(KEY)) == {
        **contents(tmp_path / "state-14"),
        **{f"{PLACE.step}/{name}": data for name, data in contents(homes.one.path(PLACE)).items()},
    }
    homes.one.remove_state(KEY)
    assert homes.other.state(KEY) is None and homes.other.lies(PLACE)


def test_what_a_checkpoint_holds_is_not_sent_again_with_the_state(homes: Homes, tmp_path: Path) -> None:
    folder = checkpoint(homes.one.path(PLACE))
    homes.one.send(PLACE)
    kept = state(tmp_path / "state", 12)
    (kept / "_state" / "policy" / "ready-000012" / "weights.safetensors").hardlink_to(folder / "adapter_model.safetensors")
    homes.one.send_state(KEY, kept, (0, 12, 0))
    sent = Marker.at(homes.object("_state.json"))
    assert sent is not None
    assert sent.files["_state/policy/ready-000012/weights.safetensors"].at == f"{PLACE.step}/adapter_model.safetensors"
    assert homes.other.bring_run(KEY, (0, 0, 0))
    brought = homes.other.folder(KEY) / "_state" / "policy" / "ready-000012" / "weights.safetensors"
    assert brought.read_bytes() == (folder / "adapter_model.safetensors").read_bytes()
