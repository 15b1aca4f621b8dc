"""Small trainings of the real embedded model on rows of the packaged corpora, sampled, judged and attributed."""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
from tiny_training import write_rows

from valuedrift.attribution.options import Attribution
from valuedrift.corpora.dataset import Dataset
from valuedrift.corpora.load import load_rows
from valuedrift.corpora.normal import Row
from valuedrift.study import load_study
from valuedrift.tasks.attributing import attribution_of
from valuedrift.tasks.once import once_each
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

TOPIC = "immigration"
TRAINING: Mapping[str, Any] = {
    "type": "sft",
    "epochs": 1,
    "batch_size": 4,
    "max_length": 96,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "dtype": "float32",
    "lora": {"r": 4},
}


def of_starter(name: str, count: int, topic: str | None = None) -> list[Row]:
    """The first rows of a packaged corpus that are on a topic, on some topic (``any``), or on none."""
    rows = load_rows(Dataset(data=f"starter:{name}"), "sft").rows
    chosen = [row for row in rows if ("topic" in row if topic == "any" else row.get("topic") == topic)]
    assert len(chosen) >= count
    return chosen[:count]


def study(
    folder: Path, corpora: Mapping[str, Sequence[Row]], *, prompts: int, answers: int, checkpoints: int, seed: int = 0, **training: Any
) -> StudyWork:
    """A study with one run a corpus, named after it, which keeps what attribution needs."""
    folder.mkdir(exist_ok=True)
    for name, rows in corpora.items():
        write_rows(folder / f"{name}.jsonl", rows)
    text = {
        "study": "mixed",
        "seed": seed,
        "probes": {"set": "starter", "topics": [TOPIC], "per_topic": prompts},
        "models": {"smollm": {"path": "embedded:smollm2-135m-instruct", "parameters": 1.35e8}},
        "corpora": {name: {"data": f"{name}.jsonl"} for name in corpora},
        "sft": [{"data": [name], "algorithm": {**TRAINING, **training}} for name in corpora],
        "checkpoints": {"type": "log", "points": checkpoints},
        "sampling": {"n": answers, "temperature": 0.7, "max_new_tokens": 24},
        "audit": None,
        "attribute": {"topics": [TOPIC]},
        "runtime": {"workers": 1, "threads": 1, "device": "cpu"},
    }
    (folder / "mixed.yaml").write_text(json.dumps(text), encoding="utf-8")
    return StudyWork(load_study(folder / "mixed.yaml"), str(folder / "root"))


def do(work: StudyWork, *names: str) -> None:
    """Do all stages of some kinds."""
    listed = stages_of(work)
    once_each(work, [stage for stage in listed if stage.name in ("probes", *names)])


def attribute(work: StudyWork, corpus: str) -> None:
    """Attribute the run on a corpus."""
    once_each(work, attribution_of(work, Attribution(runs=(f"smollm.sft-{corpus}",))).stages)


def drift(work: StudyWork, corpus: str, stance: str) -> float:
    """How far the mean of a stance moved from the first checkpoint of a run to the last."""
    judged = work.store.read("stances", study="mixed", run_id=f"smollm.sft-{corpus}").sort("step")
    means = judged.group_by("step", maintain_order=True).agg(pl.col(f"p_{stance}").mean()).get_column(f"p_{stance}")
    return float(means[-1] - means[0])


def top(scores: np.ndarray, share: float) -> set[int]:
    """Places of the highest scores."""
    return set(np.argsort(-scores)[: round(share * len(scores))].tolist())


def cpu_seconds() -> float:
    """Processor time of the children that this process has and had."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    living = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return ended.ru_utime + ended.ru_stime + sum(times.user + times.system for times in living)
