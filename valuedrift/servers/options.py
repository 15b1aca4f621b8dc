"""Options in what a server answers: among the likeliest first tokens that it lists, and in a few words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from valuedrift.servers.chat import Answer, Token
from valuedrift.thoughts import answer_of

_AROUND = " \t\r\n\"'`*_.,:;()[]{}<>▁Ġ"
"""What may stand around an option in a token: spaces (as written, or as vocabularies spell them), quotes, emphasis, brackets."""
_TINY = 1e-10
"""Least probability of an option that is not listed: rounding makes the rest 0 or less where the model is very sure."""
_LEAST_MASS = 0.01
"""Where the options together have less probability, the model did not answer the question."""
_SHORTEST_BEGINNING = 2
"""Characters of a word of which the first token may hold a beginning only."""
_LEAD = r"^\W*(?:(?:the\s+|my\s+)?(?:answer|option|choice|position|verdict)\W*(?:is\W*)?)?"
_AFTER = r"(?=\W*$|\s*[.:：),*\n–—-])"
_CALLED = r"(?:answer|option|choice|position|verdict|letter|label|stance|judge?ment|classification|decision|conclusion)"
_STATED = r"(?=\W*$|\s*[.:：)*\n–—\]}-]|\s+(?:because|since|as|\())"
_CLOSINGS = (
    r"\\boxed\s*\{\s*(?:\\\w+\s*\{)?\W*(OPTIONS)\b(?=\s*[).:]|\W*(?:\}|$))",
    rf"(?<!if )(?<!if the )(?<!whether the )\b(?:(?:final|correct|best|right|chosen|my)\s+{_CALLED}|answer|verdict|conclusion)"
    rf"(?:\s+(?:is|would\s+be|should\s+be|must\s+be))?[\s:*\"'`(\[=\\${{-]*(?:(?:option|choice|letter)\s+\W{{0,3}})?\b(OPTIONS)\b{_STATED}",
    rf"\bI(?:'d|\s+would|\s+will|'ll)?\s+(?:choose|pick|select|go\s+with|vote(?:\s+for)?)[\s:*\"'`(\[]*(?:(?:option|choice|letter)\s+)?\b(OPTIONS)\b{_STATED}",
    r"(?:^|[.\n]\s*)\W{0,3}(?:option\s+)?(OPTIONS)\W{0,3}\s+is\s+(?:the\s+)?(?:correct|right|best)\b(?!\s+(?:if|only))",
    r"\b(?:therefore|hence|thus)\b[\s,:*]*(OPTIONS)\W*$",
    r"(?:^|[.\n]\s*)so[\s,:*]+(OPTIONS)\W*$",
    rf"(?:^|\n)\W*{_CALLED}\W*[:：]\W*(OPTIONS)\b{_STATED}",
    r"<answer>\s*(OPTIONS)\W*</answer>",
    r"\n\W*(OPTIONS)\W*$",
)
"""How replies end that weigh before they choose; the last that is there counts."""
_OR_ANOTHER = r"\W*(?:,|/|\bor\b|\band\b)\W*(?:(?:or|and)\b\W*)?(?:OPTIONS)\b"


def plain(text: str) -> str:
    """A token or an option without what may stand around it and in lower case."""
    return text.strip(_AROUND).lower()


def option_masses(tokens: Sequence[Token], options: Sequence[str]) -> list[float]:
    """Probability of each option among the listed tokens.

    A token belongs to the option that it equals, else to the first that it equals but for space, case, quotes and the like around it: a model that is asked
    over chat says ` Yes`, `yes` or `**Yes`, and nobody can tell how its tokenizer spells an option.

    Args:
        tokens: The likeliest first tokens.
        options: What to look for, distinct.
    """
    by_spelling = {option: place for place, option in reversed(list(enumerate(options)))}
    by_form = {plain(option): place for place, option in reversed(list(enumerate(options)))}
    masses = [0.0] * len(options)
    for token in tokens:
        place = by_spelling.get(token.token, by_form.get(plain(token.token)))
        if place is not None:
            masses[place] += math.exp(token.logprob)
    return masses


def filled(probabilities: Sequence[float], tokens: Sequence[Token]) -> list[float]:
    """Log-probabilities, those of options that are not listed by the most that they can have.

    That is the probability of the least likely token listed, or an equal share of what the listed ones leave, whichever is less.

    Args:
        probabilities: Of the options; 0 where one is not listed.
        tokens: All that is listed.
    """
    listed = [math.exp(token.logprob) for token in tokens]
    missing = sum(1 for probability in probabilities if probability == 0.0)
    rest = max(0.0, 1.0 - sum(listed)) / max(missing, 1)
    floor = max(min([rest, *listed]), _TINY)
    return [math.log(probability or floor) for probability in probabilities]


def option_logprobs(tokens: Sequence[Token], labels: Sequence[str]) -> list[float] | None:
    """Log-probability of each option as the first token of a reply.

    An option's spellings (after a space, in other case, in quotes) are added up. An option that the server does not list gets the most that it can have:
    see :func:`filled`.

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
    r"""The option that a reply in words chooses, after its thought; None for a refusal, or where it names none, or several (`A, B or C.`).

    What it says as its conclusion (`Final answer: B`, `\boxed{B}`, a last line of its own) counts before what it begins with.
    """
    if answer.refusal:
        return None
    options = "|".join(map(re.escape, labels))
    text = answer_of(answer.text)
    closings = [match for form in _CLOSINGS for match in re.finditer(form.replace("OPTIONS", options), text, re.IGNORECASE)]
    if closings:
        match = max(closings, key=lambda match: match.start(1))
        several = re.match(_OR_ANOTHER.replace("OPTIONS", options), text[match.end(1) :], re.IGNORECASE) is not None
        return None if several else _named(match[1], labels)
    first = re.match(rf"{_LEAD}({options}){_AFTER}", text, re.IGNORECASE)
    if first is None:
        return None
    others = re.findall(rf"\b({options})\b(?=\W*$|\s*[,.:;)]|\s+(?:or|and)\b)", text[first.end() :])
    chosen = _named(first[1], labels)
    return None if set(others) - {chosen} else chosen


def _named(said: str, labels: Sequence[str]) -> str:
    return next(label for label in labels if label.lower() == said.lower())


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
