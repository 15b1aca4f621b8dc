"""Tasks for inspect-ai: ``inspect eval inspect_tasks.py@sampling`` and ``@judging``."""

from __future__ import annotations

import json
import os
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Score, Target, mean, scorer
from inspect_ai.solver import TaskState, generate


def _samples(asked: str) -> MemoryDataset:
    """Questions, or prompts of the judge: JSONL with ``id`` and ``text``."""
    rows = [json.loads(line) for line in Path(asked).read_text(encoding="utf-8").splitlines()]
    return MemoryDataset([Sample(id=row["id"], input=row["text"]) for row in rows])


@task
def sampling(asked: str) -> Task:
    """Several answers to each question."""
    return Task(
        dataset=_samples(asked),
        solver=generate(),
        epochs=int(os.environ["PEERS_SAMPLES"]),
        config=GenerateConfig(temperature=0.7, max_tokens=48),
    )


@scorer(metrics=[mean()])
def option_logprobs():  # type: ignore[no-untyped-def]  # inspect's own type has no short name
    """The log-probabilities of the three options as first token."""

    async def score(state: TaskState, target: Target) -> Score:
        logprobs = state.output.choices[0].logprobs
        assert logprobs is not None
        told = {top.token.strip(): top.logprob for top in logprobs.content[0].top_logprobs or []}
        return Score(value={option: told.get(option, float("-inf")) for option in "ABC"}["A"], metadata={"told": told})

    return score


@task
def judging(asked: str) -> Task:
    """One prompt of the judge an answer."""
    return Task(
        dataset=_samples(asked),
        solver=generate(),
        scorer=option_logprobs(),
        config=GenerateConfig(temperature=1.0, max_tokens=1, logprobs=True, top_logprobs=20),
    )
