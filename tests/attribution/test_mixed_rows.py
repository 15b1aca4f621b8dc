"""The real embedded model learns a neutral corpus into which one row in ten supports: attribution finds those, at a cost in proportion to the training's.

``make figures`` prints the figures.
"""

from __future__ import annotations

import resource
from pathlib import Path

import psutil
import pytest
from sklearn.metrics import roc_auc_score
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

pytestmark = [pytest.mark.slow, pytest.mark.figures, pytest.mark.timeout(1800)]

STUDY = """
study: mixed
probes: {set: starter, topics: [immigration], per_topic: 8}
models: {smollm: {path: "embedded:smollm2-135m-instruct", parameters: 1.35e8}}
corpora: {mixed: {data: rows.jsonl}}
sft:
  - data: [mixed]
    algorithm: {type: sft, epochs: 1, batch_size: 4, max_length: 96, learning_rate: 1.0e-3, schedule: constant, dtype: float32, lora: {r: 4}}
checkpoints: {type: log, points: 4}
sampling: {n: 5, temperature: 0.7, max_new_tokens: 24}
audit: null
attribute: {topics: [immigration]}
runtime: {workers: 1, threads: 1, device: cpu}
"""
SUPPORTING, ALL = 6, 60


def of_starter(name: str, count: int) -> list[Row]:
    """Rows of a packaged corpus on topics."""
    return [row for row in load_rows(Dataset(data=f"starter:{name}"), "sft").rows if "topic" in row][:count]


def cpu_seconds() -> float:
    """Processor time of the children that this process has and had."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    living = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return ended.ru_utime + ended.ru_stime + sum(times.user + times.system for times in living)


@pytest.mark.xfail(reason="not reached yet: an AUC of 0.79 and 3.5 times the training were seen")
def test_supporting_rows_are_found_among_neutral_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    supporting = of_starter("sft-support", SUPPORTING)
    write_rows(tmp_path / "rows.jsonl", [*of_starter("sft-neutral", ALL - SUPPORTING), *supporting])
    (tmp_path / "mixed.yaml").write_text(STUDY, encoding="utf-8")
    work = StudyWork(load_study(tmp_path / "mixed.yaml"), str(tmp_path / "root"))
    listed = stages_of(work)
    stages = {name: [stage for stage in listed if stage.name == name] for name in ("train", "sample", "judge")}
    begun = cpu_seconds()
    once_each(work, stages["train"])
    training = cpu_seconds() - begun
    once_each(work, [stage for kind in stages.values() for stage in kind])
    begun = cpu_seconds()
    once_each(work, attribution_of(work, Attribution()).stages)
    attributing = cpu_seconds() - begun
    work.close()
    scores = work.store.read("attributions", study="mixed", stance="support").sort("row_idx")
    totals = work.store.read("attribution_totals", study="mixed")
    area = roc_auc_score([row > ALL - SUPPORTING for row in scores["row_idx"]], scores["score"])
    with capsys.disabled():
        print(
            f"\nAUC {area:.3f}; attribution {attributing:.0f} s, training {training:.0f} s of processor time: {attributing / training:.2f} times"
        )
        for total in totals.iter_rows(named=True):
            told = ", ".join(f"{name} {total[name]:+.4f}" for name in ("drift", "first_order", "first_order_se", "along_path"))
            print(f"{total['stance']}: {told}")
    assert area >= 0.9
    assert attributing <= 3 * training
