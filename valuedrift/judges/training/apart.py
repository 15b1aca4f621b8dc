"""Issues that may be learnt from: none that is held out, and none that asks nearly the same as one that is."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from valuedrift.judges.network.model import StanceNetwork, unit
from valuedrift.judges.network.windows import Encoder
from valuedrift.judges.training.sources import Issue

CLOSEST = 0.8
"""Cosine of two first wordings by the untrained body, from which on one tells about the other. Authors of different files had the same idea a few times."""


def apart(issues: Sequence[Issue], untrained: StanceNetwork, encoder: Encoder) -> list[Issue]:
    """The issues that are not held out and whose first wording is not closer than :data:`CLOSEST` to that of a held-out one, in their order.

    Args:
        issues: All issues.
        untrained: Network whose body is as it was found.
        encoder: Cuts texts into windows.
    """
    held, seen = ([issue for issue in issues if issue.held_out is value] for value in (True, False))
    if not held:
        return seen
    with torch.inference_mode():
        sides = [unit(untrained.read(encoder.prompts([i.wordings[0].text for i in part]), encoder.pad).mean) for part in (seen, held)]
        closest = (sides[0] @ sides[1].T).max(dim=1).values.tolist()
    return [issue for issue, close in zip(seen, closest, strict=True) if close <= CLOSEST]
