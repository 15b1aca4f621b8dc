"""Where rows of a dataset come from: a file, the files of a split in a folder, or the Hugging Face hub (code that comes with a dataset is never run)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from valuedrift.corpora.dataset import HUB, Dataset
from valuedrift.corpora.messages import message_keys
from valuedrift.corpora.record import Record
from valuedrift.errors import UserError
from valuedrift.tabular import KINDS, kind_of_file, read_rows

_PATIENCE = 3.0
"""Seconds that a plan waits for the hub: an estimate is not worth the half minute of retries that a download gets."""


def read_files(path: Path, split: str) -> Iterator[Record]:
    """The rows of a file, or of all files of one split in a folder.

    Args:
        path: A file or a folder.
        split: Of a folder, files named SPLIT.* or SPLIT-* or SPLIT_* are read, in the folder itself or in ``data`` below it, in name order.

    Raises:
        UserError: No such file; no known kind of file.
        DataError: A file that can't be read to its end; says where.
    """
    for file in _of_split(path, split) if path.is_dir() else [path]:
        texts = kind_of_file(file) in (".csv", ".tsv")
        for row in read_rows(file):
            yield Record({name: _messages(cell) for name, cell in row.values.items()} if texts else row.values, row.where)


def _of_split(folder: Path, split: str) -> list[Path]:
    known = sorted(file for place in (folder, folder / "data") for file in place.glob("*") if kind_of_file(file) in KINDS)
    chosen = [file for file in known if file.name.startswith((f"{split}.", f"{split}-", f"{split}_"))]
    if not chosen:
        found = ", ".join(file.name for file in known[:8]) or "no data files"
        raise UserError(f"no file of the split {split!r} in this folder", where=str(folder), fix=f"found: {found}; give `split`, or a file")
    if len({kind_of_file(file) for file in chosen}) > 1:
        names = ", ".join(file.name for file in chosen[:8])
        raise UserError(f"the split {split!r} is there in more than one file format", where=str(folder), fix=f"give one of: {names}")
    return chosen


def _messages(text: str) -> Any:
    """A cell; one that holds a JSON list of messages as that list, which CSV can't hold otherwise."""
    if not text.startswith("[{"):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if all(message_keys(message) is not None for message in value) else text


def read_hub(dataset: Dataset) -> Iterator[Record]:
    """The rows of one split of a hub dataset.

    Raises:
        UserError: The hub is not reachable, or has no such dataset, subset or split.
    """
    import datasets

    name = _name(dataset)
    try:
        table = datasets.load_dataset(name, dataset.subset, split=dataset.split)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise UserError(f"not on the hub, or not open to you: {error}", where=dataset.data, fix="check the name, or log in") from error
    except OSError as error:
        fix = "give a local file (.jsonl, .json, .csv, .parquet), or run where there is a hub"
        raise UserError(f"the Hugging Face hub is not reachable: {error}", where=dataset.data, fix=fix) from error
    except (ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        fix = "check `subset` and `split`, or give a local file"
        raise UserError(f"cannot be loaded from the hub: {error}", where=dataset.data, fix=fix) from error
    for number, row in enumerate(table, start=1):
        yield Record(row, f"{dataset.data}, {dataset.split}, row {number}")


def stated_rows(dataset: Dataset) -> int | None:
    """The number of rows that the hub states, without downloading them; None where it is not reachable or doesn't say."""
    import httpx
    from huggingface_hub import constants

    try:
        if not constants.HF_HUB_OFFLINE:
            httpx.head(constants.ENDPOINT, timeout=_PATIENCE)
        import datasets

        splits = datasets.load_dataset_builder(_name(dataset), dataset.subset).info.splits or {}
    except Exception:  # whatever a hub, a proxy or a cache does wrong: a plan does without this number
        return None
    return splits[dataset.split].num_examples if dataset.split in splits else None


def _name(dataset: Dataset) -> str:
    name = dataset.data.removeprefix(HUB)
    if Path(name).exists():
        fix = f"give {name} without {HUB} for that folder, or run elsewhere"
        raise UserError("a local folder of this name would be read in place of the hub's dataset", where=dataset.data, fix=fix)
    return name
