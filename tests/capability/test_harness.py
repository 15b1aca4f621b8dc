"""Scores are the harness's own, to rounding; a task is known by its content; what cannot be put is told before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Written

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is an extra: pip install '.[capability]'")

from valuedrift.capability.harness import find
from valuedrift.capability.job import evaluated, scores_of
from valuedrift.capability.options import CapabilityTask
from valuedrift.engines.base import EngineSettings
from valuedrift.engines.continuing import Continues
from valuedrift.engines.registry import make_engine
from valuedrift.errors import DataError, UserError
from valuedrift.models.resolve import resolve_weights
from valuedrift.weights import Weights


@pytest.fixture(scope="module")
def engine(model: Path) -> Iterator[Continues]:
    weights = Weights(base=model)
    with make_engine("transformers", weights, weights.fingerprint(), EngineSettings(dtype="float32", device="cpu")) as made:
        assert isinstance(made, Continues)
        yield made


def of_file(folder: Path, rows: list[dict[str, Any]], **config: Any) -> CapabilityTask:
    """A task file beside its rows."""
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    task = {
        "task": "ours",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}},
        "test_split": "test",
        "metadata": {"version": 3},
        **config,
    }
    (folder / "ours.yaml").write_text(json.dumps(task), encoding="utf-8")
    return CapabilityTask(task=str(folder / "ours.yaml"))


def by_harness(asked: CapabilityTask, engine: Any, folder: Path) -> dict[str, Any]:
    """What the harness finds with its own wrapper of transformers."""
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=str(folder), dtype="float32", batch_size=2, device="cpu")
    assert model.max_length == engine.context
    found: dict[str, Any] = evaluate(model, {"tasks": dict(find(asked).tasks)}, limit=asked.limit, bootstrap_iters=1000, log_samples=True)
    return found


def answers(results: dict[str, Any]) -> list[Any]:
    return [sample["filtered_resps"] for own in results["samples"].values() for sample in own]


def close(ours: Any, theirs: Any) -> bool:
    """Equal, numbers to rounding."""
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(close, ours, theirs))
    return bool(ours == pytest.approx(theirs, rel=1e-4, abs=1e-4)) if isinstance(ours, float) else bool(ours == theirs)


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"answers": "letter"}, {"fewshot": 1}, {"limit": 2}])
def test_items_score_as_by_the_harness_itself(engine: Continues, model: Path, written: Written, more: dict[str, Any]) -> None:
    asked = CapabilityTask(data=str(written()), **more)
    ours, theirs = evaluated(find(asked), engine, lambda done, total: None), by_harness(asked, engine, model)
    assert close(answers(ours), answers(theirs))
    assert list(scores_of(find(asked), ours)) == list(scores_of(find(asked), theirs))


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        {"output_type": "loglikelihood", "doc_to_text": "{{a}}", "doc_to_target": "{{b}}", "metric_list": [{"metric": "acc"}]},
        {"output_type": "loglikelihood", "doc_to_text": "", "doc_to_target": "{{b}}", "metric_list": [{"metric": "perplexity"}]},
        {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{a}}", "metric_list": [{"metric": "bits_per_byte"}]},
        {
            "output_type": "generate_until",
            "doc_to_text": "{{a}}",
            "doc_to_target": "{{b}}",
            "metric_list": [{"metric": "exact_match"}],
            "generation_kwargs": {"until": ["e"], "max_gen_toks": 12},
        },
    ],
    ids=["loglikelihood", "nothing before", "rolling", "generate"],
)
def test_every_kind_of_request_is_answered_as_by_the_harness_itself(
    engine: Continues, model: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    """Also of texts that are longer than the model's context, which are cut from the left."""
    rows = [{"a": "yes and no ", "b": "yes"}, {"a": "no " * 60, "b": "no no"}, {"a": "x", "b": "ö"}]
    asked = of_file(tmp_path, rows, **config)
    ours, theirs = evaluated(find(asked), engine, lambda done, total: None), by_harness(asked, engine, model)
    assert close(answers(ours), answers(theirs))
    (one, *_), (other, *_) = scores_of(find(asked), ours), scores_of(find(asked), theirs)
    assert close(list(one.values()), list(other.values()))


@pytest.mark.slow
def test_real_items_score_as_by_the_harness_itself_on_the_embedded_model(shared_data: Path, tmp_path: Path) -> None:
    """PIQA's own rows in its own words, and HellaSwag's as items."""
    labels = (shared_data / "capability" / "piqa_valid_labels.lst").read_text(encoding="utf-8").split()
    goals = (shared_data / "capability" / "piqa_valid.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [{**json.loads(row), "label": int(label)} for row, label in zip(goals[:8], labels, strict=False)]
    (tmp_path / "piqa.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    swag = json.loads((shared_data / "capability" / "hellaswag_abstainqa_2000.json").read_text(encoding="utf-8"))["dev"][:4]
    (tmp_path / "swag.json").write_text(json.dumps(swag), encoding="utf-8")
    weights = resolve_weights("embedded:smollm2-135m-instruct")
    with make_engine("transformers", weights, weights.fingerprint(), EngineSettings(dtype="float32", device="cpu")) as held:
        assert isinstance(held, Continues)
        for asked in (CapabilityTask(task="piqa", data=str(tmp_path / "piqa.jsonl")), CapabilityTask(data=str(tmp_path / "swag.json"))):
            ours, theirs = evaluated(find(asked), held, lambda done, total: None), by_harness(asked, held, weights.base)
            assert close(answers(ours), answers(theirs))
            assert list(scores_of(find(asked), ours)) == list(scores_of(find(asked), theirs))


def test_a_task_is_known_by_its_content_and_how_it_is_put(written: Written) -> None:
    file = written()
    same = find(CapabilityTask(data=str(file))).fingerprint
    assert find(CapabilityTask(data=str(written(name="copy.jsonl")), name="other")).fingerprint == same
    puts: list[dict[str, Any]] = [{"limit": 2}, {"fewshot": 1}, {"answers": "letter"}]
    others = [find(CapabilityTask(data=str(file), **put)).fingerprint for put in puts]
    changed = find(
        CapabilityTask(data=str(written({"question": "q", "choices": ["a", "b"], "answer": 0}, name="changed.jsonl")))
    ).fingerprint
    assert len({same, *others, changed}) == 5


def test_items_and_requests_are_counted(written: Written) -> None:
    found = find(CapabilityTask(data=str(written())))
    assert (found.n_items, found.n_requests) == (3, 7)
    assert find(CapabilityTask(data=str(written()), limit=2)).n_requests == 5


def test_what_cannot_be_put_is_told(written: Written, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few items to show 3"):
        find(CapabilityTask(data=str(written()), fewshot=3))
    rows = [{"a": "x", "b": "y"}]
    at_random = {
        "output_type": "generate_until",
        "doc_to_text": "{{a}}",
        "doc_to_target": "{{b}}",
        "metric_list": [{"metric": "exact_match"}],
    }
    with pytest.raises(UserError, match="draws its answers at random"):
        find(of_file(tmp_path, rows, **at_random, generation_kwargs={"do_sample": True, "temperature": 0.7, "until": ["\n"]}))
    with pytest.raises(UserError, match="runs what a model writes"):
        find(of_file(tmp_path, rows, **at_random, unsafe_code=True))
    with pytest.raises(UserError, match="the task cannot be made"):
        find(of_file(tmp_path, rows, **{**at_random, "doc_to_text": "{{lacking}}"}))
    with pytest.raises(UserError, match=r"no such task file.*did you mean .*ours\.yaml"):
        find(CapabilityTask(task=str(tmp_path / "our.yaml")))


@pytest.mark.slow
def test_names_of_the_harness_are_looked_up(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"no task 'piqua'.*did you mean 'piqa'"):
        find(CapabilityTask(task="piqua"))
    with pytest.raises(UserError, match=r"mmlu.*is a group of tasks.*name one of its tasks"):
        find(CapabilityTask(task="mmlu", data=str(written())))
    with pytest.raises(DataError, match=r"no rows of piqa.*its rows have goal, sol1, sol2, label; the file has question, choices, answer"):
        find(CapabilityTask(task="piqa", data=str(written())))
    with pytest.raises(
        UserError, match=r"data of task 'piqa' \(baber/piqa on the hub\) cannot be had.*unset HF_HUB_OFFLINE.*goal, sol1, sol2, label"
    ):
        find(CapabilityTask(task="piqa"))
