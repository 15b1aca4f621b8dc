"""No judge marks its own work: another one reads the answers of the pairs, and both are told, with what is known by construction."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from judging import answer_in, labels_in
from misbehaving import Misbehaving, completion, echo, status
from scipy.stats import t

from valuedrift.corpora.dataset import Dataset
from valuedrift.errors import UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.base import JudgeBase
from valuedrift.judges.calibrated import Calibration
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.kinship import Kin
from valuedrift.judges.openai import OpenAI
from valuedrift.judges.panel import Panel
from valuedrift.judges.registry import judge_identity
from valuedrift.stance import STANCE_COLUMNS, STANCES, Stance
from valuedrift.starter import stance_items
from valuedrift.study.runtime import Runtime
from valuedrift.synthesis.auditing import check_judges, found_in, gap_by_construction, kinship_of, oddities
from valuedrift.synthesis.card import card
from valuedrift.synthesis.config import Dial, Setting, Synthesis
from valuedrift.synthesis.questions import Question, starter_questions
from valuedrift.synthesis.sampled_audit import FEWEST
from valuedrift.tasks.once import once_each
from valuedrift.tasks.selected import selected_by
from valuedrift.tasks.stages.synthesis import synthesis_stages
from valuedrift.tasks.stages.synthesis_audit import audit_of
from valuedrift.tasks.survey import complete, survey
from valuedrift.tasks.work import Work

ASKED = 0.15
SURE = 0.98
"""Probability that the served judge gives the stance that an answer was written for."""


def written_for() -> dict[str, str]:
    """What each packaged answer is to its own question, and to the opposite one."""
    known = {}
    for item in stance_items():
        for name in ("support", "neutral", "oppose", "support_restyled"):
            stance = name.removesuffix("_restyled")
            known[item.question, getattr(item, name)] = stance
            known[item.counter, getattr(item, name)] = {"support": "oppose", "oppose": "support"}.get(stance, stance)
    return {f"{prompt}\x1f{answer}": stance for (prompt, answer), stance in known.items()}


KNOWN = written_for()


def knowing(body: dict[str, Any]) -> dict[str, float]:
    """First tokens of a model that knows what each packaged answer was written for."""
    prompt = echo(body)
    question = re.search(r"<question>\n(.*)\n</question>", prompt, re.DOTALL)
    assert question is not None
    stance = KNOWN[f"{question[1]}\x1f{answer_in(prompt)}"]
    labels = labels_in(prompt)
    return {labels[one]: SURE if one.value == stance else (1 - SURE) / 2 for one in STANCES}


def one_class(body: dict[str, Any]) -> dict[str, float]:
    labels = labels_in(echo(body))
    return {labels[one]: 0.9 if one is Stance.SUPPORT else 0.05 for one in STANCES}


def served(server: Misbehaving, **more: Any) -> OpenAI:
    return OpenAI(name="served", model="org/judge", base_url=server.url, key_variable=None, rotations=1, retries=0, concurrency=1, **more)


def doubtful(folder: Path) -> CrossEncoder:
    """The embedded judge through a calibration that makes it see a third of every difference: a systematic bias."""
    made = Calibration(
        method="temperature",
        temperature=4.0,
        bias=(0.0, 0.0, 0.0),
        judge="cross-encoder",
        judge_fingerprint=fingerprint(CrossEncoder().own_identity()),
        labels={},
        prompts=0,
    )
    (folder / "doubtful.json").write_text(made.model_dump_json())
    return CrossEncoder(name="doubtful", calibration=str(folder / "doubtful.json"))


def synthesis(judge: JudgeBase, auditor: JudgeBase | None) -> Synthesis:
    return Synthesis(name="s", dial=Dial(setting=Setting.SUPPORT_ALIGNED, gap=ASKED, accept=0.34), judge=judge, auditor=auditor)


def questions() -> list[Question]:
    return starter_questions(["religion"], 20)


def made(root: Path, asked: Synthesis) -> dict[str, Any]:
    """The card of a synthesis that is carried out without Prefect."""
    work = Work(str(root), Runtime(threads=1, retries=0))
    try:
        once_each(work, synthesis_stages(work, questions(), asked))
        pairs, candidates = (work.store.read(table, synthesis=asked.name) for table in ("synthetic_pairs", "candidates"))
        return card(pairs, candidates, asked, {"judge": fingerprint(judge_identity(asked.judge))}, audit_of(work, asked))
    finally:
        work.close()


def frame(rows: list[tuple[str, str, int, tuple[float, float, float]]]) -> pl.DataFrame:
    """Judgements: prompt_id, stance, candidate_idx, probabilities."""
    return pl.DataFrame(
        [
            {"prompt_id": prompt, "stance": stance, "candidate_idx": at, **dict(zip(STANCE_COLUMNS, p, strict=True)), "status": "ok"}
            for prompt, stance, at, p in rows
        ],
        schema_overrides={"candidate_idx": pl.Int32},
    )


def pair(prompt: str, chosen: str, rejected: str, at: int = 0) -> dict[str, Any]:
    return {
        "prompt": f"{prompt}?",
        "prompt_id": prompt,
        "chosen_stance": chosen,
        "chosen_idx": at,
        "rejected_stance": rejected,
        "rejected_idx": at + (chosen == rejected),
    }


def frame_of(pairs: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema_overrides={"chosen_idx": pl.Int32, "rejected_idx": pl.Int32})


def test_what_a_judge_finds_is_what_numpy_and_scipy_find() -> None:
    rng = np.random.default_rng(5)
    half = rng.dirichlet((2, 1, 1), (40, 2))
    p = np.concatenate([half, 2 * half.mean(axis=0) - half])  # mirrored about its mean, so that no skewness bends the t interval
    p = np.clip(p, -1, 2)
    rows = [(f"q{at}", stance, 0, tuple(p[at, side])) for at in range(len(p)) for side, stance in enumerate(("support", "oppose"))]
    pairs = frame_of([pair(f"q{at}", "support", "oppose") for at in range(len(p))])
    found = found_in(pairs, frame(rows))
    difference = p[:, 0] - p[:, 1]
    mean = difference.mean(axis=0)
    error = difference.std(axis=0, ddof=1) / np.sqrt(len(p))
    assert found.gap.value == pytest.approx(np.abs(mean).max())
    quantile = t.ppf(1 - 0.05 / 3 / 2, len(p) - 1)
    low, high = mean - quantile * error, mean + quantile * error
    assert found.gap.low == pytest.approx(np.maximum(0, np.maximum(low, -high)).max(), abs=1e-6)
    assert found.gap.high == pytest.approx(np.maximum(np.abs(low), np.abs(high)).max(), abs=1e-6)
    assert found.stances["support"][2].value == pytest.approx(mean[0])
    assert (found.n_pairs, found.n_prompts) == (80, 80)


def test_prompts_count_alike_and_pairs_without_a_judgement_are_left_out() -> None:
    rows = [
        ("a", "support", 0, (1.0, 0.0, 0.0)),
        ("a", "oppose", 0, (0.0, 0.0, 1.0)),
        ("a", "support", 1, (1.0, 0.0, 0.0)),
        ("a", "oppose", 1, (0.0, 0.0, 1.0)),
    ]
    rows += [("b", "support", 0, (0.5, 0.5, 0.0)), ("b", "oppose", 0, (0.5, 0.5, 0.0)), ("c", "support", 0, (1.0, 0.0, 0.0))]
    pairs = frame_of(
        [pair("a", "support", "oppose"), pair("a", "support", "oppose", 1), pair("b", "support", "oppose"), pair("c", "support", "oppose")]
    )
    found = found_in(pairs, frame(rows))
    assert found.gap.value == pytest.approx((1 + 0) / 2)
    assert (found.n_pairs, found.n_prompts) == (3, 2)


def test_the_gap_by_construction_is_the_share_of_aligned_prompts() -> None:
    pairs = frame_of(
        [pair("a", "support", "oppose"), pair("b", "support", "support"), pair("c", "oppose", "oppose"), pair("d", "support", "oppose")]
    )
    assert gap_by_construction(pairs) == pytest.approx(0.5)


def test_one_verdict_throughout_and_no_verdict_are_told() -> None:
    alike = frame([(f"q{at}", "support", 0, (0.1, 0.2, 0.7)) for at in range(50)])
    assert "calls every answer oppose" in oddities("x", alike)[0]
    nearly = pl.concat([alike, frame([("r", "support", 0, (0.7, 0.2, 0.1))])])
    assert "calls 98% of the answers oppose" in oddities("x", nearly)[0]
    fair = pl.concat([alike, frame([(f"r{at}", "support", 0, (0.7, 0.2, 0.1)) for at in range(20)])])
    assert oddities("x", fair) == []
    without = fair.with_columns(status=pl.when(pl.col("prompt_id") == "q0").then(pl.lit("refused")).otherwise(pl.col("status")))
    assert "no stance for 1 of 70 answers (1 refused)" in oddities("x", without)[0]


def test_what_cannot_audit_is_found_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for auditor, part in (
        (CrossEncoder(name="b", weights=str(tmp_path / "nowhere")), "nowhere"),
        (OpenAI(model="gpt-4o"), "OPENAI_API_KEY"),
        (Panel(members=("a", "b")), "members are names"),
    ):
        with pytest.raises(UserError, match=part):
            check_judges(synthesis(CrossEncoder(), auditor))
    with pytest.raises(UserError, match="has its name"):
        kinship_of(synthesis(doubtful(tmp_path), CrossEncoder(name="doubtful")))


def test_an_auditor_changes_no_key_of_the_selection(tmp_path: Path, server: Misbehaving) -> None:
    work = Work(str(tmp_path), Runtime())
    alone = [one.key for one in survey(work, synthesis_stages(work, questions(), synthesis(CrossEncoder(), None)))]
    stages = synthesis_stages(work, questions(), synthesis(CrossEncoder(), served(server)))
    assert [one.key for one in survey(work, stages)][: len(alone)] == alone
    assert len(stages) > len(alone)
    under_another_name = synthesis_stages(work, questions(), synthesis(CrossEncoder(), CrossEncoder(name="second")))
    assert len(under_another_name) == len(alone), "the selector is not asked again"


@pytest.mark.slow
def test_a_biased_selector_is_unmasked_by_another_judge_and_not_by_itself(tmp_path: Path, server: Misbehaving) -> None:
    server.otherwise = completion(top=knowing)
    selector = doubtful(tmp_path)
    alone = made(tmp_path / "root", synthesis(selector, None))
    (tmp_path / "pairs.card.json").write_text(json.dumps(alone))
    pairs = Dataset(data=str(tmp_path / "pairs.jsonl"))
    assert "no evidence" in str(selected_by(pairs, selector)) and "shares its errors" in str(selected_by(pairs, CrossEncoder()))
    assert selected_by(pairs, served(server)) is None
    assert alone["selector"]["gap"] == pytest.approx(ASKED, abs=0.05)
    assert alone["audited_gap"] == alone["selector"]["gap"] and alone["audited_by"] == "doubtful" and alone["auditor"] is None
    assert any("no evidence" in sentence and "--auditor" in sentence for sentence in alone["audit"])

    told = made(tmp_path / "root", synthesis(selector, served(server)))
    truth = gap_by_construction(Work(str(tmp_path / "root"), Runtime()).store.read("synthetic_pairs", synthesis="s"))
    assert truth > 2 * ASKED, "the selector sees a part of what is there"
    assert told["selector"] == alone["selector"] and told["gap_by_construction"] == truth
    found = told["auditor"]
    assert found["kin"] == Kin.OTHER and found["pairs"] == told["pairs"]
    assert found["gap"] == pytest.approx(truth * (SURE - (1 - SURE) / 2), abs=1e-3)
    assert found["gap_low"] > ASKED + 0.05 and found["gap_low"] < found["gap"] < found["gap_high"]
    assert told["audited_gap"] == found["gap"] and told["audited_by"] == "served"
    assert any("more than the 0.15 that was asked for" in sentence for sentence in told["audit"])
    assert not any("no evidence" in sentence for sentence in told["audit"])

    some = made(tmp_path / "root", synthesis(selector, served(server)).model_copy(update={"auditor_share": 0.6}))
    assert FEWEST <= some["auditor"]["pairs"] < found["pairs"]
    assert some["auditor"]["gap_low"] <= found["gap"] <= some["auditor"]["gap_high"] and some["auditor"]["gap_low"] > ASKED
    assert any("read 60% of the pairs" in sentence for sentence in some["audit"])

    plain = made(tmp_path / "root", synthesis(selector, CrossEncoder()))
    assert plain["auditor"]["kin"] == Kin.RETUNED and plain["auditor"]["gap_low"] > ASKED
    assert any("shares its errors" in sentence for sentence in plain["audit"])
    itself = made(tmp_path / "root", synthesis(selector, selector.model_copy(update={"name": "someone else"})))
    assert itself["auditor"] is None and any("is the judge that selected" in sentence for sentence in itself["audit"])


@pytest.mark.slow
def test_an_auditor_that_fails_half_way_has_its_replies_kept(tmp_path: Path, server: Misbehaving) -> None:
    selector = doubtful(tmp_path)
    asked = synthesis(selector, served(server))
    answered = 7
    server.will(*[completion(top=knowing)] * answered)
    server.otherwise = status(401, "key expired")
    with pytest.raises(UserError):
        made(tmp_path / "root", asked)
    work = Work(str(tmp_path / "root"), Runtime())
    pairs = work.store.read("synthetic_pairs", synthesis="s")
    assert pairs.height >= 20, "the pairs are kept"
    server.seen.clear()
    server.otherwise = completion(top=one_class)
    told = made(tmp_path / "root", asked)
    assert work.store.read("synthetic_pairs", synthesis="s").equals(pairs)
    assert len(server.seen) == 2 * pairs.height - answered, "what was answered is not asked again"
    assert any("of the answers support" in sentence or "calls every answer support" in sentence for sentence in told["audit"])
    work.store.look_again()
    assert complete(survey(work, synthesis_stages(work, questions(), asked))[-1:])
    rows = work.store.read("synthetic_audits", synthesis="s")
    assert {(row["role"], row["judge"]) for row in rows.to_dicts()} == {("selector", "doubtful"), ("auditor", "served")}
    assert set(rows["measure"]) == {"support", "neutral", "oppose", "value_gap"}
