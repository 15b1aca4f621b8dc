"""Figures of a validation against scikit-learn, and cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, cohen_kappa_score, f1_score, log_loss, precision_recall_fscore_support

from valuedrift.errors import DataError
from valuedrift.judges.base import Judgement
from valuedrift.judges.quality.validation import Validation, validate
from valuedrift.stance import STANCES, JudgeStatus

LABELS = [stance.value for stance in STANCES]


def judged(p: list[float]) -> Judgement:
    return Judgement(p[0], p[1], p[2], 0.0, JudgeStatus.OK)


def random_case(seed: int, rows: int) -> tuple[list[Judgement], list[str], list[str], list[str]]:
    random = np.random.default_rng(seed)
    labels = [LABELS[index] for index in random.integers(0, 3, rows)]
    p = random.dirichlet([1, 1, 1], rows)
    for row, label in enumerate(labels):
        p[row, LABELS.index(label)] += 0.7
    p /= p.sum(1, keepdims=True)
    answers = [LABELS[index] for index in p.argmax(1)]
    prompts = [f"prompt {index}" for index in random.integers(0, max(1, rows // 3), rows)]
    return [judged(list(row)) for row in p], labels, answers, prompts


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(10, 120))
def test_agrees_with_scikit_learn(seed: int, rows: int) -> None:
    judgements, labels, answers, prompts = random_case(seed, rows)
    found = validate(judgements, labels, prompts)
    assert found.accuracy.value == pytest.approx(accuracy_score(labels, answers))
    assert found.macro_f1.value == pytest.approx(f1_score(labels, answers, labels=sorted(set(labels)), average="macro", zero_division=0))
    assert found.kappa.value == pytest.approx(cohen_kappa_score(labels, answers))
    precision, recall, f1, n = precision_recall_fscore_support(labels, answers, labels=LABELS, zero_division=0)
    for index, stance in enumerate(LABELS):
        if n[index]:
            one = found.classes[stance]
            assert [one.precision.value, one.recall.value, one.f1.value, one.n] == pytest.approx(
                [precision[index], recall[index], f1[index], n[index]]
            )
    p = np.array([[j.p_support, j.p_neutral, j.p_oppose] for j in judgements], dtype=float)
    corner = np.eye(3)[[LABELS.index(label) for label in labels]]
    assert found.brier.value == pytest.approx(((p - corner) ** 2).sum(1).mean())
    alphabetical = p[:, np.argsort(LABELS)]
    assert found.brier.value == pytest.approx(brier_score_loss(labels, alphabetical, labels=sorted(LABELS), scale_by_half=False))
    assert found.log_loss.value == pytest.approx(log_loss(labels, alphabetical, labels=sorted(LABELS)))


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Written from the definition (Naeini et al. 2015), bin by bin."""
    total = 0.0
    for low in np.arange(10) / 10:
        inside = (confidence >= low) & ((confidence < low + 0.1) | (low == 0.9))
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def test_calibration_error_by_its_definition() -> None:
    judgements, labels, answers, prompts = random_case(3, 200)
    found = validate(judgements, labels, prompts)
    confidence = np.array([max(j.p_support or 0, j.p_neutral or 0, j.p_oppose or 0) for j in judgements])
    right = np.array([a == b for a, b in zip(answers, labels, strict=True)], dtype=float)
    assert found.calibration_error.value == pytest.approx(expected_calibration_error(confidence, right))
    assert sum(one.n for one in found.calibration) == 200


def test_a_perfect_and_an_always_wrong_judge() -> None:
    sure = {"support": [1.0, 0, 0], "neutral": [0, 1.0, 0], "oppose": [0, 0, 1.0]}
    labels = LABELS * 10
    perfect = validate([judged(sure[label]) for label in labels], labels, labels)
    assert (perfect.accuracy.value, perfect.macro_f1.value, perfect.kappa.value, perfect.brier.value, perfect.calibration_error.value) == (
        1,
        1,
        1,
        0,
        0,
    )
    wrong = validate([judged(sure["support" if label == "oppose" else "oppose"]) for label in labels], labels, labels)
    assert (wrong.accuracy.value, wrong.brier.value, wrong.calibration_error.value) == (0, 2, 1)
    assert wrong.kappa.value < 0


def test_what_was_not_judged_counts_as_wrong_and_is_counted() -> None:
    lost = Judgement.without_stance(JudgeStatus.UNPARSED)
    refused = Judgement.without_stance(JudgeStatus.REFUSED)
    found = validate([judged([1, 0, 0]), lost, refused, refused], ["support", "support", "support", "refused"], list("abcd"))
    assert found.accuracy.value == 0.5  # the first, and the refusal that people call one too
    assert found.judged == 1
    assert found.classes["support"].recall.value == pytest.approx(1 / 3)
    assert found.confusion["support"] == {"support": 1, "neutral": 0, "oppose": 0, "refused": 1, "unjudged": 1}


def test_refused_is_a_class_of_its_own_with_intervals() -> None:
    refused = Judgement.without_stance(JudgeStatus.REFUSED)
    rows = [(judged([1, 0, 0]), "support"), (refused, "refused"), (refused, "support"), (judged([1, 0, 0]), "refused")] * 20
    found = validate([row[0] for row in rows], [row[1] for row in rows], [str(i) for i in range(len(rows))])
    one = found.classes["refused"]
    assert list(found.classes) == ["support", "refused"]
    assert (one.n, one.precision.value, one.recall.value) == (40, 0.5, 0.5)
    assert one.recall.low < 0.5 < one.recall.high
    assert found.macro_f1.value == found.classes["support"].f1.value  # of stances only
    flat = found.flat("j", "d")
    assert {"precision_low", "recall_high", "f1_low"} <= set(flat["per_class"]["refused"])


def test_weights_of_rows_are_as_many_rows() -> None:
    judgements, labels, _, prompts = random_case(8, 60)
    times = np.random.default_rng(2).integers(1, 4, 60)
    again = [row for row, count in enumerate(times) for _ in range(count)]
    weighed = validate(judgements, labels, prompts, row_weights=times.tolist())
    repeated = validate([judgements[r] for r in again], [labels[r] for r in again], [prompts[r] for r in again])
    for name in ("accuracy", "macro_f1", "kappa", "brier", "log_loss", "calibration_error"):
        assert getattr(weighed, name).value == pytest.approx(getattr(repeated, name).value), name
    assert weighed.n == 60 and sum(sum(row.values()) for row in weighed.confusion.values()) == 60


def interval_width(found: Validation) -> float:
    return found.accuracy.high - found.accuracy.low


def test_answers_to_one_prompt_are_drawn_together() -> None:
    judgements, labels, _, _ = random_case(5, 100)
    alone = validate(judgements, labels, [str(row) for row in range(100)])
    ten_times = validate(judgements * 10, labels * 10, [str(row) for row in range(100)] * 10)
    naive = validate(judgements * 10, labels * 10, [str(row) for row in range(1000)])
    assert interval_width(ten_times) == pytest.approx(interval_width(alone), abs=0.02)
    assert interval_width(naive) < 0.5 * interval_width(alone)


@pytest.mark.parametrize("prompts", [["a"], ["a", "b"], ["a"] * 5])
def test_one_prompt_or_two_answers_that_are_alike_have_no_interval(prompts: list[str]) -> None:
    n = len(prompts)
    found = validate([judged([0.8, 0.1, 0.1])] * n, ["support"] * n, prompts)
    for figure in (found.accuracy, found.kappa, found.brier, found.classes["support"].recall, found.calibration[0].accuracy):
        assert figure.value is not None and (figure.low, figure.high) == (None, None)
    flat = found.flat("j", "d")
    assert (flat["accuracy"], flat["accuracy_low"], flat["per_class"]["support"]["f1_high"]) == (1, None, None)
    assert "have no interval, each because it rests on one prompt" in found.notes[0]


def test_a_figure_that_varies_or_rests_on_more_has_its_interval() -> None:
    two = validate([judged([0.8, 0.1, 0.1]), judged([0.1, 0.1, 0.8])], ["support", "support"], ["a", "b"])
    assert (two.accuracy.low, two.accuracy.high) == (0, 1)
    many = validate([judged([0.8, 0.1, 0.1])] * 3, ["support"] * 3, list("abb"))
    assert (many.accuracy.low, many.accuracy.high) == (1, 1) and many.notes == []


def test_where_nothing_was_judged_its_probabilities_are_not_measured() -> None:
    lost = Judgement.without_stance(JudgeStatus.FAILED)
    found = validate([lost, lost], ["support", "oppose"], ["a", "b"])
    assert found.accuracy.value == 0 and (found.brier.value, found.log_loss.value, found.calibration_error.value) == (None, None, None)
    assert any("not measured" in note for note in found.notes)


def test_the_interval_covers() -> None:
    """95% intervals of the accuracy of a judge that is right in 80% of cases, over 60 samples of 150 answers."""
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        right = random.random(150) < 0.8
        judgements = [judged([1, 0, 0]) if ok else judged([0, 0, 1]) for ok in right]
        accuracy = validate(judgements, ["support"] * 150, [str(row) for row in range(150)]).accuracy
        covered += accuracy.low <= 0.8 <= accuracy.high
    assert covered >= 52  # 60 × 0.95 = 57; below 52 has a probability under 0.01


def test_bad_labels() -> None:
    with pytest.raises(DataError, match="agree"):
        validate([judged([1, 0, 0])], ["agree"], ["a"])
    with pytest.raises(DataError, match="no labelled rows"):
        validate([], [], [])
