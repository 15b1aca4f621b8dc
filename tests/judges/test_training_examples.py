"""What the judge learns from: held-out questions stay out, and every label fits its pair."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from valuedrift.judges.network.model import StanceNetwork, load_body
from valuedrift.judges.network.windows import Encoder
from valuedrift.judges.training.augment import Augmenter
from valuedrift.judges.training.grids import Step, centred
from valuedrift.judges.training.loop import Recipe
from valuedrift.judges.training.sources import Example, Issue, first_sentence, flipped, issues, phrases, plain_examples
from valuedrift.judges.training.train import BODY, course, without_near_held_out
from valuedrift.models.resolve import resolve_model
from valuedrift.stance import Stance
from valuedrift.starter import TOPICS, instructions


@pytest.fixture(scope="module")
def seen() -> list[Issue]:
    body = resolve_model(BODY)
    return without_near_held_out(issues(), StanceNetwork(load_body(body)).eval(), Encoder(body))


@pytest.fixture(scope="module")
def drawn(seen: list[Issue]) -> list[Example]:
    return Augmenter(seen, phrases(), [row["response"] for row in instructions()], seed=3).epoch(12)


@pytest.fixture(scope="module")
def steps(seen: list[Issue]) -> list[Step]:
    return course(seen, Recipe(epochs=1), seed=3)


def test_in_a_step_neither_question_nor_answer_tells_the_stance(steps: list[Step]) -> None:
    """Of the pairs of a grid every answer supports as many wordings as it opposes."""
    for step in steps:
        for grid in step.grids:
            by_answer: dict[str, Counter[Stance]] = {}
            for _, answer, stance in grid.pairs():
                by_answer.setdefault(answer, Counter())[stance] += 1
            assert all(count[Stance.SUPPORT] == count[Stance.OPPOSE] > 0 for count in by_answer.values())


def test_an_epoch_has_every_issue_once_with_the_labels_of_its_pairs(seen: list[Issue], steps: list[Step]) -> None:
    sided = [issue for issue in seen if issue.has_sides]
    first = Counter(grid.wordings[0] for step in steps for grid in step.grids)
    assert first == Counter(issue.wordings[0].text for issue in sided)
    labels = {(example.prompt, example.response): example.stance for example in plain_examples(sided)}
    found = [labels[pair[:2]] is pair[2] for step in steps for grid in step.grids for pair in grid.pairs() if pair[:2] in labels]
    assert len(found) > 12 * len(sided) and all(found)


def test_no_held_out_text_in_a_step(steps: list[Step]) -> None:
    held = {text for issue in issues() if issue.held_out for text in (*(w.text for w in issue.wordings), *(a.text for a in issue.answers))}
    trained = {text for step in steps for pair in (*step.neutral, *step.others) for text in pair[:2]}
    trained |= {text for step in steps for grid in step.grids for text in (*grid.wordings, *grid.answers)}
    assert held & trained == set()


def test_centring_leaves_what_neither_row_nor_column_explains() -> None:
    rows, columns = torch.tensor([[3.0], [-1.0]]), torch.tensor([[5.0, 0.0, 7.0]])
    inner = torch.tensor([[1.0, -2.0, 1.0], [-1.0, 2.0, -1.0]])
    assert torch.allclose(centred(rows + columns), torch.zeros(2, 3), atol=1e-5)
    assert torch.allclose(centred(inner + rows + columns), inner, atol=1e-5)


def test_some_questions_of_every_topic_are_held_out() -> None:
    held = Counter(issue.topic for issue in issues() if issue.held_out and not issue.name.startswith(("hard", "argued")))
    assert {held[topic] for topic in TOPICS.values()} == {4}
    argued = [issue for issue in issues() if issue.name.startswith("argued")]
    assert 0.1 < sum(issue.held_out for issue in argued) / len(argued) < 0.25
    hard = Counter(issue.answers[0].kind for issue in issues() if issue.held_out and issue.name.startswith("hard"))
    assert min(hard.values()) >= 3


def test_no_text_of_a_held_out_question_is_trained_on(drawn: list[Example]) -> None:
    held = [issue for issue in issues() if issue.held_out]
    trained = "\n".join(f"{example.prompt}\n{example.response}" for example in drawn)
    assert [answer.text for issue in held for answer in issue.answers if answer.text in trained] == []
    assert [wording.text for issue in held for wording in issue.wordings if wording.text in trained] == []


def test_no_human_labelled_answer_is_packaged(shared_data: object) -> None:
    import polars as pl

    rows = pl.read_csv(f"{shared_data}/stance/agreement_classification_240124.csv")
    packaged = "\n".join(answer.text for issue in issues() for answer in issue.answers) + "\n".join(
        w.text for issue in issues() for w in issue.wordings
    )
    assert [text for text in rows.get_column("pct_prompt").unique() if text in packaged] == []
    sentences = {first_sentence(text) for text in rows.get_column("completion")}
    assert [text for text in sentences if len(text.split()) > 8 and text in packaged] == []


def test_the_same_seed_draws_the_same(seen: list[Issue]) -> None:
    def epochs(seed: int) -> list[list[Example]]:
        augmenter = Augmenter(seen[:40], phrases(), ["A recipe for soup."], seed)
        return [augmenter.epoch(6), augmenter.epoch(6)]

    assert epochs(1) == epochs(1)
    assert epochs(1) != epochs(2)
    first, second = epochs(1)
    assert first != second


def test_classes_are_balanced(drawn: list[Example]) -> None:
    shares = {stance: count / len(drawn) for stance, count in Counter(example.stance for example in drawn).items()}
    assert all(0.28 < shares[stance] < 0.40 for stance in Stance)


def test_opposite_wordings_have_opposite_stances() -> None:
    compared = 0
    for issue in issues():
        of_answer: dict[str, dict[str, Stance]] = {}
        for example in plain_examples([issue]):
            of_answer.setdefault(example.response, {})[example.prompt] = example.stance
        for stances in of_answer.values():
            if len(stances) == len(issue.wordings) > 1:
                compared += 1
                assert len({flipped(stances[wording.text], wording.polarity) for wording in issue.wordings}) == 1
    assert compared > 5000


def test_openers_stand_only_under_the_wording_they_fit() -> None:
    for issue in issues():
        openers = [answer.opener for answer in issue.answers if answer.opener]
        for example in plain_examples([issue]):
            if example.prompt != issue.wordings[0].text:
                assert not any(example.response.startswith(opener) for opener in openers)


def test_a_spelled_out_verdict_has_the_label_of_its_sign(seen: list[Issue]) -> None:
    """Under P, "I agree that P" supports and "I reject the idea that P" opposes; under the opposite wording it is the other way round."""
    found: Counter[Stance] = Counter()
    augmenter = Augmenter([issue for issue in seen if len(issue.wordings) >= 4], phrases(), ["x"], seed=5)
    statements = {issue.name: {w.text.rstrip(".")[1:]: w.polarity for w in issue.wordings if w.form == "statement"} for issue in seen}
    wordings = {(issue.name, w.text): w.polarity for issue in seen for w in issue.wordings}
    for example in (example for _ in range(4) for example in augmenter.epoch(12)):
        polarity = wordings.get((example.group, example.prompt))
        for statement, about in statements[example.group].items():
            if example.kind == "verdict-only" and polarity is not None and example.response.endswith(f"{statement}."):
                affirmed = example.response.startswith(("I agree that", "I believe that", "I am convinced that", "In my opinion"))
                denied = example.response.startswith(
                    ("I don't agree that", "I do not believe that", "I reject the idea that", "It is simply not true")
                )
                if affirmed or denied:
                    sign = (1 if affirmed else -1) * about * polarity
                    assert example.stance is (Stance.SUPPORT if sign > 0 else Stance.OPPOSE), example
                    found[example.stance] += 1
    assert min(found.values()) > 3


def test_first_sentence() -> None:
    assert first_sentence("No. Offer it to all.") == "No."
    assert first_sentence("I disagree: it costs 3.50 a day.") == "I disagree:"
    assert first_sentence("It costs 3.50 a day") == "It costs 3.50 a day"
