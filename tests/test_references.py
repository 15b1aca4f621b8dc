"""Paths in files of users: relative ones belong to where the file lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from valuedrift.engines.transformers import TransformersEngineConfig
from valuedrift.errors import UserError
from valuedrift.judges.registry import JUDGE
from valuedrift.references import beside, folder_of, is_pattern


@pytest.mark.parametrize(
    ("folder", "reference", "meant"),
    [
        ("s3://b/studies", "data/x.jsonl", "s3://b/studies/data/x.jsonl"),
        ("s3://b/studies/deep", "../../x.jsonl", "s3://b/x.jsonl"),
        ("s3://b", "./x.jsonl", "s3://b/x.jsonl"),
        ("s3://b/studies", "s3://other/x.jsonl", "s3://other/x.jsonl"),
        ("s3://b/studies", "/data/x.jsonl", "/data/x.jsonl"),
        (Path("/studies"), "../x.jsonl", "/x.jsonl"),
        (Path("/studies"), "s3://b/x.jsonl", "s3://b/x.jsonl"),
    ],
)
def test_what_a_reference_means(folder: Path | str, reference: str, meant: str) -> None:
    assert beside(folder, reference) == meant


def test_no_reference_leads_out_of_the_bucket() -> None:
    with pytest.raises(UserError, match="leads out of the bucket"):
        beside("s3://b/studies", "../../other/x.jsonl")


def test_the_home_folder_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in ("s3://b/studies", Path("/studies")):
        assert beside(folder, "~/x.jsonl") == str(tmp_path / "x.jsonl")


def test_where_a_file_lies(tmp_path: Path) -> None:
    assert folder_of("s3://b/studies/x.yaml") == "s3://b/studies"
    assert folder_of(str(tmp_path / "x.yaml")) == tmp_path


@pytest.mark.parametrize("folder", ["s3://b/judges", "/judges"])
def test_every_path_of_a_judge_is_taken_from_where_its_file_lies(folder: str) -> None:
    members = [
        {"type": "cross-encoder", "weights": "w", "calibration": "c.json"},
        {"type": "causal-lm", "engine": {"model": "m"}},
        {"type": "causal-lm", "name": "named", "engine": {"model": "embedded:smollm2-135m-instruct"}},
        {"type": "openai", "model": "gpt", "budget": {"usd": 1.0, "prices": "p.yaml"}},
    ]
    panel = JUDGE.validate_python({"type": "panel", "members": members}).anchored(folder if "://" in folder else Path(folder))
    text = panel.model_dump_json()
    for name in ("w", "c.json", "m", "p.yaml"):
        assert f'"{folder}/{name}"' in text
    assert '"embedded:smollm2-135m-instruct"' in text
    assert TransformersEngineConfig(model="hf:org/name").anchored(folder).model == "hf:org/name"


@pytest.mark.parametrize(
    ("reference", "several"),
    [
        ("rows/*.jsonl", True),
        ("rows-?.jsonl", True),
        ("rows-[0-9].jsonl", True),
        ("s3://b/**/x.parquet", True),
        ("probes[1].csv", False),
        ("rows.jsonl", False),
        ("https://host/rows.jsonl?signature=*", False),
    ],
)
def test_which_paths_may_mean_several(reference: str, several: bool) -> None:
    assert is_pattern(reference) is several
