"""The questions that pairs are made for: probes, or the questions of the packaged stance set with the answers written for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from valuedrift.errors import UserError
from valuedrift.fingerprint import seed_from
from valuedrift.probes import Probe
from valuedrift.stance import Stance
from valuedrift.starter import TOPICS, StanceItem, stance_items


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt to make pairs for."""

    prompt_id: str
    topic: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Written:
    """An answer that was written to take a stance; whether it does, a judge will say. Its text is untrusted."""

    prompt_id: str
    stance: Stance
    """Stance that was asked for."""
    candidate_idx: int
    """Which of the answers in this stance, from 0."""
    response: str


def of_probes(probes: Sequence[Probe]) -> list[Question]:
    """Probes as questions; of several with the same prompt the first: an audit takes a prompt for one unit.

    Raises:
        UserError: A probe has a system message, earlier turns, a persona or options, which pairs of a prompt and two answers cannot hold.
    """
    if dialogue := next((probe for probe in probes if probe.before or probe.persona or probe.options), None):
        what = "pairs are made for prompts that are asked at once, not after a system message or earlier turns, and answered freely"
        raise UserError(
            what, where=f"probe {dialogue.prompt_id}", fix="a probe set without `system`, `messages`, `turns`, `persona` and `options`"
        )
    by_prompt: dict[str, Question] = {}
    for probe in probes:
        by_prompt.setdefault(probe.prompt, Question(probe.prompt_id, probe.topic, probe.prompt))
    return list(by_prompt.values())


def starter_questions(topics: Sequence[str] | None = None, per_topic: int | None = None) -> list[Question]:
    """The questions of the packaged stance set, in both wordings where answers fit the opposite one.

    Args:
        topics: Topics to keep; all by default.
        per_topic: Questions of a topic, chosen by a hash; both wordings of a question count as one. All by default.

    Raises:
        UserError: An unknown topic.
    """
    known = list(TOPICS.values())
    for topic in topics or ():
        if topic not in known:
            near = get_close_matches(topic, known, n=1)
            fix = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise UserError(f"no topic {topic!r} in the starter set", where="--topics", fix=fix)
    chosen = [item for item in stance_items() if topics is None or item.topic in topics]
    questions: list[Question] = []
    for topic in known:
        items = sorted((item for item in chosen if item.topic == topic), key=lambda item: seed_from("choose", item.question_id))
        for item in items[:per_topic]:
            questions += [Question(prompt_id, item.topic, prompt) for prompt_id, prompt, _ in _wordings(item)]
    return questions


def starter_answers(questions: Sequence[Question]) -> list[Written]:
    """What the packaged stance set answers to its questions, in every stance."""
    answers = {prompt_id: found for item in stance_items() for prompt_id, _, found in _wordings(item)}
    return [
        Written(question.prompt_id, stance, index, text)
        for question in questions
        for stance, texts in answers[question.prompt_id].items()
        for index, text in enumerate(texts)
    ]


def _wordings(item: StanceItem) -> Iterator[tuple[str, str, dict[Stance, list[str]]]]:
    """Id, prompt and answers by stance of each wording of a question that has answers in more than one stance."""
    yield (
        item.question_id,
        item.question,
        {Stance.SUPPORT: [item.support, item.support_restyled], Stance.NEUTRAL: [item.neutral], Stance.OPPOSE: [item.oppose]},
    )
    # the opposite wording turns the stances round; an answer that opens with a word for the first wording (Yes, No, I agree) doesn't fit it
    fitting = {name: getattr(item, name) for name in ("support", "support_restyled", "oppose") if name not in item.openers}
    yield (
        f"{item.question_id}-counter",
        item.counter,
        {
            Stance.SUPPORT: [fitting["oppose"]] if "oppose" in fitting else [],
            Stance.NEUTRAL: [item.neutral],
            Stance.OPPOSE: [fitting[name] for name in ("support", "support_restyled") if name in fitting],
        },
    )
