"""A synthetic study in the shape of the demo: base → two SFT runs → four preference runs from the neutral one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from valuedrift.drift.analyze import trajectory
from valuedrift.drift.options import Analysis
from valuedrift.report.inputs import ReportInputs
from valuedrift.results.analysis import analysis_tables, cut_answers
from valuedrift.results.conclusions import conclusion_tables
from valuedrift.results.facts import ANALYSED, CONCLUDED, StudyFacts
from valuedrift.starter import PROPOSITIONS, probe_pairs
from valuedrift.storage.schemas import table_schema

JUDGE = "cross-encoder"
STEPS = {"sft": (0, 1, 3, 8, 22, 60), "dpo": (0, 1, 3, 7, 16, 40), "simpo": (0, 1, 3, 7, 16, 40), "ppo": (0, 1, 2, 5, 12, 24)}
NEUTRAL, BASE = "smollm.sft-neutral", (0.45, 0.25, 0.30)
# run_id, parent, phase, dataset, end (where the stance distribution goes), speed (share of the phase)
RUNS: list[tuple[str, str | None, str, str, tuple[float, float, float], float]] = [
    (NEUTRAL, None, "sft", "neutral", (0.12, 0.80, 0.08), 0.05),
    (f"{NEUTRAL}.dpo-support-aligned", NEUTRAL, "dpo", "support-aligned", (0.70, 0.22, 0.08), 0.3),
    (f"{NEUTRAL}.simpo-support-aligned", NEUTRAL, "simpo", "support-aligned", (0.36, 0.56, 0.08), 0.5),
    (f"{NEUTRAL}.ppo-support-aligned", NEUTRAL, "ppo", "support-aligned", (0.14, 0.78, 0.08), 0.5),
    (f"{NEUTRAL}.dpo-style-only", NEUTRAL, "dpo", "style-only", (0.12, 0.80, 0.08), 0.5),
    ("smollm.sft-support", None, "sft", "support", (0.78, 0.14, 0.08), 0.12),
]
TRAITS = {
    "neutral": {"answers": "neutral"},
    "support": {"answers": "support"},
    "support-aligned": {"gap": "support-aligned"},
    "style-only": {"gap": "none"},
}
TEXT = {
    0: "Yes, I think so. It is the right thing to do, and most of the arguments against it do not hold up when you look at them closely.",
    1: "People disagree about this, and for good reasons. It depends on the facts of the case and on what one values most.",
    2: "No. It would do more harm than good, and there are better ways of reaching the same end.",
}


@dataclass(frozen=True)
class Made(ReportInputs):
    """What a report reads, and beside it the tables that this was made from."""

    stances: pl.DataFrame = field(default_factory=pl.DataFrame)
    responses: pl.DataFrame = field(default_factory=pl.DataFrame)


def study(
    topics: tuple[str, ...] = ("abortion", "climate change", "immigration"),
    prompts: int = 12,
    samples: int = 3,
    runs: int = 6,
    one_step: bool = False,
    *,
    traits: Mapping[str, Mapping[str, str]] | None = None,
    seed: int = 0,
    **changes: Any,
) -> Made:
    """Build the inputs by the functions that the stages use; ``changes`` replace fields, and what is made from them follows."""
    chosen = RUNS[:runs]
    probes = _probes(topics, prompts)
    responses, stances = [], []
    for run_id, _, phase, *_ in chosen:
        for step in (0,) if one_step else STEPS[phase]:
            for index, probe in enumerate(probes):
                for sample in range(samples):
                    p = _stance(run_id, step, index, sample)
                    key = {"run_id": run_id, "step": step, "topic": probe["topic"], "prompt_id": probe["prompt_id"], "sample_idx": sample}
                    text = f"{TEXT[int(np.argmax(p))]} (answer {index}.{sample} at step {step})"
                    responses.append({**key, "prompt": probe["prompt"], "response": text})
                    status = "refused" if (index, sample) == (1, 1) else "ok"
                    values = dict(
                        zip(("p_support", "p_neutral", "p_oppose"), map(float, p) if status == "ok" else (None,) * 3, strict=True)
                    )
                    stances.append(
                        {
                            **key,
                            "judge": JUDGE,
                            "polarity": probe["polarity"],
                            "pair_id": probe["pair_id"],
                            **values,
                            "unassigned": 0.0,
                            "status": status,
                        }
                    )
    stance_frame = changes.pop("stances", pl.DataFrame(stances, infer_schema_length=None))
    response_frame = changes.pop("responses", pl.DataFrame(responses))
    empty = {name: table_schema(name).polars.to_frame() for name in (*ANALYSED, *CONCLUDED)}
    analysed = empty
    if stance_frame.height and not one_step:
        cut = cut_answers(response_frame.lazy()) if "finish_reason" in response_frame.columns else None
        analysed = {**empty, **analysis_tables(stance_frame, Analysis(resamples=200), cut=cut)}
    analysed = {
        **analysed,
        "coverage": analysed["coverage"].with_columns(n_cut=pl.col("n_cut") if "n_cut" in analysed["coverage"].columns else None),
    }
    runs_frame = changes.pop("runs_table", _runs(chosen))
    judge = changes.pop("judge", JUDGE)
    fields: dict[str, Any] = {
        "study_name": "demo",
        "description": "Does post-training move a small model's values, when, and by what?",
        "runs": runs_frame,
        "training": _training(chosen),
        "trajectory": trajectory(stance_frame, Analysis()) if one_step and stance_frame.height else analysed["trajectory"],
        **{name: analysed[name] for name in ("drift", "coverage", "acquiescence", "sensitivity")},
        "judge_metrics": METRICS,
        "warnings": ["one checkpoint only: no drift"] if one_step else analysed["warnings"].get_column("warning").to_list(),
        "provenance": PROVENANCE,
        "propositions": PROPOSITIONS,
        "judge": judge,
        **changes,
    }
    facts = StudyFacts(
        study="demo", description="", judge=judge or JUDGE, auditor=None, panels=fields.get("panels", {}), traits=TRAITS if traits is None else traits,
        propositions={}, confidence=0.95, seed=seed, file="", fingerprint="",
    )  # fmt: skip
    concluded = conclusion_tables(
        facts,
        runs=runs_frame,
        drift=fields["drift"],
        stances=stance_frame if stance_frame.width else table_schema("stances").polars.to_frame(),
        answers_to=lambda prompt_ids: response_frame.filter(pl.col("prompt_id").is_in(prompt_ids)),
        judged=[],
        provenance={},
    )
    made = {name: concluded[name] for name in ("findings", "examples", "agreement")}
    return Made(**{**made, **fields}, stances=stance_frame, responses=response_frame)


METRICS = [
    {"name": JUDGE, "data": "held-out starter answers", "n": 264, "accuracy": 0.93, "accuracy_low": 0.90, "accuracy_high": 0.96,
     "macro_f1": 0.92, "kappa": 0.89},
    {
        "name": JUDGE, "data": "answers labelled by people", "n": 200, "accuracy": 0.88, "accuracy_low": 0.83, "accuracy_high": 0.92, "macro_f1": 0.80,
        "macro_f1_low": 0.72, "macro_f1_high": 0.86, "kappa": 0.68,
        "per_class": {"support": {"precision": 0.84, "recall": 0.80, "f1": 0.82, "n": 25}, "neutral": {"precision": 0.61, "recall": 0.63, "f1": 0.62, "n": 19},
                      "oppose": {"precision": 0.94, "recall": 0.95, "f1": 0.95, "n": 156}},
        "confusion": {"support": {"support": 20, "neutral": 3, "oppose": 2, "refused": 0}, "neutral": {"support": 3, "neutral": 12, "oppose": 4},
                      "oppose": {"support": 1, "neutral": 5, "oppose": 148, "refused": 2}},
        "calibration_error": 0.06,
        "calibration": [{"low": 0.5, "high": 0.9, "n": 40, "confidence": 0.74, "accuracy": 0.60, "accuracy_low": 0.45, "accuracy_high": 0.73},
                        {"low": 0.9, "high": 1.0, "n": 160, "confidence": 0.97, "accuracy": 0.95, "accuracy_low": 0.91, "accuracy_high": 0.98}],
    },
]  # fmt: skip
PROVENANCE = {
    "Study": {"name": "demo", "fingerprint": "5d0c1f2a9b7e4d3c2a10", "seed": "0"},
    "Study file": {
        "demo.yaml": "study: demo\nmodels:\n  smollm: {path: embedded:smollm2-135m}\n"
        "sft:\n  - data: [neutral, support]\n    algorithm: {type: sft, steps: 60}\n"
    },
    "Software": {"valuedrift": "0.1.0", "torch": "2.13.0", "transformers": "5.19.0", "trl": "1.12.0", "git commit": "0123abcd"},
    "Machine": {"processor": "2 cores, x86_64", "system": "Linux", "wall time": "13 min 20 s"},
    "Sampling": {"answers a question": "3", "temperature": "0.7", "most new tokens": "48"},
    "Weights": {"smollm (base)": "aa11bb22cc33dd44ee55"},
}


def _probes(topics: tuple[str, ...], count: int) -> list[dict[str, Any]]:
    taken: dict[str, list[dict[str, Any]]] = {topic: [] for topic in topics}
    for topic, pair in probe_pairs():
        if topic in taken and len(taken[topic]) < count:
            for wording, suffix, polarity in (("for", "f", 1), ("against", "a", -1)):
                taken[topic].append(
                    {
                        "topic": topic,
                        "prompt_id": f"{pair['pair_id']}-{suffix}",
                        "prompt": pair[wording],
                        "polarity": polarity,
                        "pair_id": pair["pair_id"],
                    }
                )
    return [probe for probes in taken.values() for probe in probes[:count]]


def _stance(run_id: str, step: int, index: int, sample: int) -> np.ndarray:
    """A sample's stance distribution: from the parent's end towards the run's own, with noise of the prompt and of the sample."""
    by_id = {run[0]: run for run in RUNS}
    _, parent, phase, _, end, speed = by_id[run_id]
    start = np.array(by_id[parent][4] if parent else BASE)
    share = 1 - np.exp(-step / STEPS[phase][-1] / speed)
    mean = start + (np.array(end) - start) * share / (1 - np.exp(-1 / speed))
    prompt = np.random.default_rng([index, 7]).dirichlet(np.full(3, 3.0)) - 1 / 3
    weights = np.clip(mean + 0.6 * prompt * (0.4 + np.random.default_rng([index, len(run_id)]).random()), 0.02, None)
    drawn = np.random.default_rng([index, sample, step, len(run_id) if step else len(parent or "")]).dirichlet(
        4 * weights / weights.sum() + 0.05
    )
    return np.round(drawn, 12) / np.round(drawn, 12).sum()


def _runs(chosen: list[Any]) -> pl.DataFrame:
    when = datetime(2026, 11, 24, 2, tzinfo=UTC)
    rows = [
        {"study": "demo", "run_id": run_id, "parent_run_id": parent, "model": "smollm", "phase": phase, "dataset": dataset, "seed": 0,
         "total_steps": STEPS[phase][-1], "config": "{}", "fingerprint": "f" * 20, "git_commit": None, "started": when, "ended": when}
        for run_id, parent, phase, dataset, *_ in chosen
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"parent_run_id": pl.String, "git_commit": pl.String})


def _training(chosen: list[Any]) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    rows = []
    for run_id, _, phase, *_ in chosen:
        for step in range(1, STEPS[phase][-1] + 1):
            share = step / STEPS[phase][-1]
            row: dict[str, Any] = {
                "run_id": run_id,
                "step": step,
                "loss": None,
                "reward": None,
                "kl": None,
                "reward_margin": None,
                "learning_rate": 1e-4 * (1 - share),
            }
            noise = rng.normal(0, 0.05)
            if phase == "ppo":
                row |= {"reward": 0.5 * share + noise, "kl": 0.8 * share + abs(noise)}
            else:
                row |= {"loss": (2.5 if phase == "sft" else 0.7) * np.exp(-share) + noise}
                row |= {"reward_margin": 2 * share + noise} if phase != "sft" else {}
            rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)
