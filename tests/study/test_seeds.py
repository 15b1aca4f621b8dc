"""``seeds:`` trains each run once a seed; the runs that were there before keep their names and identities."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import valuedrift.flows.cli.plan  # noqa: F401 — hangs the command on the application
from valuedrift.corpora.load import count_rows
from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.flows.cli.app import app
from valuedrift.results.facts import study_fingerprint
from valuedrift.study import Plan, RunPlan, Study, expand

sys.path.insert(0, str(Path(__file__).parent))
from test_load import MINIMAL, message, study_file
from test_plan import study


def identities(plan: Plan) -> dict[str, str]:
    def made_of(run: RunPlan) -> dict[str, Any]:
        return run.identity(parent=run.parent_run_id or run.model_name, dataset=run.dataset_name, dtype="float32")

    return {run.run_id: fingerprint(made_of(run)) for run in plan.runs}


def planned(**changes: Any) -> Plan:
    return expand(study(**changes), count_rows)


def test_without_the_key_nothing_is_new() -> None:
    plain = study()
    assert plain.trained_seeds == (0,) and expand(plain, count_rows).seed_groups == {}
    assert study_fingerprint(plain) == study_fingerprint(study(seeds=[]))
    assert "seeds" not in plain.model_dump(exclude_defaults=True)


def test_runs_of_the_study_s_seed_keep_name_and_identity_and_further_seeds_only_add() -> None:
    one, two, three = planned(), planned(seeds=[0, 1]), planned(seeds=[0, 1, 2])
    before = identities(one)
    for plan in (two, three):
        assert {name: identities(plan)[name] for name in before} == before
    assert {name: identities(three)[name] for name in identities(two)} == identities(two)
    assert len(set(identities(three).values())) == len(three.runs) == 3 * len(one.runs)
    assert set(two.seed_groups.values()) == set(before)


def test_a_run_of_another_seed_ends_in_it_and_starts_from_its_own_parent() -> None:
    plan = planned(seeds=[0, 7])
    by_id = {run.run_id: run for run in plan.runs}
    assert [name for name in by_id if name.startswith("a.") and name.endswith("-seed7")] == [
        "a.sft-c1-seed7", "a.sft-c2-seed7", "a.sft-c1.dpo-p-seed7", "a.sft-c1.dpo-p-beta0.5-seed7",
    ]  # fmt: skip
    for run in plan.runs:
        assert run.seed == (7 if run.run_id.endswith("-seed7") else 0)
        if run.parent_run_id is not None:
            assert by_id[run.parent_run_id].seed == run.seed
    seen: set[str | None] = {None}
    for run in plan.runs:
        assert run.parent_run_id in seen
        seen.add(run.run_id)


def test_the_seed_that_keeps_the_names_is_the_study_s_own() -> None:
    def names(**changes: Any) -> list[str]:
        return [run.run_id for run in planned(preference=[], models={"a": {"path": "embedded:x"}}, corpora={"c1": {"data": "starter:sft-neutral"}},
                                              sft=[{"data": ["c1"], "algorithm": {"type": "sft", "steps": 8}}], **changes).runs]  # fmt: skip

    assert names(seeds=[3, 4], seed=4) == ["a.sft-c1-seed3", "a.sft-c1"]
    assert names(seeds=[3, 4]) == ["a.sft-c1-seed3", "a.sft-c1-seed4"]
    assert names(seed=4) == ["a.sft-c1"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("seeds: [1, 2, 1]", ["seeds", "1 stands twice"]),
        ("seeds: [1]", ["one seed has no spread", "`seed: 1`"]),
        ("seeds: [0, -1]", ["seeds.1", "greater than or equal to 0", "-1"]),
        ("seeds: [0, 4294967296]", ["seeds.1", "less than 4294967296"]),
        ("seed: 4294967296", ["seed", "less than 4294967296"]),
        ("seeds: [0, true]", ["seeds.1", "a whole number", "not true"]),
        ("seeds: [0, 1.0]", ["seeds.1", "a whole number"]),
        ("seeds: [0, 1.5]", ["seeds.1", "a whole number"]),
        ("seeds: [0, 'one']", ["seeds.1", "a whole number", "'one'"]),
        ("seeds: [0, null]", ["seeds.1", "a whole number", "null"]),
        ("seeds: 3", ["seeds", "a list", "3"]),
        ("seeds: 0, 1", ["seeds", "a list"]),
        ("seeds: {a: 1}", ["seeds", "a list"]),
        ("seed: 5\nseeds: [0, 1]", ["seed: 5 is not among `seeds`"]),
        ("seed: 0\nseeds: [1, 2]", ["seed: 0 is not among `seeds`"]),
    ],
)
def test_faults_of_the_key_are_told(tmp_path: Path, written: str, expected: list[str]) -> None:
    said = message(study_file(tmp_path, f"{MINIMAL}{written}\n"))
    assert all(part in said for part in (*expected, "study.yaml")), said


def test_a_study_that_trains_nothing_has_no_seeds() -> None:
    with pytest.raises(ValueError, match="trains nothing"):
        Study.model_validate({"study": "s", "series": {"ours": {"source": "out/"}}, "seeds": [0, 1]})


def test_a_dataset_that_is_named_as_a_run_of_another_seed_is_told() -> None:
    corpora = {name: {"data": "starter:sft-neutral"} for name in ("c1", "c1-seed1")}
    phases = [{"data": list(corpora), "algorithm": {"type": "sft", "steps": 8}}]
    with pytest.raises(UserError, match="named as a run of another seed"):
        planned(corpora=corpora, sft=phases, preference=[], seeds=[0, 1])


def test_the_plan_counts_them(tmp_path: Path) -> None:
    path = study_file(tmp_path, f"{MINIMAL}seeds: [0, 1, 2]\n")
    shown = CliRunner().invoke(app, ["plan", str(path), "--root", str(tmp_path / "root")])
    assert "6 runs" in shown.output and "2 trainings, each once a seed (0, 1, 2)" in shown.output
    assert all(name in shown.output for name in ("m.sft-neutral-seed2", "m.sft-neutral.dpo-gap-seed2"))
    told = json.loads(CliRunner().invoke(app, ["plan", str(path), "--json", "--root", str(tmp_path / "root")]).output)
    assert [run["seed"] for run in told["runs"]] == [0, 0, 1, 1, 2, 2]
