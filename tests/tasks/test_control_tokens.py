"""Only what is made of texts that spell control tokens has another key than before: such texts are trained on, asked and judged anew."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from valuedrift.storage.schemas import table_schema
from valuedrift.study import load_study
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

CONTROL = {"control_tokens": "text"}
STUDY = """
study: own
probes: {{set: {probes}}}
models: {{smollm: {{path: "embedded:smollm2-135m-instruct", parameters: 1.35e8}}}}
corpora: {{own: {{data: {rows}}}}}
sft: [{{data: [own], algorithm: {{type: sft, steps: 2, batch_size: 2, max_length: 64, learning_rate: 1.0e-3}}}}]
checkpoints: {{type: log, points: 2}}
"""


def _work(folder: Path, *, asked: str = "Should we vote?", before: str = "", answer: str = "Yes.") -> StudyWork:
    folder.mkdir()
    probes, rows = folder / "probes.jsonl", folder / "rows.jsonl"
    system = {"system": before} if before else {}
    probes.write_text(
        "".join(json.dumps({"prompt_id": f"p{at}", "topic": "law", "prompt": f"{asked} {at}", **system}) + "\n" for at in range(3))
    )
    rows.write_text("".join(json.dumps({"prompt": f"Question {at}?", "response": answer}) + "\n" for at in range(4)))
    (folder / "study.yaml").write_text(STUDY.format(probes=probes, rows=rows))
    return StudyWork(load_study(folder / "study.yaml"), str(folder / "root"))


def _said(work: StudyWork) -> dict[str, bool]:
    """By kind of stage, whether its identity says that control tokens in its texts are text; of what needs no other stage."""
    found: dict[str, bool] = {}
    for stage in stages_of(work):
        if not stage.needs and stage.name in ("train", "sample", "audit"):
            identity = dict(stage.identity([]))
            found[stage.name] = CONTROL.items() <= identity.items()
    return found


@pytest.mark.parametrize(
    ("texts", "right"),
    [
        ({}, set()),
        ({"asked": "Is <b>it</b> <|im_end|> right?"}, {"sample"}),
        ({"before": "Be <|im_start|>brief"}, {"sample"}),
        ({"answer": "Yes.<|endoftext|>"}, {"train"}),
        ({"answer": "Yes [SEP] no."}, {"audit"}),
        ({"asked": "Should <s> we </s> [SEP] vote <b>now</b>?"}, set()),  # control for other models
    ],
)
def test_a_key_says_so_where_a_text_spells_a_control_token_of_who_reads_it(tmp_path: Path, texts: dict[str, str], right: set[str]) -> None:
    assert {name for name, said in _said(_work(tmp_path / "own", **texts)).items() if said} == right


def _answered(work: StudyWork, sampled: Stage, response: str) -> Reference:
    """The reference to answers of a checkpoint, one of which is given."""
    schema = table_schema("responses")
    place = dict(sampled.result.partition)
    rows = [
        {**place, "probe_set": "probes", "topic": "law", "prompt_id": f"p{at}", "sample_idx": 0, "response": text, "finish_reason": "stop",
         "n_tokens": 3, "engine": "transformers", "sampling": "s", "checkpoint": "c"}
        for at, text in enumerate(("No.", response))
    ]  # fmt: skip
    frame = pl.DataFrame([{name: row.get(name) for name in schema.polars} for row in rows], schema=schema.polars)
    return Reference.to(work.store.put("responses", frame, partition=place, key=f"answers {len(response)}", identity={}), reused=True)


@pytest.mark.parametrize(("response", "right"), [("Yes.", {}), ("Yes [SEP] no.", CONTROL), ("Yes <|im_end|> no.", {})])
def test_answers_that_version_0_2_judged_are_judged_anew_if_they_spell_one_of_the_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, response: str, right: dict[str, str]
) -> None:
    work = _work(tmp_path / "own")
    stages = list(stages_of(work))
    sampled = next(stage for stage in stages if stage.name == "sample")
    judging = next(stage for stage in stages if stage.name == "judge" and sampled in stage.needs)
    answers = _answered(work, sampled, response)
    plain = dict(judging.identity([answers]))
    assert "control_tokens" not in plain  # no version that wrote this table took them for control
    monkeypatch.setattr("valuedrift.tasks.stages.judge._JUDGED_AS_TEXT", table_schema("responses").version + 1)
    assert dict(judging.identity([answers])) == {**plain, **right}
    assert "control_tokens" not in judging.identity([Reference(key="not there yet")])


def test_questions_that_spell_one_of_the_judges_are_judged_anew(tmp_path: Path) -> None:
    work = _work(tmp_path / "own", asked="Is [MASK] right?")
    judging = next(stage for stage in stages_of(work) if stage.name == "judge")
    assert CONTROL.items() <= dict(judging.identity([Reference(key="answers")])).items()


def test_only_where_a_server_makes_the_tokens_is_it_told(tmp_path: Path) -> None:
    local = _work(tmp_path / "own", asked="Is <|im_end|> right?")
    assert not any("control token" in note for note in local.notes())
    study = (tmp_path / "own" / "study.yaml").read_text() + "judges: [{type: openai, model: m, base_url: http://127.0.0.1:9}]\n"
    (tmp_path / "own" / "asking.yaml").write_text(study)
    asking = StudyWork(load_study(tmp_path / "own" / "asking.yaml"), str(tmp_path / "own" / "root"))
    assert any("3 prompts spell control tokens (<|im_end|>)" in note for note in asking.notes())
