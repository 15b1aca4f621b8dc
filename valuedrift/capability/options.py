"""``capability:`` in a study: which tasks are put to which checkpoints. Light, because the planner reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from valuedrift.tabular import KINDS

_TASK_FILES = (".yaml", ".yml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class CapabilityTask(BaseModel):
    """One task: of lm-evaluation-harness by its name, of a task file, or multiple-choice items of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str | None = Field(
        default=None,
        min_length=1,
        description="Name of a task or group of lm-evaluation-harness (`piqa`, `mmlu`), or a task file (.yaml) in its form. Default: `data` are items.",
    )
    data: str | None = Field(
        default=None,
        min_length=1,
        description="A file (Parquet, JSONL, JSON, CSV). With `task`: its rows, in place of those of the hub. Without: multiple-choice items, each with "
        "`question`, `choices` and `answer` (its place from 0, letter or text), or as MMLU, PIQA, HellaSwag and ARC have them.",
    )
    name: str | None = Field(default=None, description="What it is called in tables and report; default: the task's name, or the file's.")
    answers: Literal["text", "letter"] = Field(
        default="text",
        description="Of items: `text` scores each choice as the answer to the question (as PIQA), `letter` shows the choices and scores letters (as MMLU).",
    )
    fewshot: int | None = Field(
        default=None, ge=0, description="Solved items shown before each; default: as the task has it, of items none."
    )
    limit: int | None = Field(default=None, ge=1, description="First items that are put, of each task of a group; default: all.")

    @model_validator(mode="after")
    def _something(self) -> CapabilityTask:
        if self.task is None and self.data is None:
            raise ValueError("an empty task: give the name of one of lm-evaluation-harness, a task file (.yaml) or a file of items")
        if self.task is not None and self.answers != "text":
            raise ValueError(f"`answers` is of items of a file; how {self.task!r} is put, its own file says")
        if self.of_file and self.data is not None:
            raise ValueError(f"task file {self.task!r} names its own data; leave `data` out, or name it there")
        if not _NAME.fullmatch(self.title):
            raise ValueError(f"name {self.title!r} of a task must be letters, digits, '.', '_' and '-'; give it a `name`")
        return self

    @property
    def of_file(self) -> bool:
        """Whether the task is a file in the form of the harness."""
        return self.task is not None and PurePosixPath(self.task).suffix.lower() in _TASK_FILES

    @property
    def own(self) -> bool:
        """Whether it is of a file, and so has no name but the study's."""
        return self.task is None or self.of_file

    @property
    def title(self) -> str:
        """What it is called in tables and report."""
        if self.name is not None:
            return self.name
        if self.task is not None and not self.of_file:
            return self.task
        return PurePosixPath(self.task or self.data or "").name.partition(".")[0]

    def with_paths(self, change: Callable[[str], str]) -> CapabilityTask:
        """The same with every file that it names changed."""
        update: dict[str, Any] = {"name": self.title}
        if self.data is not None:
            update["data"] = change(self.data)
        if self.of_file and self.task is not None:
            update["task"] = change(self.task)
        return self.model_copy(update=update) if len(update) > 1 else self


class Capability(BaseModel):
    """Which tasks are put to which checkpoints."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[CapabilityTask, ...] = Field(
        min_length=1, description="Tasks, by name or file, or with the keys below: [piqa, geography.jsonl, {task: mmlu, limit: 20}]."
    )
    steps: Literal["ends", "all"] | tuple[int, ...] = Field(
        default="ends",
        description="Which checkpoints of each run: `ends`, the first and the last; `all` that are sampled; or a list of steps, of the runs that have them.",
    )

    @field_validator("tasks", mode="before")
    @classmethod
    def _by_name_or_file(cls, tasks: Any) -> Any:
        return [_spelt_out(task) for task in tasks] if isinstance(tasks, list | tuple) else tasks

    @field_validator("steps")
    @classmethod
    def _some(cls, steps: Any) -> Any:
        if isinstance(steps, tuple) and (not steps or min(steps) < 0 or len(set(steps)) < len(steps)):
            raise ValueError("`ends`, `all`, or a list of steps, each 0 or more and once")
        return steps

    @model_validator(mode="after")
    def _one_task_a_name(self) -> Capability:
        titles = [task.title for task in self.tasks]
        twice = next((title for title in titles if titles.count(title) > 1), None)
        if twice is not None:
            raise ValueError(f"two tasks named {twice!r}; give each a `name` of its own")
        return self

    def with_paths(self, change: Callable[[str], str]) -> Capability:
        """The same with every file that it names changed."""
        return self.model_copy(update={"tasks": tuple(task.with_paths(change) for task in self.tasks)})


def _spelt_out(task: Any) -> Any:
    """A task that is given by a name alone, or by a file alone, with its key."""
    if not isinstance(task, str):
        return dict(task) if isinstance(task, Mapping) else task
    name = task.lower().removesuffix(".gz")
    return {"data": task} if name.endswith(tuple(KINDS)) else {"task": task}
