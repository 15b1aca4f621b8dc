"""A study under a cascade: a cheap judge here, a strong one behind a server that reads a sample, through the command line and the flow."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from judging import tops
from misbehaving import Misbehaving, completion, status

from valuedrift.storage.store import Store

TEXTS = (
    "Yes, I strongly support it. It would do good.",
    "There are good reasons on both sides.",
    "No, I am against it. It would do harm.",
)
MODELS = {"base": (2, 2, 1), "mine-50": (2, 1, 0), "mine-100": (0, 0, 1)}
"""Which of the texts a model gives, in turn."""
ANSWER = ["run_id", "step", "probe_set", "prompt_id", "sample_idx"]
P = ["p_support", "p_neutral", "p_oppose"]
Run = Callable[..., subprocess.CompletedProcess[str]]


def study(server: Misbehaving, share: float) -> dict[str, Any]:
    asked = {"base_url": server.url, "retries": 0, "key_variable": None}
    return {
        "study": "served",
        "probes": {"topics": ["immigration", "religion"], "per_topic": 12},
        "engine": {"type": "openai", **asked},
        "served": {"mine": {0: "base", 50: "mine-50", 100: "mine-100"}},
        "sampling": {"n": 2, "max_new_tokens": 32},
        "judges": [
            {"type": "cascade", "name": "both", "cheap": "quick", "strong": "deep", "share": share},
            {"type": "cross-encoder", "name": "quick"},
            {"type": "openai", "name": "deep", "model": "deep", "rotations": 1, **asked},
        ],
        "analysis": {"resamples": 200},
        "alerts": ["moved"],
        "runtime": {"threads": 1, "retries": 0},
    }


class Asked:
    """What the server is asked, and how it answers.

    Attributes:
        read: Requests of the strong judge.
        until: How many of them it answers before its key expires; None: all.
    """

    def __init__(self) -> None:
        self.read = 0
        self.until: int | None = None
        self._calls = itertools.count()

    def __call__(self, handler: Any, body: dict[str, Any]) -> None:
        if body["model"] != "deep":
            # a text of its own for each question, so that hardly any two answers are equal
            question = hashlib.sha256(str(body["messages"]).encode()).hexdigest()[:6]
            texts = MODELS[body["model"]]
            completion(f"{TEXTS[texts[next(self._calls) % len(texts)]]} (I thought of {question}.)")(handler, body)
            return
        self.read += 1
        expired = self.until is not None and self.read > self.until
        (status(401, "the key has expired") if expired else completion("A", top=tops()))(handler, body)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_the_draw_to_the_report_and_on_to_a_larger_share(server: Misbehaving, tmp_path: Path) -> None:
    asked = Asked()
    server.otherwise = asked
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "200"}

    def valuedrift(*arguments: str, code: int = 0) -> str:
        called = [sys.executable, "-m", "valuedrift.flows.cli.main", *arguments, "--root", str(tmp_path / "root")]
        done = subprocess.run(called, env=environment, capture_output=True, text=True, timeout=500, cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def write(share: float) -> None:
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(server, share)), encoding="utf-8")

    write(0.5)
    assert "deep reads a sample" in valuedrift("plan", "study.yaml") and not asked.read
    # the strong judge fails half-way: what it said is kept
    asked.until = 9
    assert "key has expired" in valuedrift("run", "study.yaml", code=2)
    asked.until, before = None, asked.read
    valuedrift("run", "study.yaml")
    store = Store(tmp_path / "root")
    sample = store.read("cascade_sample", study="served")
    texts = sample.join(store.read("responses", study="served"), on=ANSWER).select("step", "prompt_id", "response").unique().height
    assert set(sample["status"]) == {"ok"} and 50 < sample.height < 95
    assert asked.read <= before + texts - 9 + 1 and asked.read - before < texts
    assert set(sample["strong"]) == {"deep"} and set(sample["cheap"]) == {"quick"} and sample["probability"].is_between(0.2, 1).all()

    # stances: the strong judge's where it read, else the cheap one's
    stances = store.read("stances", study="served")
    assert dict(stances["judge"].value_counts().iter_rows()) == {"both": 144, "quick": 144}
    of = {name: stances.filter(pl.col("judge") == name) for name in ("both", "quick")}
    read = of["both"].join(sample.select(*ANSWER, *(pl.col(p).alias(f"strong_{p}") for p in P)), on=ANSWER)
    assert read.height == sample.height and (read["p_support"] == read["strong_p_support"]).all()
    rest = of["both"].join(sample, on=ANSWER, how="anti").join(of["quick"], on=ANSWER, suffix="_quick")
    assert (rest["p_support"] == rest["p_support_quick"]).all() and rest.height == 144 - sample.height

    drift = store.read("drift", study="served")
    both = drift.filter(pl.col("judge") == "both")
    assert both.height == 6 and set(drift["judge"]) == {"both", "quick"}
    support = both.filter(pl.col("stance") == "support")
    assert (support["magnitude_low"] > 0).all()
    assert set(store.read("trajectory", study="served")["judge"]) == {"both", "quick"}
    cells = store.read("cascade_cells", study="served")
    assert cells["n_drawn"].sum() == sample.height and cells["n_ok"].sum() == sample.height and cells.height == 2
    looked = store.read("looks", study="served")
    assert set(looked["judge"]) == {"both"} and looked.filter(pl.col("stance") == "support").height >= 2

    page = (tmp_path / "root" / "reports" / "served" / "report.html").read_text(encoding="utf-8")
    assert 'id="cascade"' in page and "effective" in page
    counted = json.loads(valuedrift("sql", "SELECT strong, count(*) AS n FROM cascade_sample GROUP BY strong", "--format", "json"))
    assert counted == [{"strong": "deep", "n": sample.height}]
    assert "missing" not in valuedrift("explain", "study.yaml")
    valuedrift("tables", "check")
    asked_before = asked.read
    assert "nothing to do" in valuedrift("run", "study.yaml") and asked.read == asked_before

    # a larger share asks for what is new, and nothing else
    write(0.7)
    told = valuedrift("explain", "study.yaml")
    assert "share" in told
    done = valuedrift("run", "study.yaml")
    assert "of them before" in done and "done sample" not in done
    more = store.read("cascade_sample", study="served")
    new = more.join(sample, on=ANSWER, how="anti")
    assert sample.join(more, on=ANSWER, how="anti").height == 0 and 0 < asked.read - asked_before <= new.height
    kept = sample.join(more, on=ANSWER, suffix="_more")
    assert (kept["p_support"] == kept["p_support_more"]).all()
