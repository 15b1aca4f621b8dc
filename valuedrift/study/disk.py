"""The most disk that a study's weights take at a time, under the rule that says which of them stay."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from valuedrift.study.plan import RunPlan
from valuedrift.study.runtime import Keep

_STATE_OVER_CHECKPOINT = 3.0
"""Bytes of a state to resume from over those of a checkpoint: the weights and two moments of each."""
_STATES = 2
"""The state that counts, and the next one while it is written."""

_STAYS: Mapping[Keep, Callable[[RunPlan, float, int], float]] = {
    "all": lambda _, each, saved: each * saved,
    "last": lambda _, each, saved: each * min(saved, 1),
    "adapters": lambda run, each, saved: each * saved if run.algorithm.lora is not None else 0.0,
    "none": lambda *_: 0.0,
}


def peak_bytes(runs: Sequence[RunPlan], checkpoint_bytes: Mapping[str, float], keep: Keep, workers: int) -> float:
    """The most bytes that weights and states take at a time.

    Runs are gone through in the order in which they are trained: those whose parent is done, the first that came first. A run's checkpoints lie there until
    they are judged, which is done before the next run is trained; a run's last stays until all that start from it are trained, or lie on it.

    Args:
        runs: Runs to train, parents before children; a parent that is not among them is done.
        checkpoint_bytes: Of one checkpoint of each run.
        keep: The rule.
        workers: Runs that are trained side by side.
    """
    names = {run.run_id for run in runs}
    children: dict[str, list[RunPlan]] = {}
    for run in runs:
        children.setdefault(run.parent_run_id if run.parent_run_id in names else "", []).append(run)
    each = {run.run_id: checkpoint_bytes[run.run_id] for run in runs}
    saved = {run.run_id: max(len(run.steps) - 1, 0) for run in runs}
    stays = {run.run_id: _STAYS[keep](run, each[run.run_id], saved[run.run_id]) for run in runs}
    for run in reversed(runs):  # what is kept keeps what it lies on
        if run.algorithm.lora is not None and stays[run.run_id] and run.parent_run_id in names:
            assert run.parent_run_id is not None
            stays[run.parent_run_id] = max(stays[run.parent_run_id], each[run.parent_run_id])
    states = {run.run_id: each[run.run_id] * _STATE_OVER_CHECKPOINT * _STATES * bool(saved[run.run_id]) for run in runs}
    at_work = {run.run_id: each[run.run_id] * saved[run.run_id] + states[run.run_id] for run in runs}
    beside = sum(sorted(at_work.values(), reverse=True)[1 : workers + 1])  # one more: it may begin while the last answers are judged
    waiting = deque(children.get("", ()))
    lying: dict[str, float] = {}
    left = {run.run_id: len(children.get(run.run_id, ())) for run in runs}
    peak = 0.0
    while waiting:
        run = waiting.popleft()
        peak = max(peak, sum(lying.values()) + at_work[run.run_id] + beside)
        lying[run.run_id] = max(stays[run.run_id], each[run.run_id] if left[run.run_id] else 0.0)
        if run.parent_run_id in names:
            assert run.parent_run_id is not None
            left[run.parent_run_id] -= 1
            if not left[run.parent_run_id]:
                lying[run.parent_run_id] = stays[run.parent_run_id]
        waiting.extend(children.get(run.run_id, ()))
    everything = sum(each[run.run_id] * saved[run.run_id] for run in runs) + sum(sorted(states.values(), reverse=True)[:workers])
    return min(peak, everything)
