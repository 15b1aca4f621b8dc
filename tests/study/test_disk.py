"""The peak of a study's disk: by hand for small trees, bounded by everything, and what the paper's study is planned with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valuedrift.study import load_study
from valuedrift.study.disk import peak_bytes
from valuedrift.study.estimate import bytes_of_checkpoint
from valuedrift.study.plan import RunPlan, expand

STUDIES = Path(__file__).parents[2] / "deployments" / "studies"
STUDY = """
study: s
models: {m: {path: "embedded:minilm", parameters: 1.0e+9}}
corpora: {a: {data: "starter:sft-neutral"}}
preferences: {b: {data: "starter:preference-support"}, c: {data: "starter:preference-oppose"}}
sft: [{data: [a], algorithm: {type: sft, steps: 8}}]
preference: [{data: [b, c], algorithm: {type: dpo, steps: 8LORA}}]
checkpoints: {type: steps, steps: [4]}
"""


def runs_of(tmp_path: Path, lora: str = "") -> tuple[RunPlan, ...]:
    (tmp_path / "s.yaml").write_text(STUDY.replace("LORA", lora), encoding="utf-8")
    return expand(load_study(tmp_path / "s.yaml"), lambda *_: 100).runs


def test_small_trees_by_hand(tmp_path: Path) -> None:
    runs = runs_of(tmp_path)
    assert [len(run.steps) - 1 for run in runs] == [2, 2, 2]
    one = {run.run_id: 1.0 for run in runs}
    # at work a run takes 2 checkpoints and 2 states of 3; one more may have begun
    assert peak_bytes(runs, one, "all", 1) == 6 + 6
    assert peak_bytes(runs, one, "last", 1) == 6 + 6, "bounded by everything"
    assert peak_bytes(runs[:1], one, "none", 1) == 2 + 6
    big = {runs[0].run_id: 10.0, runs[1].run_id: 1.0, runs[2].run_id: 1.0}
    assert peak_bytes(runs, big, "none", 1) == 80 + 8 - 4, "bounded by everything: 24 of checkpoints, 60 of a state"
    kept = {runs[0].run_id: 10.0, runs[1].run_id: 0.0, runs[2].run_id: 0.0}
    assert peak_bytes(runs[1:], {**kept, runs[1].run_id: 1.0, runs[2].run_id: 1.0}, "none", 1) == 4 + 6


@given(st.sampled_from(["all", "last", "adapters", "none"]), st.integers(1, 4), st.lists(st.floats(0, 1e12), min_size=3, max_size=3))
def test_no_rule_takes_more_than_keeping_all(tmp_path_factory: pytest.TempPathFactory, keep: Any, workers: int, sizes: list[float]) -> None:
    runs = runs_of(tmp_path_factory.mktemp("study"))
    of = {run.run_id: each for run, each in zip(runs, sizes, strict=True)}
    peak, everything = peak_bytes(runs, of, keep, workers), peak_bytes(runs, of, "all", workers)
    assert 0 <= peak <= everything * (1 + 1e-9)
    assert peak_bytes(runs, of, keep, workers) <= peak_bytes(runs, of, keep, workers + 1) * (1 + 1e-9)


def test_the_papers_study_fits_on_two_terabytes() -> None:
    study = load_study(STUDIES / "paper.yaml")
    runs = expand(study, lambda dataset, _: dataset.rows).runs
    known = [run for run in runs if run.total_steps]
    sizes = {run.run_id: bytes_of_checkpoint(run) for run in runs}
    assert len(known) > 100 and sum(sizes[run.run_id] * (len(run.steps) - 1) for run in known) > 50e12
    assert 0.5e12 < peak_bytes(runs, sizes, study.runtime.checkpoints.keep, study.runtime.workers) < 2e12
