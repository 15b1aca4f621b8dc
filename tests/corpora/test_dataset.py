"""What a study may say about a training set."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from valuedrift.corpora.dataset import Dataset, Format
from valuedrift.corpora.registry import ADAPTERS


def test_formats_are_auto_and_the_registry() -> None:
    assert set(get_args(Format)) == {"auto", *ADAPTERS}


@pytest.mark.parametrize(
    ("data", "anchored"),
    [
        ("rows.jsonl", "/studies/rows.jsonl"),
        ("../rows.jsonl", "/rows.jsonl"),
        ("/data/rows.jsonl", "/data/rows.jsonl"),
        ("starter:sft-neutral", "starter:sft-neutral"),
        ("hf:allenai/WildChat-1M", "hf:allenai/WildChat-1M"),
        ("s3://bucket/rows.jsonl", "s3://bucket/rows.jsonl"),
        ("gs://bucket/rows.jsonl", "gs://bucket/rows.jsonl"),
        ("hf://datasets/organisation/name/rows.jsonl", "hf://datasets/organisation/name/rows.jsonl"),
    ],
)
def test_relative_paths_are_taken_from_the_study_folder(data: str, anchored: str) -> None:
    dataset = Dataset(data=data, limit=3, columns={"prompt": "query"})
    assert dataset.anchored(Path("/studies")) == dataset.model_copy(update={"data": anchored})


@pytest.mark.parametrize("data", ["", " ", "starter:", "hf:", "hf:json", "hf:../secret", "hf:a/b/c", "https://", "gs://", "s3://"])
def test_what_names_no_data_is_refused(data: str) -> None:
    with pytest.raises(ValidationError, match="names no data"):
        Dataset(data=data)


def test_subset_belongs_to_hub_data() -> None:
    assert Dataset(data="hf:org/name", subset="en").subset == "en"
    with pytest.raises(ValidationError, match="hf: data only"):
        Dataset(data="rows.jsonl", subset="en")


def test_unknown_keys_and_bad_numbers_are_refused() -> None:
    for fault in ({"fromat": "alpaca"}, {"limit": 0}, {"rows": -1}, {"format": "sharegpt"}):
        with pytest.raises(ValidationError):
            Dataset.model_validate({"data": "rows.jsonl", **fault})
