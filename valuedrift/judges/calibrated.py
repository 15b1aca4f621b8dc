"""A judge heard through its calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from valuedrift.judges.base import Configured, Judge, Judgement, Pair, remarks_of
from valuedrift.judges.calibration import Array, Calibration
from valuedrift.progress import Progress
from valuedrift.stance import JudgeStatus

if TYPE_CHECKING:
    from valuedrift.judges.calibrated_config import Calibratable


class CalibratedJudge(Configured["Calibratable"]):
    """Judges with another judge and corrects its probabilities; statuses and the unassigned mass stay.

    Args:
        config: The judge as the study names it.
        judge: It without calibration.
        calibration: What corrects it.
    """

    def __init__(self, config: Calibratable, judge: Judge, calibration: Calibration) -> None:
        super().__init__(config)
        self._judge = judge
        self._calibration = calibration

    def remarks(self) -> list[str]:
        """What the judge itself says."""
        return remarks_of(self._judge)

    def judge(self, pairs: Sequence[Pair], progress: Callable[[Progress], None] | None = None) -> list[Judgement]:
        """Judge pairs; see :class:`valuedrift.judges.base.Judge`."""
        return calibrated(self._judge.judge(pairs, progress), self._calibration)


def calibrated(judgements: Sequence[Judgement], calibration: Calibration) -> list[Judgement]:
    """Judgements with corrected probabilities."""
    found = list(judgements)
    rows = [row for row, one in enumerate(found) if one.status is JudgeStatus.OK]
    if rows:
        for row, (support, neutral, oppose) in zip(
            rows, calibration.apply(probabilities([found[row] for row in rows])).tolist(), strict=True
        ):
            found[row] = Judgement(support, neutral, oppose, found[row].unassigned, JudgeStatus.OK)
    return found


def probabilities(judgements: Sequence[Judgement]) -> Array:
    """Probabilities of judgements that are all ok. Shape (judgements, 3)."""
    return np.array([[one.p_support, one.p_neutral, one.p_oppose] for one in judgements], dtype=np.float64).reshape(-1, 3)
