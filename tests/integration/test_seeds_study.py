"""A real study of a tiny model with one seed, then with two: what was there stays, phases start from their own seed's parent, the page tells both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import valuedrift as vd
from valuedrift.storage.store import Store
from valuedrift.study import load_study
from valuedrift.tasks.once import once_each
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork
from valuedrift.tasks.survey import State, complete, survey

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("models", "cli")]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SFT, DPO = "good.sft-c", "good.sft-c.dpo-p"


def work_of(folder: Path, study: dict[str, Any]) -> StudyWork:
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return StudyWork(load_study(folder / "study.yaml"), str(folder / "root"))


def run(work: StudyWork) -> None:
    once_each(work, stages_of(work))


def test_a_study_gets_a_second_seed_and_keeps_what_it_had(tmp_path: Path) -> None:
    from broken_files import SOUND_STUDY
    from untied import save_untied

    save_untied(tmp_path / "good", max_position_embeddings=512)
    study = SOUND_STUDY | {
        "models": {"good": {"path": "good"}},
        "corpora": {"c": {"data": "starter:sft-neutral", "limit": 16, "traits": {"answers": "neutral"}}},
        "preferences": {"p": {"data": "starter:preference-support", "limit": 16}},
        "probes": {"set": "starter", "topics": ["immigration"], "per_topic": 10},
        "sampling": {"n": 5, "max_new_tokens": 8},
        "audit": None,
    }
    run(work_of(tmp_path, study))
    before = Store(tmp_path / "root")
    kept = {name: before.read(name).sort(pl.all()) for name in ("runs", "checkpoints", "responses", "stances", "drift")}
    assert not before.entries("seed_drift") and set(kept["runs"]["run_id"]) == {SFT, DPO}

    seeded = study | {"seeds": [0, 1]}
    work = work_of(tmp_path, seeded)
    standings = survey(work, stages_of(work))
    mine = [one for one in standings if one.stage.run_id in (SFT, DPO)]
    assert mine and all(one.state is State.CACHED for one in mine)
    assert {one.stage.run_id for one in standings if one.stage.name == "train" and one.state is not State.CACHED} == {
        f"{SFT}-seed1",
        f"{DPO}-seed1",
    }
    run(work)
    store = Store(tmp_path / "root")
    for name, frame in kept.items():
        own = store.read(name).filter(pl.col("run_id").is_in([SFT, DPO]))
        assert own.select(pl.exclude("q_value_study")).sort(pl.all()).equals(frame.select(pl.exclude("q_value_study")).sort(pl.all())), name

    assert set(store.read("runs").select("run_id", "parent_run_id", "seed").iter_rows()) == {
        (SFT, None, 0), (f"{SFT}-seed1", None, 1), (DPO, SFT, 0), (f"{DPO}-seed1", f"{SFT}-seed1", 1),
    }  # fmt: skip
    weights = {(run, step): content for run, step, content in store.read("checkpoints").select("run_id", "step", "fingerprint").iter_rows()}
    last = max(step for name, step in weights if name == SFT)
    assert weights[SFT, 0] == weights[f"{SFT}-seed1", 0]
    assert weights[SFT, last] != weights[f"{SFT}-seed1", last] == weights[f"{DPO}-seed1", 0]
    answers = store.read("responses").sort("prompt_id", "sample_idx")
    base = [answers.filter(run_id=name, step=0)["response"].to_list() for name in (SFT, f"{SFT}-seed1")]
    assert base[0] == base[1] and base[0]

    found = vd.open(tmp_path / "root").over_seeds()
    assert set(found["run_group"]) == {SFT, DPO} and set(found.select("n_seeds", "lacking_seeds").rows()) == {(2, 0)}
    single = store.read("drift")
    for row in found.iter_rows(named=True):
        mine = single.filter(
            pl.col("run_id").is_in([row["run_group"], f"{row['run_group']}-seed1"]), topic=row["topic"], stance=row["stance"]
        )
        assert mine.height == 2 and row["smallest"] <= row["magnitude"] <= row["largest"] and row["n_prompts"] <= mine["n_prompts"].min()
        assert row["magnitude_low"] <= row["magnitude"] <= row["magnitude_high"]
    lines = vd.open(tmp_path / "root").over_seeds(trajectory=True)
    assert set(lines["run_group"]) == {SFT, DPO} and lines.filter(run_group=SFT, step=0)["seed_share"].fill_null(0).max() == 0
    page = (tmp_path / "root" / "reports" / "s" / "report.html").read_text(encoding="utf-8")
    assert '<section id="seeds">' in page and f"{DPO}-seed1" in page
    work = work_of(tmp_path, seeded)
    assert complete(survey(work, stages_of(work)))
