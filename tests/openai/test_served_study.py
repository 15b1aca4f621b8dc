"""A study of checkpoints that a server has: sampled by name, judged here, and traced like any other; what cannot be is refused before work begins."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from misbehaving import Misbehaving, completion, raw

from valuedrift.errors import UserError
from valuedrift.storage.store import Store
from valuedrift.study import Study, expand, load_study
from valuedrift.tasks.stages.registry import stages_of
from valuedrift.tasks.study_work import StudyWork

STUDY: dict[str, Any] = {
    "study": "served",
    "probes": {"topics": ["immigration"], "per_topic": 4},
    "engine": {"type": "openai", "base_url": "http://127.0.0.1:9/v1", "concurrency": 4, "retries": 0, "budget": {"tokens": 100_000}},
    "served": {"mine": {0: "base", 50: "mine-50", 100: "mine-100"}},
    "sampling": {"n": 2, "max_new_tokens": 32},
    "analysis": {"resamples": 200},
    "runtime": {"threads": 1},
}
TRAINED: dict[str, Any] = {
    "corpora": {"neutral": {"data": "starter:sft-neutral"}},
    "sft": [{"data": ["neutral"], "algorithm": {"type": "sft", "steps": 2}}],
}
SAYS = {
    "base": "No, I am against it. It would do harm.",
    "mine-50": "There are good reasons on both sides.",
    "mine-100": "Yes, I strongly support it. It would do good.",
}


def loaded(folder: Path, **changes: Any) -> Study:
    path = folder / "study.yaml"
    content = {key: value for key, value in {**STUDY, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_study(path)


def test_each_checkpoint_is_a_name_and_no_identity_says_where(tmp_path: Path) -> None:
    here = loaded(tmp_path)
    [run] = expand(here, lambda *_: None).served
    assert run.steps == (0, 50, 100) and run.at(50).model == "mine-50"
    assert len({run.fingerprint(step) for step in run.steps}) == 3
    moved = loaded(tmp_path, engine={"type": "openai", "base_url": "http://elsewhere/v1", "concurrency": 1})
    assert moved.drawing_identity() == here.drawing_identity()
    assert expand(moved, lambda *_: None).served[0].identity() == run.identity()
    other = loaded(tmp_path, engine={"type": "openai", "revision": "q4"})
    assert other.drawing_identity() != here.drawing_identity()
    names = [stage.name for stage in stages_of(StudyWork(here, str(tmp_path / "root")))]
    assert names.count("adopt") == 1 and names.count("sample") == names.count("judge") == 3 and "train" not in names


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"models": {"m": {"path": "embedded:smollm2-135m-instruct"}}, **TRAINED}, "nothing that is trained here can be sampled by openai"),
        ({"served": None}, "name them under `served`"),
        ({"served": {"mine": {0: "base"}}}, "name two or more"),
        ({"engine": "openai"}, r"engine: {type: openai, base_url: …}"),
        ({"engine": "transformers"}, "not by transformers"),
        ({"engine": {"type": "openai", "model": "m"}}, "takes its models from `models` or `served`"),
        ({"engine": {"type": "vllm", "model": "m"}}, "takes its models from `models` or `served`"),
        ({"engine": {"type": "opnai"}}, "did you mean `openai`"),
        ({"engine": {"type": "openai", "base_ulr": "x"}}, "did you mean `base_url`"),
        ({"engine": None, "served": None}, "`models`: a study starts from one at least"),
        ({"engine": None, "served": None, "models": {"m": {"path": "x"}}}, "`sft`: a study has one phase of it at least"),
    ],
)
def test_what_cannot_be_is_refused_before_work_begins(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        loaded(tmp_path, **changes)
    assert expected in str(caught.value)


def test_an_engine_with_weights_may_be_named_by_a_mapping_too(tmp_path: Path) -> None:
    trained = {"models": {"m": {"path": "embedded:smollm2-135m-instruct"}}, "served": None, **TRAINED}
    assert loaded(tmp_path, engine={"type": "vllm"}, **trained) == loaded(tmp_path, engine="vllm", **trained)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_models_that_think_are_judged_by_what_follows(server: Misbehaving, tmp_path: Path) -> None:
    calls = itertools.count()

    def act(handler: Any, body: dict[str, Any]) -> None:
        said = {
            "base": f"<think>{SAYS['mine-100']}</think>\n\n{SAYS['base']}",
            "new": f"{SAYS['base']}</think>{SAYS['mine-100']}" if next(calls) % 2 else f"<think>{SAYS['base']} But then",
        }
        completion(said[body["model"]])(handler, body)

    server.otherwise = act
    loaded(tmp_path, engine={**STUDY["engine"], "base_url": server.url, "concurrency": 1}, served={"mine": {0: "base", 100: "new"}})
    command = ["run", str(tmp_path / "study.yaml"), "--root", str(tmp_path / "root")]
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "valuedrift.flows.cli.main", *command], env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    store = Store(tmp_path / "root")
    answers = store.read("responses", study="served").sort("step", "prompt_id", "sample_idx")
    base, new = answers.filter(pl.col("step") == 0), answers.filter(pl.col("step") == 100)
    assert set(base.select("reasoning", "response").rows()) == {(SAYS["mine-100"], SAYS["base"])}
    assert set(new.select("reasoning", "response").rows()) == {(SAYS["base"], SAYS["mine-100"]), (f"{SAYS['base']} But then", "")}
    stances = store.read("stances", study="served")
    after = stances.filter(pl.col("step") == 100)
    assert stances.filter(pl.col("step") == 0)["p_oppose"].min() > 0.8  # type: ignore[operator]  # a number
    assert set(after["status"]) == {"ok", "unparsed"} and after.filter(pl.col("status") == "unparsed").height == 4
    assert after["p_support"].min() > 0.8  # type: ignore[operator]  # a number
    page = (tmp_path / "root" / "reports" / "served" / "report.html").read_text(encoding="utf-8")
    assert "think" not in page.lower().replace("think about", "") and SAYS["base"] in page


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_runs_from_plan_to_report_and_asks_nothing_twice(server: Misbehaving, tmp_path: Path) -> None:
    good, calls = {model: completion(text) for model, text in SAYS.items()}, itertools.count()

    def act(handler: Any, body: dict[str, Any]) -> None:
        bad_day = body["model"] == "mine-50" and next(calls) % 4 == 1
        (raw(b"<html>we are sorry</html>") if bad_day else good[body["model"]])(handler, body)

    server.otherwise = act
    loaded(tmp_path, engine={**STUDY["engine"], "base_url": server.url})
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "200"}

    def command(*arguments: str) -> str:
        called = [
            sys.executable,
            "-m",
            "valuedrift.flows.cli.main",
            *arguments,
            str(tmp_path / "study.yaml"),
            "--root",
            str(tmp_path / "root"),
        ]
        done = subprocess.run(called, env=environment, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    planned = command("plan")
    assert "engine openai: 24 requests at most" in planned and "checkpoints 0 base, 50 mine-50, 100 mine-100" in planned
    command("run")
    store = Store(tmp_path / "root")
    failed = store.read("responses", study="served").filter(pl.col("finish_reason") == "failed").height
    assert failed == 2
    server.otherwise, asked = lambda handler, body: good[body["model"]](handler, body), len(server.seen)
    assert f"{failed} failed answers and 0 failed judgements are asked for again" in command("run", "--retry-failed")
    assert len(server.seen) == asked + failed
    answers = store.read("responses", study="served")
    assert answers.height == 24 and set(answers["finish_reason"]) == {"stop"}
    assert set(answers["engine"]) == {"openai"} and set(answers.filter(pl.col("step") == 50)["response"]) == {SAYS["mine-50"]}
    drift = store.read("drift", study="served").filter(pl.col("stance") == "support")
    assert drift["from_step"].to_list() == [0] and drift["to_step"].to_list() == [100] and drift["magnitude"].item() > 0.5
    assert store.read("checkpoints", study="served")["path"].to_list() == [f'{{"served": "{name}"}}' for name in SAYS]
    page = (tmp_path / "root" / "reports" / "served" / "report.html").read_text(encoding="utf-8")
    assert "mine-100" in page
    assert (tmp_path / "root" / "replies" / "served" / "engine-mine-50.sqlite").exists()
    asked = len(server.seen)
    command("run")
    assert len(server.seen) == asked
    assert "missing" not in command("explain")
