"""Probabilities of options among the likeliest first tokens that a server lists."""

from __future__ import annotations

import math
from collections.abc import Sequence

from valuedrift.openai.reply import Token

_AROUND = " \t\r\n\"'`*_.,:;()[]{}<>▁Ġ"
"""What may stand around an option in a token: spaces (as written, or as vocabularies spell them), quotes, emphasis, brackets."""
_TINY = 1e-10
"""Least probability of an option that is not listed: rounding makes the rest 0 or less where the model is very sure."""


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
