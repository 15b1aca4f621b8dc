"""Where a number came from: the program's commit, the versions it ran with, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from valuedrift.judges.openai import OpenAI
from valuedrift.judges.registry import JudgeConfig
from valuedrift.storage.store import Store
from valuedrift.study import Study

_PACKAGES = ("valuedrift", "torch", "transformers", "trl", "peft", "prefect", "duckdb", "polars", "pyarrow", "vllm")


@cache
def git_commit() -> str | None:
    """Commit of the checkout that runs, with ``+changes`` if it holds uncommitted ones; None outside a checkout."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    commit = git("rev-parse", "HEAD")
    if not commit:
        return None
    return f"{commit}+changes" if git("status", "--porcelain", "--untracked-files=no") else commit


def versions() -> dict[str, str]:
    """Versions of the packages that make the numbers; packages that aren't installed are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    """The machine, in words that identify nobody."""
    return {"system": f"{platform.system()} {platform.machine()}", "cores": str(os.cpu_count() or 1)}


def provenance_of(store: Store, study: Study, runs: pl.DataFrame, stances: pl.DataFrame) -> dict[str, dict[str, str]]:
    """Where a study's numbers come from, as its tables and their manifest say: no model and no data are needed."""
    made_of = {
        str(entry.partition["run_id"]): entry.identity
        for entry in store.entries("runs", study.study)
        if entry.partition["run_id"] in set(runs["run_id"])
    }
    base, rows = {}, {}
    for row in runs.iter_rows(named=True):
        identity = made_of.get(row["run_id"], {})
        rows[row["dataset"]] = identity.get("dataset", "unknown")
        if row["parent_run_id"] is None:
            base[row["model"]] = identity.get("parent", "unknown")
    sampled: Mapping[str, Any] = next((entry.identity for entry in store.entries("responses", study.study)), {})
    judged = {entry.slot: entry.identity for entry in store.entries("stances", study.study)}
    datasets = {**study.corpora, **study.preferences}
    return {
        "Program": {"git commit": git_commit() or "not a checkout", **versions()},
        "Machine": {**machine(), **_when_trained(runs.filter(~pl.col("run_id").is_in([*study.series, *study.served])))},
        "Models": {name: f"{model.path} · weights {base.get(name, 'unknown')}" for name, model in study.models.items()}
        | {name: f"checkpoints of {', '.join(one.places)}{f' on {one.base}' if one.base else ''}" for name, one in study.series.items()}
        | {name: " · ".join(f"step {step}: {model}" for step, model in sorted(models.items())) for name, models in study.served.items()},
        "Datasets": {name: f"{datasets[name].title} · rows {found}" for name, found in rows.items() if name in datasets},
        "Probes": {
            "set": study.probes_in_words,
            "prompts": str(stances.select("probe_set", "prompt_id").n_unique()),
            "fingerprint": str(sampled.get("probes", "unknown")),
        },
        "Sampling": {key: str(value) for key, value in study.sampling.identity().items()} | {"engine": study.engine_name},
        "Judges": {
            judge.name: yaml.safe_dump(_judge(judge, judged.get(judge.name, {})), sort_keys=True, allow_unicode=True).strip()
            for judge in study.judges
        },
        "Runs": {
            row["run_id"]: f"fingerprint {row['fingerprint']} · commit {row['git_commit'] or 'none'}" for row in runs.iter_rows(named=True)
        },
    }


def _when_trained(runs: pl.DataFrame) -> dict[str, str]:
    """When some runs that were trained here began and ended; nothing where none was."""
    if not runs.height:
        return {}
    ends = {"training began": runs.get_column("started").min(), "training ended": runs.get_column("ended").max()}
    return {name: f"{moment:%Y-%m-%d %H:%M:%S} UTC" for name, moment in ends.items() if isinstance(moment, datetime)}


def _judge(judge: JudgeConfig, identity: Mapping[str, Any]) -> dict[str, Any]:
    """What a judge is, as the identity of its stances says, and where its server stood."""
    said = identity.get("judge") or identity.get("panel") or identity
    return {**said, **({"base_url": judge.base_url} if isinstance(judge, OpenAI) else {})}
