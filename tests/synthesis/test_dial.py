"""The dial: the audited gap of what comes out is the one that was asked for, or the user is told the largest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuedrift.errors import UserError
from valuedrift.stance import Stance
from valuedrift.statistics.distances import total_variation
from valuedrift.synthesis.candidates import Answer
from valuedrift.synthesis.config import CONTRASTS, Dial, Setting
from valuedrift.synthesis.dial import TOLERANCE, dial
from valuedrift.synthesis.openings import openings_of

EXACT = 0.005
"""A gap is named with two digits."""


def answers(prompts: int, each: int, seed: int) -> list[Answer]:
    """Judged answers of every stance to every prompt, more or less sure."""
    rng = np.random.default_rng(seed)
    found = []
    for prompt in range(prompts):
        for place, stance in enumerate(Stance):
            for index in range(each):
                own = rng.uniform(0.55, 0.99)
                rest = rng.dirichlet((1.0, 1.0)) * (1 - own)
                p = np.insert(rest, place, own)
                text = f"{stance.value} {index} on {prompt}"
                found.append(Answer(f"q{prompt}", f"topic {prompt % 3}", f"prompt {prompt}?", stance, index, text, p))
    return found


def largest_gap(made: list[Answer], setting: Setting, size: int) -> tuple[float, float]:
    """Bounds of the largest gap that ``size`` pairs can have, one a prompt and as many of each topic; equal where the setting has one kind of aligned pair.

    With two kinds, how many of each there must be is left open: every pair counts with its weaker kind, and with its stronger one.
    """
    first = [opening for opening in openings_of(made, setting, 0) if opening.layer == 0]
    topics = sorted({opening.topic for opening in first})
    strongest: list[list[np.ndarray]] = []
    for place, topic in enumerate(topics):
        share = size // len(topics) + (place < size % len(topics))
        differences = [[pair.difference for pair in opening.aligned] for opening in first if opening.topic == topic]
        strongest += sorted(differences, key=lambda kinds: max(map(_size, kinds)))[-share:]
    if len(CONTRASTS[setting]) == 1:
        exact = _size(np.mean([kinds[0] for kinds in strongest], axis=0))
        return exact, exact
    neutral = list(Stance).index(Stance.NEUTRAL)
    weakest = float(np.mean([min(d[neutral] for d in kinds) for kinds in strongest]))
    return weakest, float(np.mean([max(map(_size, kinds)) for kinds in strongest]))


def _size(difference: np.ndarray) -> float:
    return float(0.5 * np.abs(difference).sum())


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(Setting)), st.floats(0.0, 1.0), st.integers(30, 60), st.integers(0, 50))
def test_audited_and_asked_agree_and_a_refusal_is_right_only_above_the_largest_gap(
    setting: Setting, gap: float, prompts: int, seed: int
) -> None:
    made = answers(prompts, 2, seed)
    fewest = 20  # docs: without a number of pairs, down to this many are tried
    surely, at_most = largest_gap(made, setting, fewest)
    try:
        pairs = dial(made, Dial(setting=setting, gap=gap))
    except UserError as error:
        named = float(str(error).split("can give is ")[1][:4])
        assert gap > surely + TOLERANCE - EXACT, f"{fewest} pairs have a gap of {surely:.3f}"
        assert surely - EXACT <= named <= at_most + EXACT
        return
    assert gap <= at_most + TOLERANCE + EXACT
    assert len(pairs) >= fewest
    chosen, rejected = (np.mean([side.p for side in sides], axis=0) for sides in zip(*((p.chosen, p.rejected) for p in pairs), strict=True))
    assert float(total_variation(chosen, rejected)) == pytest.approx(gap, abs=TOLERANCE)
    assert all(pair.chosen.text != pair.rejected.text and pair.chosen.prompt == pair.rejected.prompt for pair in pairs)
    assert all((pair.chosen.stance, pair.rejected.stance) in CONTRASTS[setting] for pair in pairs if pair.aligned)


def test_the_same_answers_in_any_order_give_the_same_pairs() -> None:
    made, asked = answers(30, 2, 1), Dial(setting=Setting.SUPPORT_ALIGNED, gap=0.3)
    texts = [(pair.chosen.text, pair.rejected.text) for pair in dial(made, asked)]
    assert [(pair.chosen.text, pair.rejected.text) for pair in dial(made[::-1], asked)] == texts
    assert [(p.chosen.text, p.rejected.text) for p in dial(made, asked.model_copy(update={"seed": 1}))] != texts


def test_nothing_accepted_is_told() -> None:
    only_support = [answer for answer in answers(10, 2, 0) if answer.stance is Stance.SUPPORT]
    with pytest.raises(UserError, match="no prompt has accepted answers of both stances"):
        dial(only_support, Dial(setting=Setting.OPPOSE_ALIGNED, gap=0.2))


def test_the_number_of_pairs_is_kept() -> None:
    assert len(dial(answers(30, 2, 3), Dial(setting=Setting.SUPPORT_ALIGNED, gap=0.2, pairs=25))) == 25
    with pytest.raises(UserError, match="at most"):
        dial(answers(5, 2, 3), Dial(setting=Setting.SUPPORT_ALIGNED, gap=0.2, pairs=500))
