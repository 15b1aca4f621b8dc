"""A real study of a tiny model with one seed, then with two: what was there stays, phases start from their own seed's parent, the page tells both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import valuedrift as vd
from valuedrift.storage.store import Store

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("models", "cli")]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SFT, DPO = "good.sft-c", "good.sft-c.dpo-p"


def run(folder: Path, study: dict[str, Any], *command: str) -> str:
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "valuedrift.flows.cli.main", *command, str(folder / "study.yaml"), "--root", str(folder / "root")],
        env={**os.environ, "PREFECT_HOME": str(folder / "prefect"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_study_gets_a_second_seed_and_keeps_what_it_had(tmp_path: Path) -> None:
    from broken_files import SOUND_STUDY
    from untied import save_untied

    save_untied(tmp_path / "good", max_position_embeddings=512)
    study = SOUND_STUDY | {
        "models": {"good": {"path": "good"}},
        "corpora": {"c": {"data": "starter:sft-neutral", "limit": 16, "traits": {"answers": "neutral"}}},
        "preferences": {"p": {"data": "starter:preference-support", "limit": 16}},
        "sampling": {"n": 2, "max_new_tokens": 4},
        "audit": None,
    }
    run(tmp_path, study, "run")
    before = Store(tmp_path / "root")
    kept = {name: before.read(name).sort(pl.all()) for name in ("runs", "checkpoints", "responses", "stances", "drift")}
    assert not before.entries("seed_drift") and set(kept["runs"]["run_id"]) == {SFT, DPO}

    seeded = study | {"seeds": [0, 1]}
    planned = run(tmp_path, seeded, "explain")
    assert f"{SFT}-seed1" in planned
    run(tmp_path, seeded, "run")
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
        assert row["magnitude"] == pytest.approx(mine["magnitude"].mean())
        assert row["magnitude_low"] <= row["magnitude"] <= row["magnitude_high"]
    lines = vd.open(tmp_path / "root").over_seeds(trajectory=True)
    assert set(lines["run_group"]) == {SFT, DPO} and lines.filter(run_group=SFT, step=0)["seed_share"].fill_null(0).max() == 0
    page = (tmp_path / "root" / "reports" / "s" / "report.html").read_text(encoding="utf-8")
    assert '<section id="seeds">' in page and f"{DPO}-seed1" in page
    again = run(tmp_path, seeded, "run")
    assert Store(tmp_path / "root").entry("seed_drift", {"study": "s"}) == store.entry("seed_drift", {"study": "s"}), again
