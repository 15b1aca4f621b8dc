"""Rows of a dataset on the Hugging Face hub, or in its local cache; code that comes with a dataset is never run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from valuedrift.corpora.dataset import HUB, Dataset
from valuedrift.corpora.record import Record
from valuedrift.errors import UserError

_PATIENCE = 3.0
"""Seconds that a plan waits for the hub: an estimate is not worth the half minute of retries that a download gets."""


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
