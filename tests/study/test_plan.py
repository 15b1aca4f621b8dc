"""A study expands to its runs, and what is identity is told from what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from valuedrift.corpora.load import count_rows
from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.study import Study, expand, load_study
from valuedrift.study.estimate import Estimate, estimate
from valuedrift.training.options import Lora
from valuedrift.training.registry import ALGORITHMS

STUDIES = Path(__file__).resolve().parents[2] / "deployments" / "studies"


def study(**changes: object) -> Study:
    content = {
        "study": "s",
        "models": {"a": {"path": "embedded:x"}, "b": {"path": "embedded:y"}},
        "corpora": {"c1": {"data": "starter:sft-neutral"}, "c2": {"data": "starter:sft-support"}},
        "preferences": {"p": {"data": "starter:preference-support"}},
        "sft": [{"data": ["c1", "c2"], "algorithm": {"type": "sft", "steps": 8}}],
        "preference": [{"data": ["p"], "after": ["c1"], "algorithm": {"type": "dpo", "steps": 4}, "sweep": {"beta": [0.1, 0.5]}}],
        **changes,
    }
    return Study.model_validate(content)


def test_models_times_corpora_then_preference_sets_times_algorithms() -> None:
    plan = expand(study(), count_rows)
    assert [run.run_id for run in plan.runs] == [
        f"{model}.{rest}"
        for model in "ab"
        for rest in ("sft-c1", "sft-c2", "sft-c1.dpo-p", "sft-c1.dpo-p-beta0.5")  # 0.1 is the phase's own β and is not run twice
    ]
    assert [run.run_id for run in plan.children("a.sft-c1")] == ["a.sft-c1.dpo-p", "a.sft-c1.dpo-p-beta0.5"]
    assert all(run.steps[0] == 0 and run.steps[-1] == run.total_steps for run in plan.runs)


def test_parents_come_before_children() -> None:
    plan = expand(study(), count_rows)
    seen: set[str | None] = {None}
    for run in plan.runs:
        assert run.parent_run_id in seen
        seen.add(run.run_id)


def test_epochs_count_the_rows_and_unknown_rows_are_said_to_be_unknown() -> None:
    epochs = study(sft=[{"data": ["c1"], "algorithm": {"type": "sft", "epochs": 2, "batch_size": 8}}], preference=[])
    rows = count_rows(epochs.corpora["c1"], "sft")
    assert rows is not None
    assert expand(epochs, count_rows).runs[0].total_steps == -(-2 * rows // 8)
    unknown = expand(epochs, lambda *_: None).runs[0]
    assert (unknown.total_steps, unknown.steps) == (None, ())


def test_runtime_is_no_identity_and_everything_else_is() -> None:
    def identities(one: Study) -> list[str]:
        return [fingerprint(run.identity(parent="w", dataset="d", dtype="float32")) for run in expand(one, count_rows).runs]

    base = identities(study())
    assert identities(study(runtime={"workers": 7, "device": "cpu", "threads": 1})) == base
    assert identities(study(seed=1)) != base
    assert identities(study(checkpoints={"type": "every", "n": 2})) != base
    assert identities(study(sft=[{"data": ["c1", "c2"], "algorithm": {"type": "sft", "steps": 8, "learning_rate": 1e-5}}])) != base
    run = expand(study(), count_rows).runs[0]
    assert fingerprint(run.identity(parent="w", dataset="d", dtype="float32")) != fingerprint(
        run.identity(parent="v", dataset="d", dtype="float32")
    )


def test_two_runs_of_one_name_are_refused() -> None:
    twice = [{"data": ["c1"], "algorithm": {"type": "sft", "steps": 8}}, {"data": ["c1"], "algorithm": {"type": "sft", "steps": 9}}]
    with pytest.raises(UserError, match="two algorithms of one type"):
        expand(study(sft=twice, preference=[]), count_rows)


def test_a_sweep_value_that_the_algorithm_refuses_is_told() -> None:
    swept = [{"data": ["p"], "algorithm": {"type": "dpo", "steps": 4}, "sweep": {"beta": [-1.0]}}]
    with pytest.raises(UserError, match="sweep of beta"):
        expand(study(preference=swept), count_rows)


def test_the_paper_plans_without_a_hub() -> None:
    spec = load_study(STUDIES / "paper.yaml")
    plan = expand(spec, count_rows)
    # 4 models × 2 corpora = 8 SFT runs; from each 4 sets × (DPO with 4 β, SimPO with 3 γ, PPO with 3 β)
    assert len(plan.runs) == 8 + 8 * 4 * (4 + 3 + 3)
    total = Estimate.total(estimate(run, spec, 550) for run in plan.runs)
    assert total.training_tokens > 1e9 and "GPU-hours" in total.words_time()


def test_estimates_grow_with_what_they_depend_on() -> None:
    spec = load_study(STUDIES / "demo.yaml")
    run = expand(spec, count_rows).runs[0]
    small, large = estimate(run, spec, 10), estimate(run, spec, 20)
    assert large.sampling_tokens == 2 * small.sampling_tokens == 2 * len(run.steps) * 10 * spec.sampling.n * spec.sampling.max_new_tokens
    algorithm = run.algorithm
    assert run.total_steps is not None and small.training_tokens == run.total_steps * algorithm.batch_size * algorithm.max_length


def test_pairs_are_two_labelled_answers_each_to_an_algorithm_that_takes_those() -> None:
    def phase(kind: str) -> list[dict[str, object]]:
        return [{"data": ["p"], "after": ["c1"], "algorithm": {"type": kind, "epochs": 1, "batch_size": 2}}]

    pairs, answers = (expand(study(preference=phase(kind)), count_rows).run(f"a.sft-c1.{kind}-p") for kind in ("dpo", "kto"))
    assert pairs.rows is not None and answers.rows == 2 * pairs.rows
    assert (pairs.kind, answers.kind) == ("preference", "labelled")
    assert answers.total_steps == -(-answers.rows // 2)


@pytest.mark.parametrize("kind", ALGORITHMS.types())
def test_every_algorithm_has_its_place_and_its_estimate(kind: str) -> None:
    fields = {"type": kind, "steps": 4} | ({"reward": {"steps": 2}} if "reward" in ALGORITHMS.kind(kind).model_fields else {})
    phases = {"sft": [{"data": ["c1"], "algorithm": {"type": "sft", "steps": 4}}], "preference": []}
    section = ALGORITHMS.kind(kind).section()
    phases[section] = [{"data": ["c1" if section == "sft" else "p"], "algorithm": fields}]
    spec = study(**phases, models={"a": {"path": "embedded:x", "parameters": 1e8}})
    run = expand(spec, count_rows).runs[-1]
    assert run.phase == kind
    costs = [estimate(one, spec, 10) for one in (run, replace(run, algorithm=run.algorithm.model_copy(update={"lora": Lora()})))]
    assert costs[0].training_tokens == costs[1].training_tokens > 0
    assert costs[0].training_flops > costs[1].training_flops > 2e8 * costs[0].training_tokens
    assert costs[0].memory_bytes > 2 * costs[1].memory_bytes >= 2 * 4e8
    wrong = "preference" if section == "sft" else "sft"
    with pytest.raises(ValidationError, match=f"{wrong}: algorithm type '{kind}' belongs under `{section}`"):
        study(**(phases | {wrong: [{"data": ["p" if section == "sft" else "c1"], "algorithm": fields}]}))


def test_preference_optimization_starts_from_any_model() -> None:
    phase = {"data": ["p"], "algorithm": {"type": "dpo", "steps": 4}}
    without = expand(study(sft=[], preference=[phase]), count_rows)
    assert [(run.run_id, run.parent_run_id) for run in without.runs] == [("a.dpo-p", None), ("b.dpo-p", None)]
    assert without.runs[0].dataset.data == "starter:preference-support"
    both = expand(study(preference=[{**phase, "after": ["base", "c2"]}]), count_rows)
    assert [run.run_id for run in both.runs if run.model_name == "a"] == ["a.sft-c1", "a.sft-c2", "a.dpo-p", "a.sft-c2.dpo-p"]


def test_a_series_stands_beside_runs_or_alone() -> None:
    series = {"ours": {"source": "out/", "phase": "dpo", "after": "a.sft-c1"}}
    beside = expand(study(series=series), count_rows)
    assert [run.run_id for run in beside.sampled][-1] == "ours" and beside.series[0].steps == ()
    alone = expand(Study.model_validate({"study": "s", "series": {"ours": {"source": "out/"}}}), count_rows)
    assert [run.run_id for run in alone.sampled] == ["ours"] and not alone.runs


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ({"ours": {"source": "out/", "after": "a.sft-c3"}}, "did you mean 'a.sft-c"),
        ({"a.sft-c1": {"source": "out/"}}, "both named"),
    ],
)
def test_a_series_that_does_not_fit_the_study_is_refused(series: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        expand(study(series=series), count_rows)


@pytest.mark.parametrize(
    "series", [{"Ours": {"source": "out/"}}, {"ours": {"source": ""}}, {"ours": {"source": "out/", "after": "ours"}}, {"ours": {}}]
)
def test_a_series_that_says_nothing_is_refused(series: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        study(series=series)
