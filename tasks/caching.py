"""Caching by our own keys: the Parquet object with its manifest is the truth, Prefect's record only points at it.

Prefect's INPUTS policy lets two tasks with equal inputs share a result, and its default never hits across flow runs; so every task names its key by the
identity of its result. A record whose object is gone from the store is not believed: the key then gets a suffix, and the task runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from prefect.context import TaskRunContext

from valuedrift.errors import StageError
from valuedrift.tasks.workroom import Workroom

KeyOf = Callable[[dict[str, Any]], tuple[str, bool]]
"""From a task's parameters to the key of its result, and whether that result lies in the store now."""


def cached_by(stage: str, key_of: KeyOf) -> Callable[[TaskRunContext, dict[str, Any]], str]:
    """A Prefect ``cache_key_fn`` for a stage.

    Args:
        stage: Name of the stage; keys of two stages never meet.
        key_of: Computes the key and looks whether the object exists.
    """

    def cache_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
        work: Workroom = parameters["work"]
        key, there = key_of(parameters)
        full = f"valuedrift-{work.store_fingerprint}-{stage}-{key}"
        return f"{full}-{uuid4().hex}" if not there and context.result_store.exists(full) else full

    return cache_key


def transient(_task: object, _run: object, state: Any) -> bool:
    """Whether a failure may pass by itself: a stage that died, not a fault in what the user gave."""
    try:
        outcome = state.result(raise_on_failure=False)
        error = asyncio.run(outcome) if asyncio.iscoroutine(outcome) else outcome
    except Exception as raised:  # a failed state's result may be its exception, raised
        error = raised
    return isinstance(error, StageError)


TASK: dict[str, Any] = {
    "persist_result": True,
    "result_serializer": "json",
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": transient,
}
"""What all tasks have in common: results as JSON pointers; only stages that died are tried again, as often as the study's runtime says."""
