"""Tasks of lm-evaluation-harness as a study names them: found, given their rows, and known by their content.

The harness (the package lm_eval) is an extra, and is imported here and in :mod:`valuedrift.capability.model` alone.
"""

from __future__ import annotations

import json
import logging
import os
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from valuedrift.capability.items import read_items
from valuedrift.capability.made import columns_of, config_of, first_line, of_file, of_items, with_rows
from valuedrift.capability.options import CapabilityTask
from valuedrift.errors import DataError, UserError
from valuedrift.fingerprint import fingerprint

SEEDS = (0, 1234, 1234)
"""Seeds of random, numpy and of the choice of solved items: the harness's own."""
_NOT_CONTENT = ("custom_dataset", "dataset_path", "dataset_name", "dataset_kwargs", "task", "task_alias", "tag", "group")
"""Of a task's config: where its rows lie and what it is called; the rows are known by their content."""


def check_installed() -> None:
    """Refuse to begin where the harness is not installed.

    Raises:
        UserError: It is not.
    """
    if find_spec("lm_eval") is None:
        raise UserError(
            "capability: asks for lm-evaluation-harness, which is not installed", fix='pip install -c constraints.txt ".[capability]"'
        )


@dataclass(frozen=True)
class Found:
    """A task with its rows, or a group of them.

    Attributes:
        asked: As the study names it.
        tasks: The harness's tasks by name.
        groups: Its groups by name; the first is the one that was named, where it is a group.
    """

    asked: CapabilityTask
    tasks: Mapping[str, Any]
    groups: Mapping[str, Any]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What of it changes a score: the harness's version, what each task says, and the rows that are put and shown."""
        import lm_eval

        return {
            "harness": lm_eval.__version__,
            "tasks": {"" if self.asked.own else name: self._content(task) for name, task in sorted(self.tasks.items())},
            "limit": self.asked.limit,
        }

    @cached_property
    def fingerprint(self) -> str:
        """Of the identity."""
        return fingerprint(self.identity)

    def _content(self, task: Any) -> dict[str, Any]:
        with quiet():
            said = {key: value for key, value in task.dump_config().items() if key not in _NOT_CONTENT}
            shots = list(task.fewshot_docs() or ()) if task.config.num_fewshot else []
            return {
                "config": fingerprint(json.loads(json.dumps(said, default=repr, sort_keys=True))),
                "items": _rows_fingerprint(self._docs(task)),
                "shown": _rows_fingerprint(shots),
            }

    def _docs(self, task: Any) -> list[Any]:
        return list(islice(task.eval_docs, self.asked.limit))

    @cached_property
    def n_items(self) -> int:
        """Items that are put."""
        with quiet():
            return sum(min(len(task.eval_docs), self.asked.limit or len(task.eval_docs)) for task in self.tasks.values())

    @cached_property
    def n_requests(self) -> int:
        """What the model is asked in all, once a checkpoint."""
        with quiet():
            return sum(_requests(task, doc) for task in self.tasks.values() for doc in self._docs(task))


def _requests(task: Any, doc: Any) -> int:
    """Requests of one item: one a choice, and once more where its prior is wanted; else one."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return int(task.config.repeats)
    each = len(task.doc_to_choice(doc))
    return 2 * each if "acc_mutual_info" in task._metric_fn_list else each


def _rows_fingerprint(rows: Sequence[Any]) -> str:
    return fingerprint([json.loads(json.dumps(row, default=repr, sort_keys=True)) for row in rows])


def find(asked: CapabilityTask) -> Found:
    """A task with its rows.

    Raises:
        UserError: The harness is not installed or has no such task, its data are out of reach, or it is of a kind that is not put here.
        DataError: A file holds no items or rows, or wrong ones.
    """
    check_installed()
    with quiet(), _seeded():
        tasks, groups = _found(asked)
        for name, task in tasks.items():
            _fit(asked, name, task)
    return Found(asked, tasks, groups)


def _found(asked: CapabilityTask) -> tuple[dict[str, Any], dict[str, Any]]:
    where = f"capability: {asked.title}"
    if asked.task is None:
        assert asked.data is not None
        return {asked.title: of_items(asked, read_items(Path(asked.data)))}, {}
    if asked.of_file:
        return {asked.title: of_file(Path(asked.task), where)}, {}
    index = _manager().task_index
    if asked.task not in index:
        near = get_close_matches(asked.task, index, n=3)
        fix = (
            f"did you mean {' or '.join(map(repr, near))}?"
            if near
            else "lm-eval ls tasks lists them; a file of items needs its ending (.jsonl)"
        )
        raise UserError(f"lm-evaluation-harness has no task {asked.task!r}", where=where, fix=fix)
    entry = index[asked.task]
    if asked.data is not None:
        return {asked.task: with_rows(asked, entry, where)}, {}
    try:
        loaded = _manager().load([asked.task])
    except Exception as error:  # whatever a task's data or program raise: it cannot be had
        raise _out_of_reach(asked, entry, error, where) from error
    return dict(loaded["tasks"]), dict(loaded.get("groups") or {})


@lru_cache(maxsize=1)
def _manager() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _out_of_reach(asked: CapabilityTask, entry: Any, error: Exception, where: str) -> UserError:
    config = config_of(Path(entry.yaml_path), where) if entry.yaml_path is not None and entry.kind.name == "TASK" else {}
    columns = ", ".join(columns_of(config))
    file = f"give its rows as a file: {{task: {asked.task}, data: rows.jsonl}}{f' with {columns}' if columns else ''}"
    offline = bool(os.environ.get("HF_HUB_OFFLINE")) and os.environ.get("HF_HUB_OFFLINE") != "0"
    network = "unset HF_HUB_OFFLINE where there is a network" if offline else "check the network and HF_TOKEN"
    place = config.get("dataset_path")
    of = f" ({place} on the hub)" if place else ""
    return UserError(f"the data of task {asked.task!r}{of} cannot be had: {first_line(error)}", where=where, fix=f"{network}; or {file}")


def _fit(asked: CapabilityTask, name: str, task: Any) -> None:
    """Set the solved items that are shown, and refuse what is not put here."""
    where = f"capability: {asked.title}"
    if getattr(task, "MULTIMODAL", False):
        raise UserError(f"task {name!r} shows pictures or sound", where=where, fix="tasks of text alone")
    if getattr(task, "UNSAFE_CODE", False):
        raise UserError(f"task {name!r} runs what a model writes as a program", where=where, fix="a task that does not")
    told = task.config.generation_kwargs or {}
    if task.OUTPUT_TYPE == "generate_until" and (told.get("do_sample") or told.get("temperature")):
        raise UserError(f"task {name!r} draws its answers at random", where=where, fix="tasks whose answers are greedy, or are scored")
    own = task.config.num_fewshot
    if asked.fewshot is not None and own == 0 and asked.fewshot != 0:
        raise UserError(f"task {name!r} is put without solved items, as its own file says", where=where, fix="leave `fewshot` out")
    if asked.fewshot is not None or own is None:
        task.set_config(key="num_fewshot", value=asked.fewshot or 0)
    task.set_fewshot_seed(seed=SEEDS[2])
    if not len(task.eval_docs):
        raise DataError(f"task {name!r} has no items", where=where, fix="a file with a row an item")
    if task.config.num_fewshot and len(list(task.fewshot_docs() or ())) <= task.config.num_fewshot:
        raise DataError(
            f"task {name!r} has too few items to show {task.config.num_fewshot} beside one", where=where, fix="a smaller `fewshot`"
        )


@contextmanager
def _seeded() -> Iterator[None]:
    """Chance as the harness seeds it when it makes tasks, and afterwards as it was."""
    before, before_numpy = random.getstate(), np.random.get_state()
    random.seed(SEEDS[0])
    np.random.seed(SEEDS[1])
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the harness's own log, and without bars of data that are read."""
    import datasets

    log = logging.getLogger("lm_eval")
    level = log.level
    bars = datasets.is_progress_bar_enabled()
    log.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
        if bars:
            datasets.enable_progress_bars()
