"""``valuedrift checkpoints`` and ``tables forget``: what is told, what is deleted, and what stays."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import small_study
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

import valuedrift.flows.cli.checkpoints
import valuedrift.flows.cli.plan
import valuedrift.flows.cli.tables  # noqa: F401 — hang their commands on the application
from valuedrift.cache import CACHE_VARIABLE
from valuedrift.fingerprint import fingerprint
from valuedrift.flows.cli.app import app
from valuedrift.storage.schemas import table_schema
from valuedrift.storage.weights_store import Place
from valuedrift.study import load_study
from valuedrift.tasks.kept_weights import Stack
from valuedrift.tasks.once import once
from valuedrift.tasks.result import Reference
from valuedrift.tasks.stage import Stage
from valuedrift.tasks.stages import train
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

STUDY = """
study: NAME
probes: {set: starter, topics: [immigration], per_topic: 2}
models: {small: {path: MODEL}}
corpora: {own: {data: "starter:sft-neutral", limit: 8}}
preferences: {gap: {data: "starter:preference-support", limit: 8}}
sft: [{data: [own], algorithm: {type: sft, steps: 4}}]
preference: [{data: [gap], algorithm: {type: dpo, steps: 4}}]
checkpoints: {type: steps, steps: [2]}
runtime: {checkpoints: {keep: last}}
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words, env={"COLUMNS": "200"})


def done(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.exception or result.output
    return result.output


class Trained:
    """A study whose SFT is done by its tables, with weights of a few bytes; its DPO is not, and nothing is sampled."""

    def __init__(self, folder: Path, root: str, name: str = "mine") -> None:
        folder.mkdir(exist_ok=True)
        model = folder / "model"
        if not model.exists():
            model.mkdir()
            save_file({"w": np.zeros(4, dtype=np.float32)}, model / "model.safetensors")
            for file, content in (("config.json", {"model_type": "llama"}), ("tokenizer.json", {"added_tokens": []})):
                (model / file).write_text(json.dumps(content), encoding="utf-8")
        self.file = folder / f"{name}.yaml"
        self.file.write_text(STUDY.replace("NAME", name).replace("MODEL", str(model)), encoding="utf-8")
        self.root = root
        self.work = StudyWork(load_study(self.file), root)
        run = self.work.plan.run("small.sft-own")
        content = self.work.base(run.model)[1]
        self.key = fingerprint(train.train_identity(self.work, run, content))
        rows: list[dict[str, Any]] = [{"step": 0, "path": Stack(base=str(model)).model_dump_json(), "fingerprint": content}]
        for step in (2, 4):
            place = Place(self.key, f"step-{step:06d}")
            path = self.work.weights.store.path(place)
            if not path.exists():
                path.mkdir(parents=True)
                save_file({"w": np.full(1000, step, dtype=np.float32)}, path / "model.safetensors")
            self.work.weights.store.send(place)
            rows.append({"step": step, "path": Stack(base=str(place)).model_dump_json(), "fingerprint": f"of step {step}"})
        now = datetime.now(UTC)
        at = {"study": name, "run_id": run.run_id}
        summary = {
            **at, "parent_run_id": None, "model": "small", "phase": "sft", "dataset": "own", "seed": 0, "total_steps": 4, "config": "{}",
            "fingerprint": self.key, "git_commit": None, "started": now, "ended": now,
        }  # fmt: skip
        frames = {
            "training": pl.DataFrame([{**at, "step": 1, "loss": 1.0}]),
            "checkpoints": pl.DataFrame([{**at, **row, "adapter": False} for row in rows]),
            "runs": pl.DataFrame([summary], schema=table_schema("runs").polars),
            "training_rows": table_schema("training_rows").polars.to_frame(),
        }
        stage = next(train.stages(self.work, ()))
        stage.result.keep(self.work, frames, self.key, {"stage": "train"})

    def evaluate(self, run_id: str) -> None:
        """Enter answers and stances of a run as if they had been made."""
        references: dict[Stage, Reference] = {}
        for stage in stages_of(self.work):
            made = {
                "sample": lambda stage=stage: {"responses": small_study.responses(run_id, stage.step)},
                "judge": lambda stage=stage: {"stances": small_study.stances("dpo-gap", stage.step, stage.result.slot)},
                "train": dict,
            }
            if stage.run_id == run_id and stage.name in made and all(need in references for need in stage.needs):
                entered = replace(stage, make=lambda *_, make=made[stage.name]: make())
                references[stage] = once(self.work, entered, [references[need] for need in stage.needs])

    def lying(self) -> dict[str, tuple[bool, bool]]:
        return {place.step: (one.here is not None, one.bucket is not None) for place, one in self.work.weights.store.lying().items()}


@pytest.fixture(params=["folder", "bucket"])
def trained(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    root = str(tmp_path / "root") if request.param == "folder" else request.getfixturevalue("s3_root")
    return Trained(tmp_path / "study", root)


def test_weights_are_told_pruned_and_brought_again(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (str(trained.file), "--root", trained.root)
    rows = {row["step"]: row for row in json.loads(done("checkpoints", "list", *words, "--json"))}
    remote = trained.work.weights.store.is_remote
    assert [rows[step]["where"] for step in (0, 2, 4)] == ["name", *["here and bucket" if remote else "here"] * 2]
    assert rows[2]["needed_by"] == ["sample small.sft-own step 2", f"judge small.sft-own step 2 by {trained.work.study.judges[0].name}"]
    assert "train small.sft-own.dpo-gap" in rows[4]["needed_by"] and rows[2]["bytes"] > 4000
    assert "nothing to delete (keep: none)" in done("checkpoints", "prune", *words, "--keep", "none", "--yes"), "all of it is still needed"

    if remote:  # another machine
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "other"))
        told = done("checkpoints", "fetch", *words, "--step", "4")
        assert str(tmp_path / "other") in told and "step-000004" in told
        where = {row["step"]: row["where"] for row in json.loads(done("checkpoints", "list", *words, "--json"))}
        assert where == {0: "name", 2: "bucket", 4: "here and bucket"}
    wrong = run("checkpoints", "fetch", *words, "--run", "nobody")
    assert "no such checkpoint" in str(wrong.exception)


def test_what_is_judged_is_pruned_when_it_is_said(trained: Trained) -> None:
    words = (str(trained.file), "--root", trained.root)
    trained.evaluate("small.sft-own")
    would = done("checkpoints", "prune", *words)
    assert "small.sft-own step 2" in would and "step 4" not in would and "1 checkpoint" in would and "add --yes" in would
    assert len(trained.lying()) == 2, "nothing was deleted"
    assert "freed" in done("checkpoints", "prune", *words, "--yes")
    assert list(trained.lying()) == ["step-000004"]
    where = {row["step"]: row["where"].split()[0] for row in json.loads(done("checkpoints", "list", *words, "--json"))}
    assert where == {0: "name", 2: "pruned", 4: "here"}
    assert "nothing to delete" in done("checkpoints", "prune", *words, "--keep", "none"), "the last is what another phase starts from"
    gone = run("checkpoints", "fetch", *words, "--step", "2")
    assert "not here and not in the bucket" in str(gone.exception) and "keep: last" in str(gone.exception)
    assert "done again" not in done("plan", *words), "nothing needs them"
    trained.file.write_text(trained.file.read_text().replace("per_topic: 2", "per_topic: 4"))  # other probes
    told = done("plan", *words)
    assert "train small.sft-own is done again" in told and "deleted: keep: last" in told and "sample small.sft-own step 2" in told
    assert {row["step"]: row["where"].split()[0] for row in json.loads(done("checkpoints", "list", *words, "--json"))} == where


def test_a_study_is_forgotten_with_the_weights_that_no_other_tells_of(trained: Trained, tmp_path: Path) -> None:
    other = Trained(tmp_path / "study", trained.root, "other")
    assert other.key == trained.key
    asked = CliRunner().invoke(app, ("tables", "forget", "mine", "--root", trained.root), input="n\n")
    assert asked.exit_code == 0 and "nothing is removed" in asked.output and trained.work.store.studies() == ["mine", "other"]
    told = done("tables", "forget", "mine", "--root", trained.root, "--yes")
    assert "weights of 1 run stay" in told and "weights of 0 runs" in told
    assert StudyWork(load_study(trained.file), trained.root).store.studies() == ["other"] and len(trained.lying()) == 2
    told = done("tables", "forget", "other", "--root", trained.root, "--yes")
    assert "weights of 1 run (" in told and trained.lying() == {}
    assert "there is no study" in str(run("tables", "forget", "other", "--root", trained.root, "--yes").exception)
