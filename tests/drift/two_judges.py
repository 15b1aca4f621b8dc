"""Studies of which it is known what a strong judge says of every answer, and what a cheap one does, for the tests of cascades."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from valuedrift.drift.two_phase import Drawn, TwoPhase
from valuedrift.judges.drawing import chances
from valuedrift.statistics.inclusion import permanent_numbers

CHEAP = {
    "good": np.array([[0.86, 0.08, 0.06], [0.10, 0.82, 0.08], [0.06, 0.08, 0.86]]),
    "biased": np.array([[0.90, 0.05, 0.05], [0.45, 0.50, 0.05], [0.35, 0.15, 0.50]]),
    "useless": np.full((3, 3), 1 / 3),
}
"""How often a cheap judge calls answers that the strong one calls support, neutral, oppose each of these."""
FIRST = np.array([[0.2, 0.3, 0.5], [0.05, 0.9, 0.05], [0.45, 0.1, 0.45], [0.02, 0.03, 0.95]])
LAST = np.array([[0.55, 0.25, 0.2], [0.15, 0.8, 0.05], [0.45, 0.1, 0.45], [0.30, 0.10, 0.60]])
"""Mean stances of four topics where training starts and ends: one moves, one hardly, one not at all, one from a corner."""


@dataclass(frozen=True)
class World:
    """How large a study is.

    Attributes:
        prompts: A topic.
        samples: A prompt.
        checkpoints: A run.
        topics: Of the four.
        runs: All of the same drift, with prompts of their own way.
    """

    prompts: int = 50
    samples: int = 5
    checkpoints: int = 4
    topics: int = 4
    runs: int = 2

    def topic(self, random: np.random.Generator, which: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """What the strong and the cheap judge say of one topic. Shape (runs, prompts, samples, checkpoints, 3) each."""
        taste = random.normal(size=(self.prompts, 3))
        way = 0.3 * random.normal(size=(self.runs, self.prompts, 3))
        passed = np.linspace(0, 1, self.checkpoints)[:, None]
        mean = (1 - passed) * FIRST[which] + passed * LAST[which]
        chance = mean * np.exp(1.2 * (taste[None, :, None] + passed * way[:, :, None]))
        chance /= chance.sum(-1, keepdims=True)
        return both_judges(random, chance, self.samples, kind)

    def truth(self) -> np.ndarray:
        """What the strong judge would say on average over very many prompts. Shape (topics, checkpoints, 3)."""
        many = World(200_000, 1, self.checkpoints, self.topics, 1)
        random = np.random.default_rng(0)
        return np.stack([many.topic(random, which, "good")[0].mean(axis=(0, 1, 2)) for which in range(self.topics)])


def both_judges(random: np.random.Generator, chance: np.ndarray, samples: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """What the strong and the cheap judge say of answers.

    Args:
        random: Where chance comes from.
        chance: How probable each stance is to a prompt at a checkpoint. Shape (…, prompts, checkpoints, 3).
        samples: Answers a prompt and checkpoint.
        kind: The cheap judge, one of `CHEAP`.

    Returns:
        Shape (…, prompts, samples, checkpoints, 3) each.
    """
    cumulated = chance.cumsum(-1)[..., None, :, :]
    shape = (*chance.shape[:-2], samples, chance.shape[-2])
    stance = np.minimum((random.random((*shape, 1)) > cumulated).sum(-1), 2)
    strong = _sure(stance, random.beta(9, 1, size=shape) * 2 / 3 + 1 / 3)
    called = np.minimum((random.random((*shape, 1)) > CHEAP[kind][stance].cumsum(-1)).sum(-1), 2)
    return strong, _sure(called, random.beta(5, 2, size=shape) * 2 / 3 + 1 / 3)


def _sure(stance: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Distributions with a largest probability at a stance."""
    found = np.repeat(((1 - most) / 2)[..., None], 3, axis=-1)
    np.put_along_axis(found, stance[..., None], most[..., None], -1)
    return found


def two_phase(strong: np.ndarray, cheap: np.ndarray, share: float, key: str) -> TwoPhase:
    """One cell, its sample drawn as a study's is. Shape of both: (prompts, samples, checkpoints, 3)."""
    return TwoPhase(cheap.mean(axis=1), drawn_of(strong, cheap, share, key), np.arange(len(cheap)))


def drawn_of(strong: np.ndarray, cheap: np.ndarray, share: float, key: str) -> Drawn:
    """Its sample."""
    prompts, samples, checkpoints, _ = strong.shape
    prompt, sample = (index.ravel() for index in np.indices((prompts, samples)))
    numbers = permanent_numbers([f"p{at:04d}" for at in prompt], sample.tolist(), key)
    parts = []
    for at in range(checkpoints):
        judged = cheap[:, :, at].reshape(-1, 3)
        p = chances(judged, share * len(judged))
        drawn = numbers < p
        parts.append((strong[:, :, at].reshape(-1, 3)[drawn], judged[drawn], 1 / p[drawn], prompt[drawn], np.full(drawn.sum(), at)))
    return Drawn(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def frames(world: World, kind: str, share: float, seed: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The same as tables: stances of the cheap judge, answers drawn for the strong one, and its stances of all of them."""
    from valuedrift.judges.drawing import draw_answers

    random, rows = np.random.default_rng(seed), []
    for which in range(world.topics):
        strong, cheap = world.topic(random, which, kind)
        for run, prompt, sample, at in np.ndindex(strong.shape[:-1]):
            names = (f"r{run}", at * 10, f"t{which}", "probes", f"q{which}-{prompt:03d}", sample)
            rows.append((*names, *cheap[run, prompt, sample, at], "ok", *strong[run, prompt, sample, at]))
    columns = ["run_id", "step", "topic", "probe_set", "prompt_id", "sample_idx", "p_support", "p_neutral", "p_oppose", "status"]
    said = ["strong_support", "strong_neutral", "strong_oppose"]
    p = columns[6:9]
    whole = pl.DataFrame(rows, schema=[*columns, *said], orient="row").with_columns(study=pl.lit("s"), judge=pl.lit("both"))
    parts = [
        draw_answers(part, share).with_columns(run_id=pl.lit(run), step=pl.lit(step, dtype=pl.Int64))
        for (run, step), part in whole.group_by("run_id", "step", maintain_order=True)
    ]
    answer = ["run_id", "step", "topic", "probe_set", "prompt_id", "sample_idx"]
    both = whole.select("study", "judge", *answer, *said, *p).rename({name: f"cheap{name[1:]}" for name in p})
    sample = pl.concat(parts).join(both, on=answer).rename(dict(zip(said, p, strict=True))).with_columns(status=pl.lit("ok"))
    strong = whole.drop("p_support", "p_neutral", "p_oppose").rename(dict(zip(said, p, strict=True)))
    return whole.drop(said), sample, strong
