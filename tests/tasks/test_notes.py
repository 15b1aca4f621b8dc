"""What a plan says of what a study reads."""

from __future__ import annotations

import json
from pathlib import Path

from valuedrift.study import load_study
from valuedrift.tasks.work import StudyWork


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
