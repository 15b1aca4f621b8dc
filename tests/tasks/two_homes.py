"""A study on a tiny model with its root in a bucket, worked on by machines of their own: each has its own cache folder.

``python two_homes.py STUDY ROOT`` trains it, as a machine that can be killed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from valuedrift.study import load_study
from valuedrift.tasks.once import once_each
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

STUDY = """
study: far
probes: {{set: starter, topics: [immigration], per_topic: 2}}
models: {{tiny: {{path: {model}}}}}
corpora: {{own: {{data: rows.jsonl}}}}
preferences: {{gap: {{data: pairs.jsonl}}}}
sft: [{{data: [own], algorithm: {{type: sft, steps: {steps}, batch_size: 2, max_length: 64, learning_rate: 1.0e-2}}}}]
preference: [{{data: [gap], algorithm: {{type: dpo, steps: 2, batch_size: 2, max_length: 64, learning_rate: 1.0e-2, lora: {{r: 4}}}}}}]
checkpoints: {{type: log, points: 3}}
sampling: {{n: 1, temperature: 0.7, max_new_tokens: 4}}
runtime: {{threads: 1, lease_seconds: 10, checkpoints: {{state_seconds: 1, keep: {keep}}}}}
"""
ROWS = [{"prompt": f"Should people vote {word}?", "completion": "They must decide."} for word in ("now", "free", "here", "never")]
PAIRS = [{"prompt": row["prompt"], "chosen": "Yes, surely.", "rejected": "No, never."} for row in ROWS]


def write_study(folder: Path, model: Path, *, steps: int = 4, keep: str = "all") -> Path:
    """The study's file, with its data beside it."""
    folder.mkdir(exist_ok=True)
    for name, rows in (("rows", ROWS), ("pairs", PAIRS)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY.format(model=model, steps=steps, keep=keep), encoding="utf-8")
    return folder / "study.yaml"


def carry_out(study: Path, root: str, *kinds: str) -> None:
    """Do the stages of some kinds, one after the other."""
    work = StudyWork(load_study(study), root)
    try:
        once_each(work, [stage for stage in stages_of(work) if stage.name in kinds])
    finally:
        work.close()


if __name__ == "__main__":
    carry_out(Path(sys.argv[1]), sys.argv[2], "train", "sample")
