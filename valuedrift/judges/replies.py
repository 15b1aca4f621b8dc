"""From a server's reply to the options that a judge may choose: first tokens with their probabilities, or a few words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from valuedrift.openai.options import filled, plain
from valuedrift.openai.reply import Answer, Token

_LEAST_MASS = 0.01
"""Where the options together have less probability, the model did not answer the question."""
_SHORTEST_BEGINNING = 2
"""Characters of a word of which the first token may hold a beginning only."""
_THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
_LEAD = r"^\W*(?:(?:the\s+|my\s+)?(?:answer|option|choice|position|verdict)\W*(?:is\W*)?)?"
_AFTER = r"(?=\W*$|\s*[.:),*\n–—-])"


def option_logprobs(tokens: Sequence[Token], labels: Sequence[str]) -> list[float] | None:
    """Log-probability of each option as the first token of a reply.

    An option's spellings (after a space, in other case, in quotes) are added up. An option that the server does not list gets the most that it can have: see
    :func:`valuedrift.openai.options.filled`.

    Args:
        tokens: The likeliest first tokens.
        labels: The options.

    Returns:
        Finite natural log-probabilities in the order of ``labels``; None if the options together have less than 1%.
    """
    mass = dict.fromkeys(labels, 0.0)
    for token in tokens:
        label = _label_of(token.token, labels)
        if label is not None:
            mass[label] += math.exp(token.logprob)
    if sum(mass.values()) < _LEAST_MASS:
        return None
    return filled([mass[label] for label in labels], tokens)


def vote_of(answer: Answer, labels: Sequence[str]) -> str | None:
    """The option that a reply in words chooses; None for a refusal, or where it names none first, or several (`A, B or C.`)."""
    if answer.refusal:
        return None
    options = "|".join(map(re.escape, labels))
    text = _THOUGHT.sub("", answer.text)
    found = re.match(rf"{_LEAD}({options}){_AFTER}", text, re.IGNORECASE)
    if found is None:
        return None
    chosen = next(label for label in labels if label.lower() == found[1].lower())
    others = re.findall(rf"\b({options})\b(?=\W*$|\s*[,.:;)]|\s+(?:or|and)\b)", text[found.end() :])
    return None if set(others) - {chosen} else chosen


def _label_of(token: str, labels: Sequence[str]) -> str | None:
    """The option that a first token is, or of which it is the beginning (words may take several tokens)."""
    said = plain(token)
    if not said:
        return None
    for label in labels:
        word = label.lower()
        if said == word or (len(said) >= _SHORTEST_BEGINNING and word.startswith(said)):
            return label
    return None
