"""Hub data: what is said without a hub, and what is asked of ``datasets`` with one (which is not ours, so a stand-in serves)."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import count_rows, load_rows
from valuedrift.errors import UserError

ROWS = [{"prompt": "Why?", "response": "Because."}, {"prompt": "When?", "response": "Now."}]
NAME = "hf:valuedrift-tests/no-such-dataset"


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def test_without_a_hub_a_load_says_so() -> None:
    with pytest.raises(UserError, match=r"the Hugging Face hub is not reachable: .* \(give a local file"):
        load_rows(Dataset(data=NAME), "sft")


def test_without_a_hub_a_count_is_the_declared_one_or_unknown() -> None:
    assert count_rows(Dataset(data=NAME), "sft") is None
    assert count_rows(Dataset(data=NAME, rows=61_135), "sft") == 61_135
    assert count_rows(Dataset(data=NAME, rows=61_135, limit=500), "sft") == 500


def test_a_hub_that_does_not_answer_leaves_the_count_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert count_rows(Dataset(data=NAME), "sft") is None


def test_hub_rows_are_the_same_as_local_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    def serve(*args: Any, **options: Any) -> datasets.Dataset:
        asked.append((args, options))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", serve)
    loaded = load_rows(Dataset(data=NAME, subset="en", split="test"), "sft")
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    assert loaded.fingerprint == load_rows(Dataset(data=str(tmp_path / "rows.json")), "sft").fingerprint
    assert asked == [((NAME.removeprefix("hf:"), "en"), {"split": "test"})]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (ValueError("Unknown split \"dev\". Should be one of ['train']."), "cannot be loaded from the hub: Unknown split"),
        (datasets.exceptions.DatasetNotFoundError("Dataset doesn't exist or is gated"), "not on the hub, or not open to you"),
        (RuntimeError("Dataset scripts are no longer supported"), "scripts are no longer supported"),
    ],
)
def test_faults_of_the_hub_are_told(monkeypatch: pytest.MonkeyPatch, fault: Exception, message: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(UserError, match=message):
        load_rows(Dataset(data=NAME), "sft")


def test_a_local_folder_is_not_taken_for_a_hub_dataset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "valuedrift-tests" / "no-such-dataset").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="a local folder of this name"):
        load_rows(Dataset(data=NAME), "sft")
