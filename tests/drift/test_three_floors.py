"""People above a cascade: their labels correct the best that is known of each answer. Against a computation of its own, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from two_judges import drawn_of

from valuedrift.drift.powered import Labels, by_cell, enough
from valuedrift.drift.two_phase import DRIFT, TwoPhase, tuned

PROMPTS, SAMPLES = 60, 4
ENDS = np.array([[0.2, 0.3, 0.5], [0.55, 0.25, 0.2]])
"""What people would say at the first and the last checkpoint, on average."""
CHEAP = np.array([[0.70, 0.10, 0.20], [0.30, 0.60, 0.10], [0.35, 0.10, 0.55]])
STRONG = {
    "good": np.array([[0.93, 0.04, 0.03], [0.05, 0.90, 0.05], [0.03, 0.04, 0.93]]),
    "biased": np.array([[0.95, 0.04, 0.01], [0.50, 0.48, 0.02], [0.45, 0.10, 0.45]]),
}
"""What judges say of answers that people call support, neutral, oppose."""
PROMPT = np.repeat(np.arange(PROMPTS), 2 * SAMPLES)
IS_LAST = np.tile([False, True], PROMPTS * SAMPLES)


def judged(random: np.random.Generator, said: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """A judge's probabilities of answers of which it is known what people say."""
    drawn = random.gamma(8 * (said @ errors) + 0.05)
    return np.asarray(drawn / drawn.sum(-1, keepdims=True))


class Study:
    """One cell under three floors: a cheap judge of all answers, a strong one of a tenth, people of some.

    Attributes:
        cascade: The cell under both judges.
        best: The strong judge's stance where it read, else the cheap one's. Shape (prompts, samples, ends, 3).
        cheap: The cheap judge's. Likewise.
    """

    def __init__(self, random: np.random.Generator, kind: str, key: str) -> None:
        taste = 0.5 * (random.dirichlet(np.full(3, 6.0), PROMPTS) - 1 / 3)
        chance = np.clip(ENDS + taste[:, None], 0.01, None)
        cumulated = (chance / chance.sum(-1, keepdims=True)).cumsum(-1)
        stance = np.minimum((random.random((PROMPTS, SAMPLES, 2, 1)) > cumulated[:, None]).sum(-1), 2)
        self.said = np.eye(3)[stance]
        self.strong, self.cheap = judged(random, self.said, STRONG[kind]), judged(random, self.said, CHEAP)
        drawn = drawn_of(self.strong, self.cheap, 0.1, key)
        self.cascade = TwoPhase(self.cheap.mean(axis=1), drawn, np.arange(PROMPTS))
        read = np.zeros(self.cheap.shape[:-1], dtype=bool)
        for prompt, at, strong in zip(drawn.prompt, drawn.at, drawn.strong, strict=True):
            read[prompt, :, at] |= (self.strong[prompt, :, at] == strong).all(axis=-1)
        self.best = np.where(read[..., None], self.strong, self.cheap)

    def labels(self, random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Which answers people label, by the doubt of what is known of them, and with which probability. Shape (prompts, samples, ends) each."""
        odds = 1.0 + 2.0 * (self.best.max(-1) < 0.7)
        p = np.minimum(1.0, n * odds / odds.sum())
        return random.random(p.shape) < p, p

    def labelled(self, stances: np.ndarray, drawn: np.ndarray, p: np.ndarray) -> Labels:
        """These labels beside some stances."""
        rows = drawn.ravel()
        return Labels(self.said.reshape(-1, 3)[rows], stances.reshape(-1, 3)[rows], 1 / p.ravel()[rows], PROMPT[rows], IS_LAST[rows])


def truth() -> np.ndarray:
    """The drift that people would see over very many prompts."""
    taste = 0.5 * (np.random.default_rng(0).dirichlet(np.full(3, 6.0), 400_000) - 1 / 3)
    chance = np.clip(ENDS + taste[:, None], 0.01, None)
    first, last = (chance / chance.sum(-1, keepdims=True)).mean(axis=0)
    return np.asarray(last - first)


@pytest.mark.parametrize("kind", STRONG)
def test_the_correction_is_the_formula_written_out(kind: str) -> None:
    random = np.random.default_rng(1)
    study = Study(random, kind, "one")
    drawn, p = study.labels(random, 150)
    means = study.best.mean(axis=1)
    found = by_cell(means[:, 0], means[:, 1], study.labelled(study.best, drawn, p), 0.95)

    def contributions(weight: float) -> tuple[np.ndarray, np.ndarray]:
        """Estimate and variance with a weight of the stances, prompt by prompt."""
        whole = weight * (means[:, 1] - means[:, 0])
        estimate, of_prompt = whole.mean(axis=0), (whole - whole.mean(axis=0)) / PROMPTS * np.sqrt(PROMPTS / (PROMPTS - 1))
        touched = len({prompt for prompt, _, _ in np.argwhere(drawn)})
        for end, sign in ((0, -1), (1, 1)):
            rows = [tuple(place) for place in np.argwhere(drawn) if place[2] == end]
            total = sum(1 / p[place] for place in rows)
            left = {place: study.said[place] - weight * study.best[place] for place in rows}
            mean = sum(left[place] / p[place] for place in rows) / total
            estimate = estimate + sign * mean
            for place in rows:
                of_prompt[place[0]] += sign * (left[place] - mean) / p[place] / total * np.sqrt(touched / (touched - 1))
        return estimate, (of_prompt**2).sum(axis=0)

    start, middle, end = (contributions(weight)[1].sum() for weight in (0.0, 0.5, 1.0))
    bend, slope = 2 * (start - 2 * middle + end), 4 * middle - 3 * start - end  # the variance is a parabola of the weight
    assert found.tuning == pytest.approx(np.clip(-slope / (2 * bend), 0, 1), abs=1e-6)
    estimate, variance = contributions(found.tuning)
    assert found.interval.estimate == pytest.approx(estimate, abs=1e-9)
    assert found.interval.error == pytest.approx(np.sqrt(variance), rel=1e-6)


@pytest.mark.parametrize("kind", STRONG)
def test_people_correct_the_strong_judge_and_three_floors_are_no_wider_than_two(kind: str) -> None:
    random, true, repeats = np.random.default_rng(2), truth(), 150
    covered: dict[str, list[np.ndarray]] = {"cascade": [], "three": [], "two": []}
    width = dict.fromkeys(covered, 0.0)
    for repeat in range(repeats):
        study = Study(random, kind, str(repeat))
        drawn, p = study.labels(random, 160)
        found = {"cascade": study.cascade.contrast(np.array([-1.0, 1.0]), tuned([study.cascade]), 0.95, DRIFT).interval}
        for name, stances in (("three", study.best), ("two", study.cheap)):
            labels, means = study.labelled(stances, drawn, p), stances.mean(axis=1)
            assert enough(labels)
            found[name] = by_cell(means[:, 0], means[:, 1], labels, 0.95).interval
        for name, ends in found.items():
            covered[name].append((ends.low <= true) & (true <= ends.high))
            width[name] += float((ends.high - ends.low).sum())
    held = {name: float(np.mean(shares)) for name, shares in covered.items()}
    assert held["three"] >= 0.93 and held["two"] >= 0.93, held
    assert width["three"] <= 1.02 * width["two"], width
    if kind == "biased":
        assert held["cascade"] < 0.85, held
