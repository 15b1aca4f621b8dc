"""How the embedded language model learns to judge: what a turn is made of, that its loss falls, and that what was learnt is what judges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.judges.made_lm import small_judge, write_small_body
from valuedrift.errors import UserError
from valuedrift.judges.base import Pair
from valuedrift.judges.language.body import load_body
from valuedrift.judges.language.model import StanceReader
from valuedrift.judges.language.segments import Segmenter
from valuedrift.judges.network.weights import WEIGHTS_FILE
from valuedrift.judges.training import TRAINERS, trainer
from valuedrift.judges.training.language import LanguageRecipe, TurnLoss, add_updates, fit, save_updates
from valuedrift.judges.training.sources import Issue, issues
from valuedrift.judges.training.turns import Turn, course, easy_course, usable
from valuedrift.progress import Progress


@pytest.fixture(scope="module")
def seen() -> list[Issue]:
    return usable([issue for issue in issues() if not issue.held_out])[:40]


def sides(issue: Issue) -> dict[str, int]:
    """Every answer of an issue, and its statements, with the side that it takes."""
    signs = {"support": 1, "neutral": 0, "oppose": -1}
    answers = {answer.text.removeprefix(answer.opener).lstrip(): signs[answer.stance.value] for answer in issue.answers}
    return answers | {wording.text: wording.polarity for wording in issue.wordings if wording.form == "statement"}


def check(turn: Turn, seen: list[Issue], *, others: int) -> None:
    (issue,) = [issue for issue in seen if turn.wordings[0] in {wording.text for wording in issue.wordings}]
    polarity = {wording.text: wording.polarity for wording in issue.wordings}
    assert [polarity[wording] for wording in turn.wordings] == [1, -1]
    assert {1, -1} <= set(turn.signs) and len(turn.others) == others
    own = sides(issue)
    for text, sign in zip(turn.answers, turn.signs, strict=True):
        assert sign == own.get(text, 0)


def test_turns_hold_answers_of_both_sides_with_their_signs(seen: list[Issue]) -> None:
    easy, after = easy_course(seen, 30, 0), course(seen, 1.5, 0.5, 0)
    assert len(easy) == 30 and len(after) == 60
    for turn in easy:
        check(turn, seen, others=2)
    for turn in after:
        check(turn, seen, others=1)
    of = {wording.text: sides(issue) for issue in seen for wording in issue.wordings}
    strangers = [text for turn in after for text in turn.answers if text not in of[turn.wordings[0]]]
    assert 5 < len(strangers) < 40
    assert course(seen, 1.5, 0.5, 0) == after != course(seen, 1.5, 0.5, 1)
    assert len(course(seen, 0.25, 0.5, 0)) == 10


@pytest.mark.slow
def test_the_loss_falls_and_what_was_learnt_judges(seen: list[Issue], tmp_path: Path) -> None:
    """On the same few turns again and again; what is saved, loaded and merged in float32 says what the trained network says."""
    body, weights = tmp_path / "body", tmp_path / "weights"
    write_small_body(body)
    weights.mkdir()
    torch.manual_seed(0)
    recipe = LanguageRecipe(head_learning_rate=2e-2, learning_rate=5e-3)
    reader, segmenter = StanceReader(load_body(body)), Segmenter(body)
    updates = add_updates(reader.body, recipe)
    loss_of, turns = TurnLoss(reader, segmenter, recipe), course(seen, 0.1, 0.5, 0)
    before = [float(loss_of(turn).detach()) for turn in turns]
    told: list[Progress] = []
    frozen = {name: one.clone() for name, one in reader.body.named_parameters() if not one.requires_grad}
    fit(reader, updates, loss_of, ([], turns * 12), recipe, told.append)
    after = [float(loss_of(turn).detach()) for turn in turns]
    assert np.mean(after) < 0.85 * np.mean(before)
    assert (told[-1].done, told[-1].total) == (len(turns) * 12,) * 2
    assert all(torch.equal(one, frozen[name]) for name, one in reader.body.named_parameters() if name in frozen)
    save_updates(weights / WEIGHTS_FILE, reader, updates)
    judge = small_judge(body, weights)
    with torch.no_grad():
        expected = torch.stack([loss_of.logits(turn)[0] for turn in turns[:1]]).flatten(0, 2).numpy()
    found = judge.logits([Pair("a", wording, answer) for answer in turns[0].answers for wording in turns[0].wordings])
    assert np.abs(found - expected).max() < 0.15 * np.abs(expected).max()


def test_half_precision_beside_the_updates_rounds_as_little_as_it_can(tmp_path: Path) -> None:
    """Before training the updates are nothing, so what is left is bfloat16's rounding of weights, inputs and outputs: 2⁻⁹ of each product three times."""
    write_small_body(tmp_path)
    plain, half = load_body(tmp_path), load_body(tmp_path)
    updates = add_updates(half, LanguageRecipe())
    rounded = dict(half.named_modules())
    for name, layer in plain.named_modules():
        if isinstance(layer, torch.nn.Linear):
            x = torch.randn(5, layer.in_features, generator=torch.Generator().manual_seed(2))
            found = rounded[name](x)
            bound = 3 * 2**-9 * (x.abs() @ layer.weight.abs().T)
            assert found.dtype == torch.float32 and not torch.equal(found, layer(x)) and ((found - layer(x)).abs() <= bound).all()
    assert len(updates) == 64


@pytest.mark.parametrize("judge", ["cross-encoder", "embedded-lm"])
def test_each_trained_type_has_its_training(judge: str) -> None:
    assert callable(trainer(judge)) and set(TRAINERS) == {"cross-encoder", "embedded-lm"}


def test_other_types_have_none() -> None:
    with pytest.raises(UserError, match="no training for 'panel'") as raised:
        trainer("panel")
    assert raised.value.fix == "one of cross-encoder, embedded-lm"
