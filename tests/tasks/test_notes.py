"""What a plan says of what a study reads."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from valuedrift.flows.cli import plan as _plan  # noqa: F401 # enters the command
from valuedrift.flows.cli.app import app
from valuedrift.study import load_study
from valuedrift.tasks.study_work import StudyWork


def test_a_plan_says_what_a_mixture_is_made_of_and_which_texts_stand_twice(tmp_path: Path) -> None:
    for name, count in (("chat", 100), ("values", 12)):
        lines = (json.dumps({"prompt": f"{name} {at}?", "response": "Yes."}) + "\n" for at in range(count))
        (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    probes = ({"prompt_id": name, "topic": "t", "prompt": text} for name, text in (("a", "Is it?"), ("b", "Is it?"), ("c", "Why is it?")))
    (tmp_path / "probes.jsonl").write_text("".join(json.dumps(probe) + "\n" for probe in probes), encoding="utf-8")
    (tmp_path / "study.yaml").write_text(
        "study: mixed\n"
        "models: {m: {path: m}}\n"
        "probes: {set: probes.jsonl}\n"
        "corpora: {both: {mixture: [{data: chat.jsonl, weight: 0.75}, {data: values.jsonl, weight: 0.25}]}}\n"
        "sft: [{data: [both], algorithm: {type: sft, steps: 2, learning_rate: 1.0e-4}}]\n",
        encoding="utf-8",
    )
    work = StudyWork(load_study(tmp_path / "study.yaml"), str(tmp_path / "root"))
    assert [run.rows for run in work.plan.runs] == [48]
    assert work.notes() == [
        "one text stands under several prompt ids, which count as prompts of their own, so intervals are too short: a and b (Is it?)",
        f"dataset both is 36 rows of {tmp_path}/chat.jsonl and 12 rows of {tmp_path}/values.jsonl",
    ]


def test_what_becomes_of_the_rows_of_a_dataset_is_told(tmp_path: Path) -> None:
    cases = Path(__file__).parents[1] / "cases"
    study = (
        "study: rows\nmodels: {m: {path: gone}}\nsft: [{data: [kto, plain, away], algorithm: {type: sft, steps: 1}}]\ncorpora:\n"
        f"  kto: {{data: {cases / 'kto.jsonl'}}}\n  plain: {{data: 'starter:sft-neutral', limit: 4}}\n"
        f"  away: {{data: {tmp_path / 'away.jsonl'}, rows: 10}}\n"
        "preference: [{data: [pairs], after: [plain], algorithm: {type: dpo, steps: 1}}]\n"
        f"preferences: {{pairs: {{data: {cases / 'scores_reversed.jsonl'}}}}}\n"
    )
    (tmp_path / "rows.yaml").write_text(study, encoding="utf-8")
    work = StudyWork(load_study(tmp_path / "rows.yaml"), str(tmp_path / "root"))
    assert [note for note in work.notes() if note.startswith("dataset")] == [
        "dataset kto: 4 rows used; 4 left out (labelled false: 4)",
        "dataset pairs: 4 rows used; scores contradict the pair (`score_chosen` below `score_rejected`): 2; "
        "scores tie the pair (`score_chosen` equals `score_rejected`): 2",
    ]
    assert {run.dataset_name: run.rows for run in work.plan.runs} == {"kto": 4, "plain": 4, "away": 10, "pairs": 4}


def test_a_plan_with_one_prompt_says_that_no_drift_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "probes.jsonl").write_text('{"prompt_id": "a", "topic": "t", "prompt": "Is it fair?"}\n', encoding="utf-8")
    (tmp_path / "one.yaml").write_text(
        "study: one\nmodels: {m: {path: gone}}\nprobes: {set: probes.jsonl}\ncorpora: {n: {data: 'starter:sft-neutral', limit: 4}}\n"
        "sft: [{data: [n], algorithm: {type: sft, steps: 1}}]\n",
        encoding="utf-8",
    )
    done = CliRunner().invoke(app, ["plan", str(tmp_path / "one.yaml"), "--root", str(tmp_path / "root")])
    assert done.exit_code == 0 and "with 1 prompt a topic no drift can be told from noise" in done.output, done.output
    told = CliRunner().invoke(app, ["plan", str(tmp_path / "one.yaml"), "--root", str(tmp_path / "root"), "--json"])
    assert json.loads(told.output)["smallest_drift"] is None
