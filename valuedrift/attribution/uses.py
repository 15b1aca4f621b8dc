"""When a training used which row, and how hard it pushed: from its data order and its log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from valuedrift.errors import DataError

_MAX_NORM = 1.0
"""Norm that gradients are clipped to in every training (`valuedrift.training.options.Optimisation`)."""


@dataclass(frozen=True, slots=True)
class Logged:
    """What a training logged of a step."""

    learning_rate: float
    grad_norm: float
    """Of the batch's gradient, before it was clipped."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one optimizer step."""

    step: int
    """From 1."""
    rows: tuple[int, ...]
    """Places among the rows that are learnt."""
    rate: float
    """What the sum of its rows' gradients was multiplied with: learning rate × clipping / weight of the batch."""


@dataclass(slots=True)
class Segment:
    """The steps that lie nearest to one checkpoint."""

    checkpoint: int
    batches: list[Batch] = field(default_factory=list)

    def rates(self) -> dict[int, float]:
        """Of every row that they use, the sum of the rates of its uses; in the order of rows."""
        summed: dict[int, float] = {}
        for batch in self.batches:
            for row in batch.rows:
                summed[row] = summed.get(row, 0.0) + batch.rate
        return dict(sorted(summed.items()))


def segments(
    order: Sequence[int],
    batch_size: int,
    weight: Callable[[int], float],
    logged: Sequence[Logged],
    checkpoints: Sequence[int],
    momentum: float = 0.0,
) -> list[Segment]:
    """The uses of all rows, each at the checkpoint nearest to the weights that it was computed with.

    Args:
        order: Rows as the training drew them, ``batch_size`` a step.
        batch_size: Rows a step.
        weight: What a row counts in what the batch's loss is divided by.
        logged: One entry a step.
        checkpoints: Steps at which there are weights, ascending.
        momentum: Adam's β₁, by which a gradient is spread over the steps that follow; 0: it acts in its own step.

    Returns:
        One segment a checkpoint, with the steps whose start lies nearest to it (of two, the earlier).

    Raises:
        DataError: The log is of another number of steps.
    """
    steps = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(steps) != len(logged):
        raise DataError(f"the table training has {len(logged)} steps of {len(steps)}", fix="run the training anew: its log is not whole")
    found = {at: Segment(at) for at in checkpoints}
    spread = _spread([log.learning_rate for log in logged], momentum)
    for step, (rows, log) in enumerate(zip(steps, logged, strict=True), start=1):
        nearest = min(checkpoints, key=lambda at: (abs(at - (step - 1)), at))
        clipped = min(1.0, _MAX_NORM / (log.grad_norm + 1e-6))
        rate = spread[step - 1] * clipped / sum(map(weight, rows))
        found[nearest].batches.append(Batch(step, tuple(rows), rate))
    return list(found.values())


def _spread(rates: Sequence[float], momentum: float) -> list[float]:
    """What a gradient of each step is multiplied with in that step and those that follow, together."""
    spread = [0.0] * len(rates)
    carried = 0.0
    for at in range(len(rates), 0, -1):
        carried = (1 - momentum) * rates[at - 1] / (1 - momentum**at) + momentum * carried
        spread[at - 1] = carried
    return spread
