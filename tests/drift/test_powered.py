"""Drift corrected by labels: against formulas written out, and by simulation with judges that are wrong in known ways."""

from __future__ import annotations

import numpy as np
import pytest

from valuedrift.drift.intervals import mean_interval
from valuedrift.drift.powered import Labels, by_cell, by_study, enough, pooled_error

CONFUSION = np.array([[0.80, 0.05, 0.15], [0.25, 0.70, 0.05], [0.30, 0.10, 0.60]])
"""What a biased judge says of answers that support, are neutral, oppose: it leans to support."""
FIRST, LAST = np.array([0.2, 0.3, 0.5]), np.array([0.55, 0.25, 0.2])
PROMPTS, SAMPLES = 60, 4


def world(random: np.random.Generator, confusion: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, Labels]:
    """Judged prompt means at both checkpoints, and n labelled answers drawn with unequal probabilities."""
    taste = random.dirichlet(np.ones(3) * 6, PROMPTS) - 1 / 3
    said, judged = [], []
    for mean in (FIRST, LAST):
        chance = np.clip(mean + 0.5 * (taste - taste.mean(0)), 0.01, None)
        chance /= chance.sum(1, keepdims=True)
        stance = np.array([random.choice(3, size=SAMPLES, p=row) for row in chance])
        seen = np.array([[random.dirichlet(8 * confusion[a] + 0.01) for a in row] for row in stance])
        said.append(np.eye(3)[stance])
        judged.append(seen)
    y, f = np.stack(said, 1).reshape(-1, 3), np.stack(judged, 1).reshape(-1, 3)  # (prompt, end, sample)
    prompt = np.repeat(np.arange(PROMPTS), 2 * SAMPLES)
    last = np.tile(np.repeat([False, True], SAMPLES), PROMPTS)
    odds = 1 + 2 * (f.max(1) < 0.7)  # unsure answers are drawn more often
    p = np.minimum(1, n * odds / odds.sum())
    drawn = random.random(len(p)) < p
    labels = Labels(y[drawn], f[drawn], 1 / p[drawn], prompt[drawn], last[drawn])
    return judged[0].mean(1), judged[1].mean(1), labels


def truth(random: np.random.Generator) -> np.ndarray:
    """Mean drift of the world's stances over very many prompts."""
    taste = random.dirichlet(np.ones(3) * 6, 400_000) - 1 / 3
    ends = []
    for mean in (FIRST, LAST):
        chance = np.clip(mean + 0.5 * (taste - taste.mean(0)), 0.01, None)
        ends.append((chance / chance.sum(1, keepdims=True)).mean(0))
    return ends[1] - ends[0]


@pytest.mark.parametrize("n", [100, 200])
def test_uncorrected_intervals_miss_and_corrected_ones_cover(n: int) -> None:
    random = np.random.default_rng(n)
    true, repeats = truth(random), 300
    covered = {"plain": 0, "cell": 0, "study": 0}
    for _ in range(repeats):
        before, after, labels = world(random, CONFUSION, n)
        assert enough(labels) and pooled_error(labels) is None
        found = {
            "plain": mean_interval(after - before, 0.95, bounds=(-1.0, 1.0)),
            "cell": by_cell(before, after, labels, 0.95).interval,
            "study": by_study(before, after, np.arange(PROMPTS), labels, 0.95).interval,
        }
        for name, ci in found.items():
            covered[name] += int(((ci.low <= true) & (true <= ci.high)).sum())
    shares = {name: count / repeats / 3 for name, count in covered.items()}
    assert shares["plain"] < 0.5, shares
    assert shares["cell"] >= 0.93, shares
    assert shares["study"] >= 0.93, shares


def test_plain_ppi_by_its_formula() -> None:
    """λ = 1 and equal weights: mean of judged + mean of (label − judged), checkpoint by checkpoint (Angelopoulos et al. 2023)."""
    before, after, labels = world(np.random.default_rng(1), CONFUSION, 150)
    even = Labels(labels.said, labels.judged, np.ones(len(labels.weight)), labels.prompt, labels.last)
    found = by_cell(before, after, even, 0.95, tuning=1.0)
    rectifier = [(even.said - even.judged)[end].mean(0) for end in (even.last, ~even.last)]
    assert found.interval.estimate == pytest.approx(after.mean(0) + rectifier[0] - before.mean(0) - rectifier[1])
    assert found.interval.estimate.sum() == pytest.approx(0)


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
