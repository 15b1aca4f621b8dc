"""Probabilities of options among the likeliest first tokens that a server lists."""

from __future__ import annotations

import math
from collections.abc import Sequence

from valuedrift.openai.reply import Token

_TINY = 1e-10
"""Least probability of an option that is not listed: rounding makes the rest 0 or less where the model is very sure."""


def exact_logprobs(tokens: Sequence[Token], options: Sequence[str]) -> list[float]:
    """Log-probability of each option, taken as a token letter by letter.

    Args:
        tokens: The likeliest first tokens.
        options: What to look for.

    Returns:
        Natural log-probabilities, finite; see :func:`filled` for options that are not listed.
    """
    listed = {token.token: math.exp(token.logprob) for token in tokens}
    return filled([listed.get(option, 0.0) for option in options], tokens)


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
