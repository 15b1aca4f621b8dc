"""How far each run is stands in Prefect's UI under a key of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valuedrift.study import load_study
from valuedrift.tasks.board import artifact_key
from valuedrift.tasks.study_work import StudyWork

STUDY = """
study: keys
probes: {set: starter, topics: [immigration], per_topic: 2}
models: {ti.ny: {path: "embedded:smollm2-135m-instruct"}, ti-ny: {path: "embedded:smollm2-135m-instruct"}}
corpora: {own: {data: "starter:sft-neutral"}}
sft: [{data: [own], algorithm: {type: sft, steps: 2, batch_size: 2, max_length: 64}}]
sampling: {n: 1, max_new_tokens: 4}
"""


def test_a_runs_training_is_found_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(STUDY, encoding="utf-8")
    work = StudyWork(load_study(tmp_path / "keys.yaml"), str(tmp_path / "root"))
    keys = [work.progress_key("train", run.run_id) for run in work.plan.sampled]
    assert len(set(keys)) == 2 and all(key.startswith("train-ti-ny-sft-own") for key in keys)
    (tmp_path / "one.yaml").write_text(STUDY.replace('ti.ny: {path: "embedded:smollm2-135m-instruct"}, ', ""), encoding="utf-8")
    one = StudyWork(load_study(tmp_path / "one.yaml"), str(tmp_path / "root"))
    assert one.progress_key("train", "ti-ny.sft-own") == "train-ti-ny-sft-own-keys"


@given(st.lists(st.text(alphabet="aA.-_ é0", min_size=1, max_size=4), min_size=2, max_size=6, unique=True))
def test_keys_are_valid_and_no_two_names_share_one(names: list[str]) -> None:
    keys = [artifact_key(name, names) for name in names]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch("[a-z0-9-]+", key) for key in keys)


@pytest.mark.parametrize(("name", "key"), [("tiny.sft-own", "tiny-sft-own"), ("A b_c", "a-b-c")])
def test_a_name_that_stands_alone_is_only_made_valid(name: str, key: str) -> None:
    assert artifact_key(name, [name, "other"]) == key
