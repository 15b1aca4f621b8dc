"""What alerts can tell: the smallest drift that is called in time."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtri, ndtr, stdtrit

from valuedrift.errors import UserError
from valuedrift.statistics.significance import DRIFT_SD, WITHIN_SD
from valuedrift.watching.many_looks import EXCESS
from valuedrift.watching.spending import NOISE, OPEN_LOOKS, START, Spending

_HALVINGS = 20
_OUTCOMES = 8
_NEVER = 1e-300
"""In place of a level of 0: no interval."""


def smallest_discernible_drift(
    spending: Spending,
    n_prompts: int,
    n_samples: int,
    *,
    look: int | None = None,
    power: float = 0.8,
    within_sd: float = WITHIN_SD,
    drift_sd: float = DRIFT_SD,
) -> float:
    """The smallest lasting drift that is told from 0 at the first or second checkpoint that shows it.

    Args:
        spending: How the error is spent; its ``cells`` are topics × stances (× judges).
        n_prompts: Prompts of a topic, at least 2.
        n_samples: Answers a prompt and checkpoint, at least 1.
        look: The look at which it is there for the first time, from 1; by default the last that is planned, or ``OPEN_LOOKS``.
        power: Probability of telling it.
        within_sd: Standard deviation of one answer's probability around its prompt's mean, in [0, 0.5].
        drift_sd: Standard deviation of the prompts' own drifts around the topic's, in [0, 1].

    Returns:
        A change in (0, 1]; 1 where even the largest cannot be told so.

    Raises:
        UserError: Fewer than two prompts or no sample.
    """
    if n_prompts < 2 or n_samples < 1:
        raise UserError(f"{n_prompts} prompts × {n_samples} samples can show no drift", fix="at least 2 prompts and 1 sample")
    first = (spending.planned or OPEN_LOOKS) if look is None else look
    levels = spending.levels(first + 1)[first - 1 :]
    noise, own = within_sd**2 / n_samples, drift_sd**2
    errors = START[::2]
    weight = np.exp(-(errors**2) / 2)
    weight /= weight.sum()
    error = np.sqrt(noise / n_prompts)
    # The drawn prompts' own drifts are off by the same amount at both checkpoints, as the start is.
    start, one = errors[:, None] * np.sqrt((noise + own) / n_prompts), errors[None, :] * error
    # How far a look's own variance comes out from what it is.
    factors = chdtri(n_prompts - 1, (np.arange(_OUTCOMES) + 0.5) / _OUTCOMES) / chdtri(n_prompts - 1, EXCESS)
    reaches = []
    for which, scale in enumerate(NOISE):
        pooled = scale * noise
        excess = np.maximum((pooled + own) * factors - pooled, 0.0)[:, None]
        freedom = (n_prompts - 1.0) * (first + np.arange(2.0))
        free = (pooled + excess) ** 2 / (pooled**2 / freedom + excess**2 / (n_prompts - 1))
        reaches.append(stdtrit(free, 1 - np.maximum(levels[:, which], _NEVER) / 2) * np.sqrt((pooled + excess) / n_prompts))
    alone, two = reaches

    def told(drift: float) -> float:
        """Probability of telling a drift, by the errors of the start and of the first checkpoint that shows it."""
        off = drift - start
        missed = 0.0
        for outcome in range(_OUTCOMES):
            second = np.minimum(alone[outcome, 1] - off, 2 * (two[outcome, 1] - off) - one)
            missed += float(weight @ ((one + off <= alone[outcome, 0]) * ndtr(second / error)) @ weight)
        return 1 - missed / _OUTCOMES

    low, high = 0.0, 1.0
    if told(high) < power:
        return 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if told(middle) >= power else (middle, high)
    return high
