"""Tasks made here: of items or rows of a file, or of a task file, as the harness makes its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from valuedrift.capability.items import Item
from valuedrift.capability.options import CapabilityTask
from valuedrift.errors import DataError, UserError
from valuedrift.tabular import read_rows

_ITEMS_VERSION = 1
"""Raised when items of a file are put in other words."""


def of_items(asked: CapabilityTask, items: Sequence[Item]) -> Any:
    """A task of multiple choice in the words of PIQA, or of MMLU where letters are answered."""
    import datasets
    from lm_eval.api.task import ConfigurableTask

    letters = asked.answers == "letter"
    rows = [
        {
            "text": _in_letters(item) if letters else f"Question: {item.question.strip()}\nAnswer:",
            "choices": [chr(65 + at) for at in range(len(item.choices))] if letters else list(item.choices),
            "answer": item.answer,
        }
        for item in items
    ]
    config = {
        "task": asked.title,
        "custom_dataset": lambda **_: datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)}),
        "output_type": "multiple_choice",
        "test_split": "test",
        "fewshot_split": "test",
        "doc_to_text": "text",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in (("acc",) if letters else ("acc", "acc_norm"))
        ],
        "metadata": {"version": _ITEMS_VERSION},
    }
    return ConfigurableTask(config=config)


def _in_letters(item: Item) -> str:
    shown = "\n".join(f"{chr(65 + at)}. {choice}" for at, choice in enumerate(item.choices))
    return f"{item.question.strip()}\n{shown}\nAnswer:"


def of_file(file: Path, where: str) -> Any:
    """A task of a file in the harness's form; its data files lie beside it."""
    from lm_eval.api.task import ConfigurableTask

    config = config_of(file, where)
    if "task" not in config or isinstance(config["task"], list):
        raise UserError("not one task: a task file has `task: NAME` and says what is put", where=str(file), fix="one file a task")
    told = config.get("dataset_kwargs") or {}
    if "data_files" in told:
        config["dataset_kwargs"] = {**told, "data_files": _beside(file.parent, told["data_files"])}
    try:
        return ConfigurableTask(config=config)
    except Exception as error:  # whatever a task's data or templates raise
        raise UserError(
            f"the task cannot be made: {first_line(error)}", where=str(file), fix="see lm-evaluation-harness's guide to new tasks"
        ) from error


def config_of(file: Path, where: str) -> dict[str, Any]:
    """What a task file says.

    Args:
        file: In the harness's form.
        where: Of the task, for messages.

    Raises:
        UserError: There is no such file, or it is none.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    if not file.is_file():
        near = get_close_matches(file.name, [one.name for one in file.parent.glob("*.y*ml")], n=1) if file.parent.is_dir() else []
        raise UserError("no such task file", where=str(file), fix=f"did you mean {file.parent / near[0]}?" if near else "give its path")
    try:
        return dict(load_yaml(file, resolve_func=True))
    except Exception as error:  # YAML, or a program that it names
        raise UserError(f"not a task file: {first_line(error)}", where=str(file), fix="a YAML file in the harness's form") from error


def _beside(folder: Path, files: Any) -> Any:
    if isinstance(files, Mapping):
        return {split: _beside(folder, one) for split, one in files.items()}
    if isinstance(files, list):
        return [_beside(folder, one) for one in files]
    return files if "://" in files else str((folder / files).resolve())


def with_rows(asked: CapabilityTask, entry: Any, where: str) -> Any:
    """A task of the harness with rows of a file in place of those that it would fetch."""
    import datasets
    from lm_eval.api.task import ConfigurableTask

    assert asked.data is not None
    if entry.yaml_path is None or str(entry.kind.name) != "TASK":
        raise UserError(
            f"{asked.task!r} is a {entry.kind.name.lower()} of tasks: rows of a file are those of one task",
            where=where,
            fix="name one of its tasks",
        )
    rows = [dict(row.values) for row in read_rows(Path(asked.data))]
    if not rows:
        raise DataError("no rows in it", where=asked.data, fix=f"rows as {asked.task} has them")
    config = config_of(Path(entry.yaml_path), where)
    split = next(config[key] for key in ("test_split", "validation_split", "training_split") if config.get(key))
    splits = {
        "test_split": split,
        "fewshot_split": split,
        "validation_split": None,
        "training_split": None,
    }  # of one split no item is shown to itself
    given = {**config, **splits, "custom_dataset": lambda **_: datasets.DatasetDict({split: datasets.Dataset.from_list(rows)})}
    try:
        return ConfigurableTask(config=given)
    except Exception as error:  # whatever its templates raise on rows without their columns
        fix = (
            f"its rows have {', '.join(columns_of(config)) or 'the columns of its data set on the hub'}; the file has {', '.join(rows[0])}"
        )
        raise DataError(f"these are no rows of {asked.task}: {first_line(error)}", where=asked.data, fix=fix) from error


def columns_of(config: Mapping[str, Any]) -> list[str]:
    """Columns that a task's templates name."""
    from jinja2 import Environment, TemplateError, meta

    found: dict[str, None] = {}
    for key in ("doc_to_text", "doc_to_choice", "doc_to_target"):
        said = config.get(key)
        if isinstance(said, str) and "{" not in said:
            found[said] = None
        elif isinstance(said, str):
            try:
                found |= dict.fromkeys(sorted(meta.find_undeclared_variables(Environment(autoescape=True).parse(said))))
            except TemplateError:
                continue
    return list(found)


def first_line(error: Exception) -> str:
    """What an error of the harness says, as far as a message takes it."""
    said = str(error).strip().splitlines()
    return f"{said[0][:300]}" if said else type(error).__name__
