"""A watched run under a cascade, look by look: changes corrected by what the strong judge read up to each look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from valuedrift.drift.options import Towards
from valuedrift.drift.sampled import SampledCell, sampled_cells, tuned_by_topic
from valuedrift.drift.two_phase import DRIFT, Contrast, Tuned, TwoPhase
from valuedrift.stance import STANCES
from valuedrift.watching.alerts import Alerts
from valuedrift.watching.looks import Looks, looks_from, names_stance
from valuedrift.watching.spending import Spending


def cascade_looks(
    stances: pl.DataFrame | pl.LazyFrame,
    sample: pl.DataFrame,
    alerts: Alerts,
    *,
    towards: Towards = Towards.QUESTION,
    where: str | None = None,
) -> Looks:
    """Look at runs at each of their checkpoints so far, by both judges of a cascade.

    Args:
        stances: As for `valuedrift.drift.cascade.cascaded`.
        sample: Likewise.
        alerts: The rules.
        towards: What the stance is taken on.
        where: For messages.

    Returns:
        As `valuedrift.watching.looks.looks` gives it. Where nothing was read at a look its interval is [−1, 1], and no alert fires.

    Raises:
        DataError: See `valuedrift.drift.stance_frame.check_stances`.
    """
    rows: list[dict[str, object]] = []
    for family in sampled_cells(stances, sample, towards, where=where):
        for run in sorted({one.cell.keys["run_id"] for one in family}):
            rows.extend(looks_at_run([one for one in family if one.cell.keys["run_id"] == run], alerts))
    keys = [name for name in ("study", "judge") if name in stances.lazy().collect_schema()]
    return looks_from(rows, [*keys, "run_id"], alerts)


def looks_at_run(run: Sequence[SampledCell], alerts: Alerts) -> Iterator[dict[str, object]]:
    """The looks at one run. Each rests on what was there at it: those that come later change nothing.

    Args:
        run: Its cells, one a topic.
        alerts: The rules.

    Yields:
        Rows of the table looks, but for what tells studies apart.
    """
    steps = sorted({int(step) for one in run for step in one.cell.steps})
    begun = [one for one in run if int(one.cell.steps[0]) == steps[0]]
    named = [[any(names_stance(rule, one.cell.keys, stance) for rule in alerts.rules) for stance in STANCES] for one in begun]
    count = int(np.sum(named))
    if len(steps) < 2 or not count:
        return
    levels = Spending(alerts.confidence, count, None).levels(len(steps) - 1)
    whole = [one.two_phase() for one in begun]
    for look, step in enumerate(steps[1:], start=1):
        phases = [phase.upto(int((one.cell.steps <= step).sum())) for one, phase in zip(begun, whole, strict=True)]
        pools = tuned_by_topic(begun, phases)
        for one, phase, pool, wanted in zip(begun, phases, pools, named, strict=True):
            if step not in one.cell.steps:
                continue
            before = steps[look - 1] in one.cell.steps and look > 1
            found = [_change(phase, pool, 1, levels[look - 1, 0])]
            found += [_change(phase, pool, 2, levels[look - 1, 1])] if before else []
            prompts = int((~np.isnan(one.cell.values[:, [0, int(np.flatnonzero(one.cell.steps == step)[0])]]).any(axis=(1, 2))).sum())
            for mean_of, contrast in enumerate(found, start=1):
                for s, stance in enumerate(STANCES):
                    if wanted[s]:
                        ends = contrast.interval
                        numbers = {"change": ends.estimate[s], "change_low": ends.low[s], "change_high": ends.high[s]}
                        place = {**one.cell.keys, "step": step, "stance": stance.value, "mean_of": mean_of, "look": look}
                        yield {**place, **{name: float(value) for name, value in numbers.items()}, "n_prompts": prompts}


def _change(phase: TwoPhase, pool: Tuned | None, mean_of: int, level: float) -> Contrast:
    """The last checkpoints so far minus the first."""
    weights = np.zeros(phase.checkpoints)
    weights[-mean_of:] = 1 / mean_of
    weights[0] -= 1
    return phase.contrast(weights, pool if level > 0 else None, 1 - level, DRIFT)
