"""Drift corrected by labels: against formulas written out, and by simulation with judges that are wrong in known ways."""

from __future__ import annotations

import numpy as np
import pytest

from valuedrift.drift.powered import Labels, by_cell, by_study, enough, mean_by_cell, mean_by_study, pooled_error
from valuedrift.judges.quality.scaling import fit_calibration
from valuedrift.statistics.intervals import mean_interval

CONFUSION = np.array([[0.80, 0.05, 0.15], [0.25, 0.70, 0.05], [0.30, 0.10, 0.60]])
"""What a biased judge says of answers that support, are neutral, oppose: it leans to support."""
FIRST, LAST = np.array([0.2, 0.3, 0.5]), np.array([0.55, 0.25, 0.2])
PROMPTS, SAMPLES = 60, 4
PROMPT, IS_LAST = np.repeat(np.arange(PROMPTS), 2 * SAMPLES), np.tile(np.repeat([False, True], SAMPLES), PROMPTS)
"""Prompt of each answer, and whether it is of the last checkpoint, in the order of ``answers``."""


def answers(random: np.random.Generator, confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What people and the judge say of every answer. Shape (prompt, end, sample, 3) each."""
    taste = random.dirichlet(np.ones(3) * 6, PROMPTS) - 1 / 3
    said, judged = [], []
    for mean in (FIRST, LAST):
        chance = np.clip(mean + 0.5 * (taste - taste.mean(0)), 0.01, None)
        chance /= chance.sum(1, keepdims=True)
        stance = np.array([random.choice(3, size=SAMPLES, p=row) for row in chance])
        seen = np.array([[random.dirichlet(8 * confusion[a] + 0.01) for a in row] for row in stance])
        said.append(np.eye(3)[stance])
        judged.append(seen)
    return np.stack(said, 1), np.stack(judged, 1)


def world(random: np.random.Generator, confusion: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, Labels]:
    """Judged prompt means at both checkpoints, and n labelled answers drawn with unequal probabilities."""
    said, judged = answers(random, confusion)
    y, f = said.reshape(-1, 3), judged.reshape(-1, 3)
    odds = 1 + 2 * (f.max(1) < 0.7)  # unsure answers are drawn more often
    p = np.minimum(1, n * odds / odds.sum())
    drawn = random.random(len(p)) < p
    return judged[:, 0].mean(1), judged[:, 1].mean(1), Labels(y[drawn], f[drawn], 1 / p[drawn], PROMPT[drawn], IS_LAST[drawn])


def truth(random: np.random.Generator) -> np.ndarray:
    """The world's mean stances over very many prompts, before and after. Shape (2, 3)."""
    taste = random.dirichlet(np.ones(3) * 6, 400_000) - 1 / 3
    ends = []
    for mean in (FIRST, LAST):
        chance = np.clip(mean + 0.5 * (taste - taste.mean(0)), 0.01, None)
        ends.append((chance / chance.sum(1, keepdims=True)).mean(0))
    return np.stack(ends)


def of_the_last(labels: Labels) -> Labels:
    """Only those of the last checkpoint."""
    return Labels(*(getattr(labels, name)[labels.last] for name in ("said", "judged", "weight", "prompt", "last")))


@pytest.mark.parametrize("n", [100, 200])
def test_uncorrected_intervals_miss_and_corrected_ones_cover(n: int) -> None:
    random = np.random.default_rng(n)
    (start, end), repeats = truth(random), 300
    true = dict.fromkeys(("plain", "cell", "study"), end - start) | dict.fromkeys(("plain mean", "cell mean", "study mean"), end)
    covered = dict.fromkeys(true, 0)
    for _ in range(repeats):
        before, after, labels = world(random, CONFUSION, n)
        assert enough(labels) and pooled_error(labels) is None
        found = {
            "plain": mean_interval(after - before, 0.95, bounds=(-1.0, 1.0)),
            "cell": by_cell(before, after, labels, 0.95).interval,
            "study": by_study(before, after, np.arange(PROMPTS), labels, 0.95).interval,
            "plain mean": mean_interval(after, 0.95, bounds=(0.0, 1.0)),
            "cell mean": mean_by_cell(after, of_the_last(labels), 0.95).interval,
            "study mean": mean_by_study(after, np.arange(PROMPTS), labels, 0.95).interval,
        }
        for name, ci in found.items():
            covered[name] += int(((ci.low <= true[name]) & (true[name] <= ci.high)).sum())
    shares = {name: count / repeats / 3 for name, count in covered.items()}
    assert shares["plain"] < 0.5 and shares["plain mean"] < 0.9, shares
    assert min(share for name, share in shares.items() if not name.startswith("plain")) >= 0.93, shares


def test_plain_ppi_by_its_formula() -> None:
    """λ = 1 and equal weights: mean of judged + mean of (label − judged), checkpoint by checkpoint (Angelopoulos et al. 2023)."""
    before, after, labels = world(np.random.default_rng(1), CONFUSION, 150)
    even = Labels(labels.said, labels.judged, np.ones(len(labels.weight)), labels.prompt, labels.last)
    found = by_cell(before, after, even, 0.95, tuning=1.0)
    rectifier = [(even.said - even.judged)[end].mean(0) for end in (even.last, ~even.last)]
    assert found.interval.estimate == pytest.approx(after.mean(0) + rectifier[0] - before.mean(0) - rectifier[1])
    assert found.interval.estimate.sum() == pytest.approx(0)


def test_calibration_alone_is_not_enough_and_its_labels_may_be_used_again() -> None:
    """A judge calibrated on 120 labels, as it is and corrected by the same labels: four fitted numbers cost the correction nothing that shows."""
    random = np.random.default_rng(5)
    true, repeats = np.subtract(*truth(random)[::-1]), 150
    covered = {"calibrated": 0, "corrected": 0}
    for _ in range(repeats):
        said, judged = answers(random, CONFUSION)
        y, f = said.reshape(-1, 3), judged.reshape(-1, 3)
        drawn = random.random(len(f)) < 120 / len(f)
        names = [str(prompt) for prompt in PROMPT[drawn]]
        calibrated = fit_calibration(f[drawn], y[drawn].argmax(1), prompts=names, judge="j", judge_fingerprint="f").apply(f)
        before, after = (calibrated.reshape(judged.shape)[:, end].mean(1) for end in (0, 1))
        labels = Labels(y[drawn], calibrated[drawn], np.ones(drawn.sum()), PROMPT[drawn], IS_LAST[drawn])
        found = {
            "calibrated": mean_interval(after - before, 0.95, bounds=(-1.0, 1.0)),
            "corrected": by_cell(before, after, labels, 0.95).interval,
        }
        for name, ci in found.items():
            covered[name] += int(((ci.low <= true) & (true <= ci.high)).sum())
    shares = {name: count / repeats / 3 for name, count in covered.items()}
    assert shares["calibrated"] < 0.85 and shares["corrected"] >= 0.92, shares


def test_a_mean_by_the_formula_of_the_paper() -> None:
    """One answer a prompt, equal weights: the estimate and variance of PPI++ (Angelopoulos et al. 2023), written out; the labelled are among the judged."""
    random = np.random.default_rng(3)
    stance = random.choice(3, 400, p=LAST)
    f = np.stack([random.dirichlet(8 * CONFUSION[a] + 0.01) for a in stance])
    y, n, tuning = np.eye(3)[stance], 120, 0.7
    drawn = random.choice(400, n, replace=False)
    labels = Labels(y[drawn], f[drawn], np.ones(n), drawn, np.ones(n, dtype=bool))
    found = mean_by_cell(f, labels, 0.95, tuning=tuning).interval
    rectifier = y[drawn] - tuning * f[drawn]
    assert found.estimate == pytest.approx(tuning * f.mean(0) + rectifier.mean(0))
    apart = tuning**2 * f.var(0, ddof=1) / 400 + rectifier.var(0, ddof=1) / n
    shared = 2 * tuning * np.array([np.cov(f[drawn, s], rectifier[:, s])[0, 1] for s in range(3)]) / 400
    assert found.error == pytest.approx(np.sqrt(apart + shared), rel=0.03)


def without(values: np.ndarray, labels: Labels, gone: int) -> tuple[np.ndarray, Labels]:
    """The same without one prompt."""
    kept = labels.prompt != gone
    rest = Labels(*(getattr(labels, name)[kept] for name in ("said", "judged", "weight", "prompt", "last")))
    return np.delete(values, gone, axis=0), Labels(rest.said, rest.judged, rest.weight, rest.prompt - (rest.prompt > gone), rest.last)


@pytest.mark.parametrize("level", ["cell", "study"])
def test_errors_are_those_of_a_jackknife_over_prompts(level: str) -> None:
    """An independent way to the standard error: leave out one prompt after the other, its answers and its labels."""
    ratios = []
    for seed in range(8):
        before, after, labels = world(np.random.default_rng(seed), CONFUSION, 150)

        def estimate(both: np.ndarray, some: Labels) -> np.ndarray:
            if level == "cell":
                return by_cell(both[:, 0], both[:, 1], some, 0.95, tuning=0.6).interval.estimate
            return by_study(both[:, 0], both[:, 1], np.arange(len(both)), some, 0.95).interval.estimate

        both = np.stack([before, after], 1)
        left = np.stack([estimate(*without(both, labels, gone)) for gone in range(PROMPTS)])
        jackknife = np.sqrt((PROMPTS - 1) / PROMPTS * ((left - left.mean(0)) ** 2).sum(0))
        found = (
            by_cell(before, after, labels, 0.95, tuning=0.6)
            if level == "cell"
            else by_study(before, after, np.arange(PROMPTS), labels, 0.95)
        )
        ratios.append(found.interval.error / jackknife)
    assert np.mean(ratios) == pytest.approx(1, abs=0.06), ratios
    assert np.abs(np.log(ratios)).max() < 0.25, ratios


def test_without_the_judge_it_is_the_labels_alone() -> None:
    before, after, labels = world(np.random.default_rng(2), CONFUSION, 150)
    found = by_cell(before, after, labels, 0.95, tuning=0.0)
    means = [np.average(labels.said[end], axis=0, weights=labels.weight[end]) for end in (labels.last, ~labels.last)]
    assert found.interval.estimate == pytest.approx(means[0] - means[1])
    other = by_cell(1 - after, 1 - before, labels, 0.95, tuning=0.0)  # whatever the judge says
    assert other.interval.error == pytest.approx(found.interval.error)


def test_tuning_is_never_worse_than_either_end() -> None:
    for seed in range(10):
        before, after, labels = world(np.random.default_rng(seed), CONFUSION, 150)
        tuned, plain, alone = (by_cell(before, after, labels, 0.95, tuning=value) for value in (None, 1.0, 0.0))
        assert 0 <= tuned.tuning <= 1
        total = (tuned.interval.error**2).sum()
        assert total <= min((plain.interval.error**2).sum(), (alone.interval.error**2).sum()) * (1 + 1e-9)


def test_a_perfect_judge_is_not_made_wider() -> None:
    random = np.random.default_rng(5)
    before, after, labels = world(random, CONFUSION, 150)
    perfect = Labels(labels.said, labels.said, labels.weight, labels.prompt, labels.last)
    plain = mean_interval(after - before, 0.95, bounds=(-1.0, 1.0))
    for found in (by_cell(before, after, perfect, 0.95), by_study(before, after, np.arange(PROMPTS), perfect, 0.95)):
        assert (found.interval.high - found.interval.low <= (plain.high - plain.low) * 1.1).all()
    assert by_study(before, after, np.arange(PROMPTS), perfect, 0.95).interval.estimate == pytest.approx(plain.estimate)


def test_too_few_labels_are_said() -> None:
    before, _, labels = world(np.random.default_rng(6), CONFUSION, 150)
    few = Labels(*(getattr(labels, name)[:8] for name in ("said", "judged", "weight", "prompt", "last")))
    assert not enough(few) and "labels of" in str(pooled_error(few))
    blind = Labels(labels.said, np.full_like(labels.judged, 1 / 3), labels.weight, labels.prompt, labels.last)
    assert "hardly tells" in str(pooled_error(blind))
    assert before.shape == (PROMPTS, 3)
