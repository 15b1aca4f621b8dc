"""From many finished tasks to the one message that a user needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect.futures import PrefectFuture

from valuedrift.errors import StageError, UserError


def raise_failures(futures: Sequence[PrefectFuture[Any]]) -> None:
    """Raise the fault that made tasks fail; tasks that only waited for a failed one are not counted.

    Raises:
        UserError: What the first task that failed by itself said, and how many others failed.
    """
    faults: list[BaseException] = []
    for future in futures:
        if future.state.is_completed() or future.state.name == "NotReady":
            continue
        outcome = future.state.result(raise_on_failure=False)
        faults.append(outcome if isinstance(outcome, BaseException) else StageError(str(future.state.message or future.state.name)))
    if not faults:
        return
    distinct = {str(fault): fault for fault in faults}
    first = next(iter(distinct.values()))
    # one place and one remedy is one message, though the counts in it differ (a budget that many checkpoints ran into)
    theirs = [fault for fault in distinct.values() if isinstance(fault, UserError) and not isinstance(fault, StageError)]
    alike = len(theirs) == len(distinct) and len({(fault.where, fault.fix) for fault in theirs}) == 1
    if isinstance(first, UserError) and (alike or len(distinct) == 1):
        raise first
    summary = "; ".join(distinct)
    raise StageError(f"{len(faults)} stages failed: {summary}", fix="what finished is kept; run the same command again") from first
