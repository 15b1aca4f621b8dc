"""A calibrated judge, or a fitted panel, is not believed on the prompts that it was fitted on without this being said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from valuedrift.fingerprint import fingerprint
from valuedrift.judges.base import Judgement
from valuedrift.judges.calibrated import Calibration, read_calibration
from valuedrift.judges.cross_encoder import CrossEncoder
from valuedrift.judges.frames import judgements_frame
from valuedrift.judges.kinship import own_labels
from valuedrift.judges.openai import OpenAI
from valuedrift.judges.panel import Panel
from valuedrift.judges.quality.calibrate import calibrate
from valuedrift.judges.quality.panel_fit import fit_panel
from valuedrift.stance import STANCE_COLUMNS, STANCES, JudgeStatus

PROMPTS = [f"Should we do {at}?" for at in range(40)]


def judged(rows: int, seed: int, sure: float = 0.8) -> tuple[list[Judgement], list[str]]:
    """Judgements that are right three times in four, and the labels."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    said = np.where(rng.random(rows) < 0.75, truth, rng.integers(0, 3, rows))
    p = np.full((rows, 3), (1 - sure) / 2)
    p[np.arange(rows), said] = sure
    return [Judgement(*map(float, one), 0.0, JudgeStatus.OK) for one in p], [STANCES[one].value for one in truth]


def calibrated(folder: Path) -> CrossEncoder:
    judgements, labels = judged(80, 1)
    key = fingerprint(CrossEncoder().own_identity())
    made = calibrate(judgements, labels, [*PROMPTS, *PROMPTS], judge="cross-encoder", judge_fingerprint=key)
    (folder / "calibration.json").write_text(made.calibration.model_dump_json())
    return CrossEncoder(calibration=str(folder / "calibration.json"))


def test_answers_to_prompts_of_the_fit_are_counted(tmp_path: Path) -> None:
    judge = calibrated(tmp_path)
    told = str(own_labels(judge, [PROMPTS[3], PROMPTS[3], "another prompt"]))
    assert told.startswith("2 of 3 answers") and "flatter" in told
    assert own_labels(judge, ["another prompt"]) is None
    assert own_labels(CrossEncoder(), PROMPTS) is None
    panel = Panel(members=(judge, OpenAI(model="x", base_url="http://127.0.0.1:1/v1")))
    assert str(own_labels(panel, PROMPTS)).startswith("40 of 40 answers")


def test_texts_count_where_prompts_are_names(tmp_path: Path) -> None:
    judgements, labels = judged(40, 2)
    names = [f"p{at}" for at in range(40)]
    key = fingerprint(CrossEncoder().own_identity())
    made = calibrate(judgements, labels, names, judge="cross-encoder", judge_fingerprint=key, texts=PROMPTS).calibration
    assert set(made.fitted_on) == {fingerprint(prompt) for prompt in PROMPTS}
    assert made.fingerprint == calibrate(judgements, labels, names, judge="c", judge_fingerprint=key).calibration.fingerprint


def test_a_calibration_of_version_0_2_is_read_and_told_to_say_nothing(tmp_path: Path) -> None:
    judge = calibrated(tmp_path)
    path = tmp_path / "calibration.json"
    kept = json.loads(path.read_text())
    now = judge.identity()
    del kept["fitted_on"]
    path.write_text(json.dumps(kept))
    assert isinstance(read_calibration(path, judge.own_identity()), Calibration) and judge.identity() == now
    assert "does not say what it was fitted on" in str(own_labels(judge, PROMPTS))


def test_a_panels_fit_is_measured_on_prompts_that_it_did_not_see() -> None:
    first, labels = judged(60, 3)
    rng = np.random.default_rng(4)
    lucky = rng.dirichlet((1, 1, 1), 60)
    members = [judgements_frame(first), judgements_frame([Judgement(*map(float, p), 0.0, JudgeStatus.OK) for p in lucky])]
    prompts = [f"q{at % 20}" for at in range(60)]
    fit = fit_panel(["first", "lucky"], members, labels, prompts)
    assert fit.held_out is not None and fit.held_out > fit.after
    assert fit.held_out == pytest.approx(by_hand(members, labels, prompts), abs=1e-3)
    assert fit_panel(["first", "lucky"], members, labels).held_out is None
    assert fit_panel(["first", "lucky"], members, labels, ["one"] * 60).held_out is None


def by_hand(members: list[pl.DataFrame], labels: list[str], prompts: list[str]) -> float:
    """Leave out each fold's prompts, fit what is left through the public function, and apply what it found."""
    from valuedrift.judges.quality.calibrate import folds_of

    folds, names, losses = folds_of(prompts), [stance.value for stance in STANCES], []
    for fold in set(folds.tolist()):
        kept, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        fit = fit_panel(["a", "b"], [frame[kept] for frame in members], [labels[row] for row in kept])
        total = sum(fit.weights.values())
        for row in held:
            mixed = 0.0
            for name, frame in zip(("a", "b"), members, strict=True):
                p = np.maximum(np.array(frame.select(STANCE_COLUMNS).row(int(row))), 1e-6) ** (1 / fit.temperatures[name])
                mixed += fit.weights[name] / total * (p / p.sum())[names.index(labels[row])]
            losses.append(-np.log(mixed))
    return float(np.mean(losses))
