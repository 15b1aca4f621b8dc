"""Calibration: the fit against an independent one, what it is worth against scikit-learn, and that it reaches a study's stances and cache keys."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import GroupKFold

from valuedrift.errors import DataError, UserError
from valuedrift.fingerprint import fingerprint
from valuedrift.judges.base import Judgement, Pair
from valuedrift.judges.calibrated import Calibration, calibrated, probabilities
from valuedrift.judges.causal_lm import CausalLM
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.quality.calibrate import calibrate
from valuedrift.judges.quality.scaling import fit_calibration
from valuedrift.judges.registry import judge_identity
from valuedrift.stance import STANCES, JudgeStatus

LABELS = [stance.value for stance in STANCES]
T, B = 0.6, np.array([-0.8, 0.3, 0.5])


def judged(p: np.ndarray) -> list[Judgement]:
    return [Judgement(*map(float, row), 0.0, JudgeStatus.OK) for row in p]


def world(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A judge whose probabilities are wrong by a known temperature and bias."""
    random = np.random.default_rng(seed)
    p = random.dirichlet([0.8, 0.8, 0.8], rows)
    logits = np.log(np.maximum(p, 1e-6)) / T + B
    q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([random.choice(3, p=row) for row in q])
    return p, labels, [f"prompt {i}" for i in random.integers(0, rows // 2, rows)]


def fitted(p: np.ndarray, labels: np.ndarray, prompts: list[str], weights: np.ndarray | None = None) -> Calibration:
    return fit_calibration(p, labels, prompts=prompts, judge="j", judge_fingerprint="f", row_weights=weights)


def test_the_fit_is_the_posterior_mode() -> None:
    p, labels, prompts = world(150)
    weights = np.random.default_rng(4).uniform(0.2, 3, 150)
    found = fitted(p, labels, prompts, weights)
    scaled = weights / weights.mean()

    def objective(x: np.ndarray) -> float:
        total = 0.0
        for row in range(150):
            logits = np.log(max(1e-6, 1.0) * np.maximum(p[row], 1e-6)) / np.exp(x[0]) + x[1:]
            total -= scaled[row] * (logits[labels[row]] - np.log(np.exp(logits).sum()))
        return total + 0.5 * float(x @ x)

    best = minimize(objective, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 5000, "maxfev": 5000}).x
    assert found.temperature == pytest.approx(np.exp(best[0]), abs=2e-4)
    assert found.bias == pytest.approx(best[1:] - best[1:].mean(), abs=2e-4)


def test_a_known_distortion_is_found_again() -> None:
    p, labels, prompts = world(8000)
    found = fitted(p, labels, prompts)
    assert found.method == "vector"
    assert found.temperature == pytest.approx(T, abs=0.05)
    assert found.bias == pytest.approx(B - B.mean(), abs=0.08)


def test_what_it_is_worth_is_out_of_sample() -> None:
    p, labels, prompts = world(400, seed=2)
    names = [LABELS[label] for label in labels]
    found = calibrate(judged(p), names, prompts, judge="j", judge_fingerprint="f")
    alphabetical = np.argsort(LABELS)
    assert found.before.log_loss.value == pytest.approx(log_loss(names, p[:, alphabetical], labels=sorted(LABELS)), abs=1e-4)
    # other folds, made by scikit-learn: the same expectation, another split
    q = np.zeros_like(p)
    for train, test in GroupKFold(10).split(p, labels, prompts):
        q[test] = fitted(p[train], labels[train], [prompts[row] for row in train]).apply(p[test])
    assert found.after.log_loss.value == pytest.approx(log_loss(names, q[:, alphabetical], labels=sorted(LABELS)), abs=0.01)
    assert found.after.brier.value == pytest.approx(
        brier_score_loss(names, q[:, alphabetical], labels=sorted(LABELS), scale_by_half=False), abs=0.01
    )
    assert found.brier_change.value == pytest.approx(found.after.brier.value - found.before.brier.value)
    assert found.log_loss_change.high < 0
    assert found.notes == []


def test_a_good_judge_gains_nothing_and_it_is_said() -> None:
    random = np.random.default_rng(7)
    p = random.dirichlet([0.6, 0.6, 0.6], 120)
    names = [LABELS[random.choice(3, p=row)] for row in p]
    found = calibrate(judged(p), names, [str(row) for row in range(120)], judge="j", judge_fingerprint="f")
    assert any("no clear gain" in note for note in found.notes)


def test_few_labels_move_the_temperature_alone() -> None:
    p, labels, prompts = world(40)
    found = fitted(p, labels, prompts)
    assert (found.method, found.bias) == ("temperature", (0.0, 0.0, 0.0))
    p, labels, prompts = world(300)
    rare = np.where((labels == 1) & (np.cumsum(labels == 1) > 4), 0, labels)
    assert fitted(p, rare, prompts).method == "temperature"


def test_too_few_labels_are_refused_and_others_left_out() -> None:
    p, labels, prompts = world(30)
    names = [LABELS[label] for label in labels]
    with pytest.raises(DataError, match="too few"):
        calibrate(judged(p)[:9], names[:9], prompts[:9], judge="j", judge_fingerprint="f")
    with pytest.raises(DataError, match="too few"):
        calibrate(judged(p), ["support"] * 30, prompts, judge="j", judge_fingerprint="f")
    refused = Judgement.without_stance(JudgeStatus.REFUSED)
    found = calibrate([*judged(p), refused], [*names, "support"], [*prompts, "x"], judge="j", judge_fingerprint="f")
    assert found.left_out == 1


def test_a_study_judge_answers_through_its_calibration(tmp_path: Path) -> None:
    plain = CrossEncoder()
    path = tmp_path / "calibration.json"
    one = Calibration(
        method="vector", temperature=0.5, bias=(1.0, 0.0, -1.0), judge="cross-encoder",
        judge_fingerprint=fingerprint(judge_identity(plain)), labels={"support": 50, "neutral": 50, "oppose": 50}, prompts=50,
    )  # fmt: skip
    path.write_text(one.model_dump_json(), encoding="utf-8")
    judge = CrossEncoder(calibration=str(path))
    assert judge_identity(plain) == {key: value for key, value in judge_identity(judge).items() if key != "calibration"}
    pairs = [Pair("0", "Should we?", "Yes, we should."), Pair("1", "Should we?", "I'm sorry, but I can't answer that.")]
    before, after = plain.load(threads=1).judge(pairs), judge.load(threads=1).judge(pairs)
    logits = 2 * np.log(probabilities(before[:1])[0]) + np.array([1.0, 0.0, -1.0])
    assert probabilities(after[:1])[0] == pytest.approx(np.exp(logits) / np.exp(logits).sum())
    assert after[1].status is JudgeStatus.REFUSED and after == calibrated(before, one)
    elsewhere = tmp_path / "copy.json"
    elsewhere.write_text(json.dumps({**one.model_dump(), "prompts": 51}), encoding="utf-8")
    assert judge_identity(CrossEncoder(calibration=str(elsewhere))) == judge_identity(judge)  # content, not path
    elsewhere.write_text(json.dumps({**one.model_dump(), "temperature": 0.6}), encoding="utf-8")
    assert judge_identity(CrossEncoder(calibration=str(elsewhere))) != judge_identity(judge)
    assert CrossEncoder(calibration="calibration.json").anchored(tmp_path).calibration == str(path)
    assert CausalLM(calibration="calibration.json").anchored(tmp_path).calibration == str(path)


def test_faults_of_a_calibration_file(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    with pytest.raises(UserError, match="no such calibration"):
        judge_identity(CrossEncoder(calibration=str(path)))
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="not a calibration"):
        judge_identity(CrossEncoder(calibration=str(path)))
    other = fitted(*world(30))
    path.write_text(other.model_dump_json(), encoding="utf-8")
    with pytest.raises(UserError, match="fitted for the judge 'j'"):
        CrossEncoder(calibration=str(path)).load(threads=1)
