"""A cascade's share made smaller and larger again: what the strong judge read is kept, and nothing is asked of it twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

from valuedrift.errors import UserError
from valuedrift.judges.drawing import draw_answers
from valuedrift.stance import STANCE_COLUMNS
from valuedrift.study import load_study
from valuedrift.tasks.labels import judge_name
from valuedrift.tasks.result import Frames, Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages.cascade import KEPT, SAMPLE, cascade_identity, paid_for
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

PLACE: dict[str, str | int] = {"study": "s", "run_id": "mine", "step": 0}
ANSWER = ["probe_set", "topic", "prompt_id", "sample_idx"]


def worked(folder: Path, share: float, model: str = "gpt-4o") -> tuple[StudyWork, Stage]:
    """The study with a share, and the stage of its cascade at the first checkpoint."""
    content = {
        "study": "s",
        "probes": {"topics": ["immigration", "religion"], "per_topic": 10},
        "engine": {"type": "openai", "base_url": "http://127.0.0.1:9/v1"},
        "served": {"mine": {0: "base", 50: "mine-50"}},
        "sampling": {"n": 2},
        "judges": [
            {"type": "cascade", "name": "both", "cheap": "quick", "strong": "deep", "share": share},
            {"type": "cross-encoder", "name": "quick"},
            {"type": "openai", "name": "deep", "model": model, "base_url": "http://127.0.0.1:9/v1", "retries": 0},
        ],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    work = StudyWork(load_study(folder / "study.yaml"), str(folder / "root"))
    stages = [stage for stage in stages_of(work) if stage.result.slot == "both" and stage.step == 0]
    return work, stages[0]


def stances(work: StudyWork) -> pl.DataFrame:
    """What the cheap judge says of two answers to each question."""
    random, rows = np.random.default_rng(1), []
    for probe in work.probes:
        for sample in range(2):
            p = random.dirichlet([1, 1, 1]).tolist()
            rows.append((probe.probe_set, probe.topic, probe.prompt_id, sample, probe.polarity, probe.pair_id, *p, 0.0, "ok", "quick"))
    columns = [*ANSWER, "polarity", "pair_id", *STANCE_COLUMNS, "unassigned", "status", "judge"]
    types = {"sample_idx": pl.Int32, "polarity": pl.Int8, "unassigned": pl.Float64}
    return pl.DataFrame(rows, schema=columns, schema_overrides=types, orient="row")


def made(folder: Path, share: float, model: str = "gpt-4o") -> tuple[StudyWork, Frames]:
    """What the stage makes with a share, kept in the store. Nobody listens where the strong judge would be asked."""
    work, stage = worked(folder, share, model)
    needs = [Reference(table=table, partition=PLACE, slot=slot, key=table) for table, slot in (("responses", ""), ("stances", "quick"))]
    identity = stage.identity(needs)
    frames = stage.make(work, needs)
    stage.result.keep(work, frames, f"share {share}", identity)
    return work, frames


@pytest.fixture
def read_before(tmp_path: Path) -> tuple[Path, pl.DataFrame]:
    """A root in which the strong judge has read nine tenths of a checkpoint, and what it said."""
    work, stage = worked(tmp_path, 0.9)
    cheap = stances(work).with_columns(study=pl.lit("s"), run_id=pl.lit("mine"), step=pl.lit(0, dtype=pl.Int64))
    answers = cheap.select("study", "run_id", "step", *ANSWER).with_columns(
        response=pl.lit("Yes."),
        finish_reason=pl.lit("stop"),
        n_tokens=pl.lit(2, dtype=pl.Int32),
        engine=pl.lit("openai"),
        sampling=pl.lit("x"),
        checkpoint=pl.lit("y"),
        reasoning=pl.lit(None, dtype=pl.String),
    )
    work.store.put("responses", answers, partition=PLACE, key="responses", identity={})
    work.store.put("stances", cheap, partition=PLACE, key="stances", identity={}, slot="quick")
    drawn = draw_answers(cheap, 0.9).join(cheap.drop("judge", "polarity", "pair_id"), on=ANSWER)
    said = drawn.with_columns(
        *(pl.col(name).alias(name.replace("p_", "cheap_", 1)) for name in STANCE_COLUMNS),
        p_support=pl.col("p_oppose"),
        p_oppose=pl.col("p_support"),
        unassigned=pl.lit(0.01),
        judge=pl.lit("both"),
        cheap=pl.lit("quick"),
        strong=pl.lit("deep"),
    )
    of_cheap = [name for name in said.columns if name.startswith("cheap")]
    frames = {SAMPLE: said, KEPT: said.drop("probability", *of_cheap).clear(), "stances": cheap.with_columns(judge=pl.lit("both"))}
    identity = cascade_identity(work.study.judges[2], 0.9, "responses", "stances")
    stage.result.keep(work, frames, "share 0.9", identity)
    return tmp_path, said


def test_a_smaller_share_keeps_what_a_larger_one_takes_up_again(read_before: tuple[Path, pl.DataFrame]) -> None:
    folder, said = read_before
    _, small = made(folder, 0.3)
    assert 0 < small[SAMPLE].height < 0.5 * said.height and small[SAMPLE].height + small[KEPT].height == said.height
    made(folder, 0.5)
    work, large = made(folder, 0.9)
    columns = [*ANSWER, *STANCE_COLUMNS, "unassigned", "status", "probability"]
    assert_frame_equal(large[SAMPLE].select(columns), said.select(columns), check_row_order=False)
    assert large[KEPT].is_empty() and work.store.read("cascade_kept", study="s").is_empty()
    assert work.store.read(SAMPLE, study="s").height == said.height


def test_what_another_strong_judge_said_is_not_taken_for_its_own(read_before: tuple[Path, pl.DataFrame]) -> None:
    folder, said = read_before
    work, stage = worked(folder, 0.3, "gpt-5")
    needs = [Reference(table=table, partition=PLACE, slot=slot, key=table) for table, slot in (("responses", ""), ("stances", "quick"))]
    there = paid_for(work, stage.result, stage.identity(needs))
    assert there.is_empty() and said.height


def test_labels_are_drawn_by_the_cascade_not_by_its_strong_judge(read_before: tuple[Path, pl.DataFrame]) -> None:
    folder, _ = read_before
    store = worked(folder, 0.9)[0].store
    assert judge_name(store, "s", "both") == "both"
    with pytest.raises(UserError, match="nothing of this study but the sample of cascade 'both'"):
        judge_name(store, "s", "deep")
    with pytest.raises(UserError, match="no judge 'depe' has judged"):
        judge_name(store, "s", "depe")
